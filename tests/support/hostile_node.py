"""A node that is wrong in all the ways nodes are, by a seeded script, in front of a chain that is right.

It answers bodies of HTTP requests, so that all of our own client is under test: on a virtual clock through
``HostileSession``, which stands in for an HTTP client's session, or on a port of its own through ``serving``.
"""

from __future__ import annotations

import asyncio
import random
import zlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from aiohttp import ServerDisconnectedError, WSMsgType, web

from tests.support.receipts import receipts_of, vouched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from tests.support.chain import ChainBlock

CHAIN_ID = 31_337

_REFUSALS: tuple[tuple[int, int, str], ...] = (
    (200, -32602, "block range extends beyond current head block"),
    (200, -32005, "You've exceeded the RPS limit available on the current plan."),
    (200, 35, "ranges over 200 blocks are not supported on freetier"),
    (200, -32005, "limit exceeded"),
    (200, -32000, "header not found"),
    (200, -32000, "missing trie node 1d23… (path )"),
    (200, -32603, "internal error"),
    (200, -32016, "over rate limit"),
    (200, 429, "daily request count exceeded, request rate limited"),
    (200, -32601, "the method is not available on your plan"),
    (200, 19, "Temporary internal error. Please retry, trace-id: 1"),
    (400, -32600, "query exceeds max results 20000, retry with the range 1-2"),
    (500, -32603, "execution aborted (timeout = 5s)"),
    (503, 0, ""),
    (502, 0, "<html>bad gateway</html>"),
    (429, -32005, "Too Many Requests"),
    (413, 0, "request entity too large"),
)
_BATCH_REFUSALS: tuple[tuple[int, int, str], ...] = (
    (200, 31, "Batch of more than 3 requests are not allowed"),
    (500, 31, "Batch of more than 3 requests are not allowed"),
    (200, -32600, "batch requests are disabled"),
    (413, 0, "request entity too large"),
)


