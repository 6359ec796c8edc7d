"""An Ethereum node on one port: it answers JSON-RPC about the simulated chain, over HTTP and over websocket."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import WSMsgType, web

from models.errors import TidemarkError
from tidemark.demo import views
from tidemark.demo.ledger import ZERO_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidemark.demo.chain import Block, Chain
    from tidemark.demo.events import Log

CHAIN_ID = 31_337
LOG_LIMIT = 2_000
"""The most logs that one ``eth_getLogs`` answers; a request for more is refused, and its client asks for less."""

_PARSE_ERROR, _INVALID_REQUEST, _NO_METHOD, _INVALID_PARAMS = -32_700, -32_600, -32_601, -32_602
_SERVER_ERROR, _LIMIT_EXCEEDED, _EXECUTION_REVERTED = -32_000, -32_005, 3
_GAS_LIMIT = 30_000_000
_BATCH_LIMIT = 1_000


class RpcError(TidemarkError):
    """A request is answered with a JSON-RPC error. ``code`` is JSON-RPC's own, or one that nodes agree on."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Node:
    """Answers requests about ``chain``, and sends subscribers new heads."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._multi_accounts = frozenset(venue.address for venue in chain.population.multi_accounts)
        self._subscribers: dict[str, web.WebSocketResponse] = {}
        self._subscriptions_made = 0
        self._methods: dict[str, Callable[[list[Any]], object]] = {
            "eth_chainId": lambda _: hex(CHAIN_ID),
            "net_version": lambda _: str(CHAIN_ID),
            "web3_clientVersion": lambda _: "tidemark-demo",
            "eth_syncing": lambda _: False,
            "eth_blockNumber": lambda _: hex(chain.head.number),
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getLogs": self._logs,
            "eth_call": self._call,
            "eth_getCode": self._code,
            "eth_getStorageAt": self._storage,
        }

    def application(self) -> web.Application:
        """Make the web application, which serves both transports at ``/``."""
        application = web.Application()
        application.router.add_post("/", self._http)
        application.router.add_get("/", self._websocket)
        application.on_shutdown.append(self._close)
        return application

    async def announce(self, blocks: list[Block]) -> None:
        """Send new blocks, in order, to every subscriber of ``newHeads``."""
        headers = [self._header(block) for block in blocks]
        for subscription, socket in list(self._subscribers.items()):
            for header in headers:
                await _send(socket, _notification(subscription, header))

    async def _close(self, _: web.Application) -> None:
        for socket in set(self._subscribers.values()):
            await socket.close()

    async def _http(self, request: web.Request) -> web.Response:
        answer = self._answer(await request.read(), None)
        return web.Response(body=orjson.dumps(answer), content_type="application/json")

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(heartbeat=30, max_msg_size=2**22)
        if not socket.can_prepare(request):
            return web.Response(text="a JSON-RPC node: POST requests here, or open a websocket\n")
        await socket.prepare(request)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await _send(socket, self._answer(message.data, socket))
        finally:
            self._subscribers = {key: other for key, other in self._subscribers.items() if other is not socket}
        return socket

    def _answer(self, body: bytes | str, socket: web.WebSocketResponse | None) -> object:
        try:
            request = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            return _failure(None, RpcError(_PARSE_ERROR, f"parse error: {error}"))
        if not isinstance(request, list):
            return self._one(request, socket)
        if not 0 < len(request) <= _BATCH_LIMIT:
            return _failure(None, RpcError(_INVALID_REQUEST, f"expected 1 to {_BATCH_LIMIT} requests in a batch"))
        return [self._one(each, socket) for each in request]

    def _one(self, request: object, socket: web.WebSocketResponse | None) -> dict[str, Any]:
        match request:
            case {"method": str(method), "params": list(params), **rest}:
                number = rest.get("id")
            case {"method": str(method), **rest} if "params" not in rest:
                number, params = rest.get("id"), []
            case _:
                return _failure(None, RpcError(_INVALID_REQUEST, "expected a method and a list of params"))
        try:
            return {"jsonrpc": "2.0", "id": number, "result": self._result(method, params, socket)}
        except RpcError as error:
            return _failure(number, error)

    def _result(self, method: str, params: list[Any], socket: web.WebSocketResponse | None) -> object:
        if socket is not None and method == "eth_subscribe":
            return self._subscribe(params, socket)
        if socket is not None and method == "eth_unsubscribe":
            return self._subscribers.pop(_text(params, 0), None) is not None
        answer = self._methods.get(method)
        if answer is None:
            raise RpcError(_NO_METHOD, f"the method {method} does not exist/is not available")
        return answer(params)

    def _subscribe(self, params: list[Any], socket: web.WebSocketResponse) -> str:
        if _text(params, 0) != "newHeads":
            raise RpcError(_INVALID_PARAMS, f"expected a subscription to newHeads, found {params[0]}")
        self._subscriptions_made += 1
        subscription = f"0x{self._subscriptions_made:032x}"
        self._subscribers[subscription] = socket
        return subscription

    def _block_by_number(self, params: list[Any]) -> object:
        block = self._chain.block(self._number(_text(params, 0)))
        return None if block is None else self._full(block)

    def _block_by_hash(self, params: list[Any]) -> object:
        block = self._chain.block_by_hash(_text(params, 0).lower())
        return None if block is None else self._full(block)

    def _number(self, tag: str) -> int:
        match tag:
            case "latest" | "pending":
                return self._chain.head.number
            case "finalized" | "safe":
                return self._chain.final
            case "earliest":
                return 0
            case _:
                return _integer(tag)

    def _header(self, block: Block) -> dict[str, Any]:
        return {
            "number": hex(block.number),
            "hash": block.hash,
            "parentHash": block.parent,
            "timestamp": hex(block.time_s),
            # Every bit of the bloom is set, so a reader that skips blocks by their bloom misses nothing.
            "logsBloom": "0x" + "ff" * 256,
            "gasLimit": hex(_GAS_LIMIT),
            "gasUsed": hex(150_000 * len(block.transactions)),
            "miner": ZERO_ADDRESS,
            "extraData": "0x",
            "difficulty": "0x0",
            "nonce": "0x" + "00" * 8,
        }

    def _full(self, block: Block) -> dict[str, Any]:
        hashes = [block.transaction_hash(i) for i in range(len(block.transactions))]
        return self._header(block) | {"transactions": hashes, "uncles": [], "size": hex(1_000)}

    def _logs(self, params: list[Any]) -> list[dict[str, Any]]:
        match params:
            case [dict(query)]:
                pass
            case _:
                raise RpcError(_INVALID_PARAMS, "expected one filter object")
        addresses = query.get("address") or []
        wanted = {a.lower() for a in ([addresses] if isinstance(addresses, str) else addresses)}
        topics = [None if t is None else {t} if isinstance(t, str) else set(t) for t in query.get("topics") or []]
        found: list[dict[str, Any]] = []
        for block in self._queried(query):
            found.extend(_matching(block, wanted, topics))
            if len(found) > LOG_LIMIT:
                raise RpcError(_LIMIT_EXCEEDED, f"query returned more than {LOG_LIMIT} results")
        return found

    def _queried(self, query: dict[str, Any]) -> list[Block]:
        if "blockHash" in query:
            block = self._chain.block_by_hash(str(query["blockHash"]).lower())
            if block is None:
                raise RpcError(_SERVER_ERROR, "unknown block")
            return [block]
        first = self._number(query.get("fromBlock", "latest"))
        last = self._number(query.get("toBlock", "latest"))
        if first > last:
            raise RpcError(_INVALID_PARAMS, "invalid block range params")
        numbers = range(max(0, first), min(last, self._chain.head.number) + 1)
        return [block for number in numbers if (block := self._chain.block(number)) is not None]

    def _call(self, params: list[Any]) -> str:
        match params:
            case [dict(request), *rest] if "to" in request:
                to, data = str(request["to"]).lower(), request.get("data") or request.get("input") or "0x"
            case _:
                raise RpcError(_INVALID_PARAMS, "expected a call with the address it goes to")
        block = self._called_at(rest[0] if rest else "latest")
        if to != self._chain.contract.address and to not in self._multi_accounts:
            return "0x"
        try:
            raw = bytes.fromhex(data.removeprefix("0x"))
            return f"0x{views.call(self._chain.past(block), self._multi_accounts, to, raw).hex()}"
        except views.CallReverted as error:
            raise RpcError(_EXECUTION_REVERTED, f"execution reverted: {error}") from error
        except ValueError as error:
            raise RpcError(_INVALID_PARAMS, f"expected call data as hex: {error}") from error

    def _called_at(self, tag: object) -> Block:
        match tag:
            case {"blockHash": str(block_hash)}:
                block = self._chain.block_by_hash(block_hash.lower())
            case {"blockNumber": str(number)} | str(number):
                block = self._chain.block(self._number(number))
            case _:
                raise RpcError(_INVALID_PARAMS, f"expected a block, found {tag}")
        if block is None:
            raise RpcError(_SERVER_ERROR, "header not found")
        if not self._chain.stands(block):
            raise RpcError(_SERVER_ERROR, f"hash {block.hash} is not currently canonical")
        return block

    def _storage(self, params: list[Any]) -> str:
        block = self._called_at(params[2] if len(params) > 2 else "latest")  # noqa: PLR2004 - the third parameter
        if _text(params, 0).lower() != self._chain.contract.address:
            return f"0x{0:064x}"
        return f"0x{views.stored_at(self._chain.past(block), self._chain.ledger, _integer(_text(params, 1))):064x}"

    def _code(self, params: list[Any]) -> str:
        address = _text(params, 0).lower()
        return "0xfe" if address == self._chain.contract.address or address in self._multi_accounts else "0x"


def _matching(block: Block, addresses: set[str], topics: list[set[str] | None]) -> list[dict[str, Any]]:
    found = []
    log_index = -1
    for tx_index, logs in enumerate(block.transactions):
        for log in logs:
            log_index += 1
            if (addresses and log.address not in addresses) or not _has_topics(log, topics):
                continue
            found.append(
                {
                    "address": log.address,
                    "topics": log.topics(),
                    "data": log.data(),
                    "blockNumber": hex(block.number),
                    "blockHash": block.hash,
                    "transactionHash": block.transaction_hash(tx_index),
                    "transactionIndex": hex(tx_index),
                    "logIndex": hex(log_index),
                    "removed": False,
                }
            )
    return found


def _has_topics(log: Log, wanted: list[set[str] | None]) -> bool:
    if not wanted:
        return True
    if wanted[0] and log.event.topic0 not in wanted[0]:
        return False
    topics = log.topics()
    return len(topics) >= len(wanted) and all(
        not allowed or topic in allowed for topic, allowed in zip(topics, wanted, strict=False)
    )


def _text(params: list[Any], index: int) -> str:
    match params[index : index + 1]:
        case [str(text)]:
            return text
        case found:
            raise RpcError(_INVALID_PARAMS, f"expected a text as parameter {index}, found {found}")


def _integer(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError as error:
        raise RpcError(_INVALID_PARAMS, f"expected a number as 0x hex or a block tag, found {text}") from error


def _failure(number: object, error: RpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": error.code, "message": str(error)}}


def _notification(subscription: str, result: object) -> dict[str, Any]:
    return {
        "jsonrpc": "2.0",
        "method": "eth_subscription",
        "params": {"subscription": subscription, "result": result},
    }


async def _send(socket: web.WebSocketResponse, message: object) -> None:
    # The handler of a reader that went away takes it off the list.
    with suppress(ConnectionError):
        await socket.send_str(orjson.dumps(message).decode())