class Fault(Exception):
    """Is answered as an error of JSON-RPC."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Traits:
    """How a node is wrong. Shares are from 0 to 1.

    ``lags``: of blocks whose logs are not in the index for ``lag_s`` seconds after they came. ``behind``: of requests
    that a backend answers which is up to ``behind_blocks`` behind. ``cuts``: of ranges of which the last logs are left
    out. ``drops``: of answers from which some logs are left out. ``repeats``, ``reorders``: of answers with logs.
    ``nulls``: of calls answered with null. ``refuses``: of calls refused, in every wording. ``hangs``: of requests
    answered after 20 s. ``spells``: of answers spelled otherwise. ``batch_max``, ``range_max``: more calls in a batch,
    or blocks in a range, are refused. ``forgets``: logs of blocks so far below the head are refused. ``parts``: of the
    calls of a batch that are refused one by one. ``batch_answers``: calls of a batch beyond so many are refused one by
    one. ``hang_up``: where a batch or a range is too large, the connection is closed without a word. ``call_s``: how
    long each call takes, one after the other. ``leaps``: of heads that are told as far beyond the chain.
    ``misplaces``: of blocks asked for by number that are told as another one. ``counts_anew``: of blocks whose logs are
    counted from 0 in every transaction.
    """

    lags: float = 0.0
    lag_s: float = 0.0
    behind: float = 0.0
    behind_blocks: int = 1
    cuts: float = 0.0
    drops: float = 0.0
    repeats: float = 0.0
    reorders: float = 0.0
    nulls: float = 0.0
    refuses: float = 0.0
    hangs: float = 0.0
    spells: float = 0.0
    batch_max: int = 1_000
    range_max: int = 1_000_000
    forgets: int = 1_000_000
    parts: float = 0.0
    batch_answers: int = 1_000
    hang_up: bool = False
    call_s: float = 0.0
    leaps: float = 0.0
    misplaces: float = 0.0
    counts_anew: float = 0.0

    def __str__(self) -> str:
        values = ((one.name, getattr(self, one.name), one.default) for one in fields(self))
        return ", ".join(f"{name}={value}" for name, value, default in values if value != default)


class View(NamedTuple):
    """A chain as an instant has it: its blocks by number, and when the newest ones came, by their hashes, in s."""

    blocks: Sequence[ChainBlock]
    came_s: Mapping[str, float]
    now_s: float = 0.0


class Exchange(NamedTuple):
    """An HTTP answer, and how long it takes, in s; with a ``status`` of 0 the connection is closed instead."""

    status: int
    body: bytes
    takes_s: float


class HostileNode:
    """Answers about a chain, wrongly.

    Args:
        view: What the chain is at the moment.
        traits: How it is wrong.
        seed: By which what is drawn is drawn.
        may_lie: Tells of a block by its hash whether its logs may be lost; the rest is no lie but a nuisance.
    """

    def __init__(
        self,
        view: Callable[[], View],
        traits: Traits,
        seed: int,
        may_lie: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._view = view
        self.traits = traits
        self._chance = random.Random(seed)
        self._seed = seed
        self._may_lie = may_lie
        self.calls = 0
        self.requests = 0

    def exchange(self, body: bytes) -> Exchange:
        """Answer the body of a request."""
        self.requests += 1
        asked = orjson.loads(body)
        calls = asked if isinstance(asked, list) else [asked]
        takes_s = 20.0 if self._is(self.traits.hangs) else 0.01 + self.traits.call_s * len(calls)
        self.calls += len(calls)
        if self.traits.hang_up and (len(calls) > self.traits.batch_max or self._is_too_wide(calls)):
            return Exchange(0, b"", takes_s)
        if isinstance(asked, list) and len(asked) > self.traits.batch_max:
            return _refusal(_BATCH_REFUSALS[self._seed % len(_BATCH_REFUSALS)], None, takes_s)
        # Logs of a range and its last header that come from two backends are a lie, and no nuisance.
        is_half_a_question = len(calls) == 1 and calls[0]["method"] == "eth_getLogs"
        view = self._view() if is_half_a_question else self._seen()
        refused = self._chance.choice(_REFUSALS) if self._is(self.traits.refuses) else None
        if refused is not None and (refused[0] != 200 or not isinstance(asked, list)):
            return _refusal(refused, calls[0]["id"], takes_s)
        answers = [
            self._answer(view, call, refused if at == 0 else self._refused_part(at)) for at, call in enumerate(calls)
        ]
        if isinstance(asked, list):
            self._chance.shuffle(answers)
        return Exchange(200, orjson.dumps(answers if isinstance(asked, list) else answers[0]), takes_s)

    def _refused_part(self, at: int) -> tuple[int, int, str] | None:
        is_refused = at >= self.traits.batch_answers or self._is(self.traits.parts)
        return self._chance.choice(_REFUSALS) if is_refused else None

    def _is_too_wide(self, calls: Sequence[dict[str, Any]]) -> bool:
        return any(_width(call) > self.traits.range_max for call in calls)

    def _is(self, share: float) -> bool:
        return share > 0 and self._chance.random() < share

    def _seen(self) -> View:
        view = self._view()
        if not self._is(self.traits.behind):
            return view
        behind = self._chance.randint(1, self.traits.behind_blocks)
        return view._replace(blocks=view.blocks[: max(1, len(view.blocks) - behind)])

    def _answer(self, view: View, call: dict[str, Any], refused: tuple[int, int, str] | None) -> dict[str, Any]:
        head = {"jsonrpc": "2.0", "id": str(call["id"]) if self._is(self.traits.spells) else call["id"]}
        if refused is not None:
            return {**head, "error": {"code": refused[1], "message": refused[2]}}
        try:
            result = self._result(view, call["method"], call["params"])
        except Fault as fault:
            return {**head, "error": {"code": fault.code, "message": fault.message}}
        if self._is(self.traits.nulls):
            result = None
        return {**head, "result": spelled(result) if self._is(self.traits.spells) else result}

    def _result(self, view: View, method: str, params: list[Any]) -> Any:  # noqa: ANN401 - JSON
        match method:
            case "eth_chainId":
                return hex(CHAIN_ID)
            case "eth_getCode":
                return "0x60"
            case "eth_subscribe":
                return "0x1"
            case "eth_getBlockByNumber":
                return self._header(view, params[0])
            case "eth_getLogs":
                return self._logs(view, params[0])
            case "eth_getBlockReceipts":
                block = _by_number(view, params[0])
                return None if block is None else list(receipts_of(block))
            case "eth_getTransactionReceipt":
                receipts = (one for block in view.blocks for one in receipts_of(block))
                return next((one for one in receipts if one["transactionHash"] == params[0]), None)
            case _:
                raise Fault(-32601, f"the method {method} does not exist/is not available")

    def _header(self, view: View, tag: str) -> dict[str, Any] | None:
        block = _by_number(view, tag)
        if block is None:
            return None
        if tag == "latest" and self._is(self.traits.leaps):
            return block.header() | {"number": hex(block.number + 1_000)}
        if tag != "latest" and self._is(self.traits.misplaces):
            block = self._chance.choice(view.blocks)
        return block.header() | vouched(block)

    def _logs(self, view: View, query: dict[str, Any]) -> list[dict[str, Any]]:
        blocks = self._queried(view, query)
        is_cut = "blockHash" not in query and self._is(self.traits.cuts)
        cut_at = self._chance.randint(0, len(blocks)) if is_cut else len(blocks)
        is_dropping = self._is(self.traits.drops)
        found: list[dict[str, Any]] = []
        for at, block in enumerate(blocks):
            logs = [log for log in block.logs if log["address"] in query["address"]]
            if logs and self._may_lie(block.hash):
                if at >= cut_at or self._is_unindexed(view, block):
                    continue
                if is_dropping:
                    logs = [log for log in logs if self._chance.random() < 0.7]
                if _share(self._seed, block.hash.encode()) < self.traits.counts_anew:
                    logs = counted_anew(logs)
            found += logs
        if found and self._is(self.traits.repeats):
            found += self._chance.choices(found, k=2)
        if self._is(self.traits.reorders):
            self._chance.shuffle(found)
        return found

    def _queried(self, view: View, query: dict[str, Any]) -> Sequence[ChainBlock]:
        if "blockHash" in query:
            block = next((one for one in reversed(view.blocks) if one.hash == query["blockHash"]), None)
            if block is None:
                raise Fault(-32000, "unknown block")
            return [block]
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        if last - first >= self.traits.range_max:
            raise Fault(35, f"ranges over {self.traits.range_max} blocks are not supported on freetier")
        if first < len(view.blocks) - self.traits.forgets:
            raise Fault(-32000, "history has been pruned for this block")
        return view.blocks[first : last + 1]

    def _is_unindexed(self, view: View, block: ChainBlock) -> bool:
        age_s = view.now_s - view.came_s.get(block.hash, float("-inf"))
        return age_s < self.traits.lag_s and _share(self._seed, block.hash.encode()) < self.traits.lags


def _refusal(refusal: tuple[int, int, str], call_id: object, takes_s: float) -> Exchange:
    status, code, message = refusal
    answer = {"jsonrpc": "2.0", "id": call_id, "error": {"code": code, "message": message}}
    return Exchange(status, orjson.dumps(answer) if code else message.encode(), takes_s)


def counted_anew(logs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same logs, counted from 0 in every transaction, as some nodes do."""
    counts: dict[str, int] = {}
    anew = []
    for log in logs:
        at = counts[log["transactionHash"]] = counts.get(log["transactionHash"], -1) + 1
        anew.append(log | {"logIndex": hex(at)})
    return anew


def _width(call: dict[str, Any]) -> int:
    query = call["params"][0] if call["method"] == "eth_getLogs" else {}
    return int(query["toBlock"], 16) - int(query["fromBlock"], 16) + 1 if "fromBlock" in query else 1


def one_liar_a_block(seed: int, number: int, count: int) -> Callable[[str], bool]:
    """What lets endpoint ``number`` of ``count`` lie about a block, such that no other one does."""
    return lambda block_hash: int(_share(seed, block_hash.encode()) * count) == number


def spelled(value: object) -> object:
    """The same answer as other nodes spell it."""
    match value:
        case dict():
            return {key: _spelled_field(key, one) for key, one in value.items()}
        case list():
            return [spelled(one) for one in value]
        case _:
            return value


_QUANTITIES = frozenset({"number", "timestamp", "blockNumber", "transactionIndex", "logIndex"})
_HEX = frozenset({"hash", "parentHash", "blockHash", "transactionHash", "address", "data", "receiptsRoot"})


def _spelled_field(key: str, value: object) -> object:
    if key == "removed":
        return None
    if key in _QUANTITIES and isinstance(value, str):
        return f"0x{int(value, 16):08X}"
    if key in _HEX and isinstance(value, str):
        return "0x" + value[2:].upper()
    return spelled(value)


def _by_number(view: View, tag: str) -> ChainBlock | None:
    if tag == "latest":
        return view.blocks[-1]
    if tag == "finalized":
        raise Fault(-39001, "finalized block not found")
    number = int(tag, 16)
    return view.blocks[number] if number < len(view.blocks) else None


def _share(seed: int, text: bytes) -> float:
    return zlib.crc32(text, seed & 0xFFFFFFFF) / 2**32


class HostileSession:
    """Stands in for an HTTP client's session: a URL is the label of one of ``nodes``."""

    def __init__(self, nodes: Mapping[str, HostileNode]) -> None:
        self._nodes = nodes

    @asynccontextmanager
    async def post(self, url: str, *, data: bytes, **_: object) -> AsyncIterator[_Response]:
        exchange = self._nodes[url].exchange(data)
        await asyncio.sleep(exchange.takes_s)
        if exchange.status == 0:
            raise ServerDisconnectedError
        yield _Response(exchange)


class _Response:
    def __init__(self, exchange: Exchange) -> None:
        self.status = exchange.status
        self.content = self
        self._body = exchange.body

    async def iter_any(self) -> AsyncIterator[bytes]:
        yield self._body

    async def read(self) -> bytes:
        return self._body


@asynccontextmanager
async def serving(node: HostileNode) -> AsyncIterator[str]:
    """The node on a port of its own, over HTTP and websocket; gives its http URL."""

    async def post(request: web.Request) -> web.Response:
        exchange = node.exchange(await request.read())
        await asyncio.sleep(exchange.takes_s)
        if exchange.status == 0 and request.transport is not None:
            request.transport.close()
        return web.Response(status=exchange.status, body=exchange.body, content_type="application/json")

    async def websocket(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            exchange = node.exchange(message.data.encode())
            if exchange.status != web.HTTPOk.status_code:
                break
            await socket.send_str(exchange.body.decode())
        return socket

    app = web.Application()
    app.router.add_post("/", post)
    app.router.add_get("/", websocket)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
