"""A JSON-RPC node stand-in on loopback, over HTTP and websocket, with faults to be switched on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import orjson
from aiohttp import WSMsgType, web

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.chain import Chain


class RpcFault(Exception):
    """Answered as a JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class FakeNode:
    """Serves a Chain; its attributes are the faults that can be switched on."""

    def __init__(self, chain: Chain, *, chain_id: int = 31337) -> None:
        self.chain = chain
        self.chain_id = chain_id
        self.max_results = 10_000
        self.status = 200
        self.is_hanging = False
        self.lag_blocks = 0
        self.finalized_depth: int | None = None
        self.refuses_batch: Callable[[int], bool] = lambda _: False
        self.refuses: set[str] = set()
        self.spoil: dict[str, Callable[[Any], Any]] = {}
        self.eth_call: Callable[[str, bytes, int], bytes] | None = None
        self.code: Callable[[str], str] | None = lambda _: "0x60"
        self.storage: Callable[[str, int, int], int] | None = None
        self.requests: list[tuple[str, list[Any]]] = []
        self.sockets: set[web.WebSocketResponse] = set()
        self._subscribed: set[web.WebSocketResponse] = set()
        self._released = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/", self._post)
        app.router.add_get("/", self._websocket)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._released.set()
        for socket in list(self.sockets):
            await socket.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def ws_url(self) -> str:
        return self.url.replace("http://", "ws://")

    def count(self, method: str) -> int:
        return sum(1 for asked, _ in self.requests if asked == method)

    async def announce(self) -> None:
        """Tell every subscriber of the head."""
        header = self.chain.head.header()
        for socket in self._subscribed:
            await socket.send_json(
                {"jsonrpc": "2.0", "method": "eth_subscription", "params": {"subscription": "0x1", "result": header}}
            )

    async def _post(self, request: web.Request) -> web.Response:
        if self.is_hanging:
            await self._released.wait()
        if self.status != 200:
            return web.Response(status=self.status, text="fault")
        asked = orjson.loads(await request.read())
        if isinstance(asked, list) and self.refuses_batch(len(asked)):
            return web.Response(status=413)
        answer = [self._answer(one) for one in asked] if isinstance(asked, list) else self._answer(asked)
        return web.Response(body=orjson.dumps(answer), content_type="application/json")

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.add(socket)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            asked = orjson.loads(message.data)
            if asked["method"] == "eth_subscribe" and "eth_subscribe" not in self.refuses:
                self._subscribed.add(socket)
            await socket.send_str(orjson.dumps(self._answer(asked)).decode())
        self.sockets.discard(socket)
        self._subscribed.discard(socket)
        return socket

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        method, params = asked["method"], asked["params"]
        self.requests.append((method, params))
        try:
            result = self._result(method, params)
        except RpcFault as fault:
            return {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": fault.code, "message": fault.message}}
        if method in self.spoil:
            result = self.spoil[method](result)
        return {"jsonrpc": "2.0", "id": asked["id"], "result": result}

    def _result(self, method: str, params: list[Any]) -> Any:  # noqa: ANN401 - JSON
        match method:
            case _ if method in self.refuses:
                raise RpcFault(-32601, f"the method {method} is not offered")
            case "eth_chainId":
                return hex(self.chain_id)
            case "eth_getCode" if self.code is not None:
                return self.code(params[0])
            case "eth_subscribe":
                return "0x1"
            case "eth_getBlockByNumber":
                return self._block(params[0])
            case "eth_getLogs":
                return self._logs(params[0])
            case "eth_call" if self.eth_call is not None:
                data = bytes.fromhex(params[0]["data"][2:])
                block = self._head() if params[1] == "latest" else int(params[1], 16)
                return "0x" + self.eth_call(params[0]["to"], data, block).hex()
            case "eth_getStorageAt" if self.storage is not None:
                return f"0x{self.storage(params[0], int(params[1], 16), int(params[2], 16)):064x}"
            case _:
                raise RpcFault(-32601, f"the method {method} does not exist")

    def _head(self) -> int:
        return self.chain.head.number - self.lag_blocks

    def _block(self, tag: str) -> dict[str, Any] | None:
        match tag:
            case "latest":
                number = self._head()
            case "finalized":
                if self.finalized_depth is None:
                    raise RpcFault(-39001, "finalized block not found")
                number = max(0, self._head() - self.finalized_depth)
            case _:
                number = int(tag, 16)
        return self.chain.blocks[number].header() if number <= self._head() else None

    def _logs(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        if "blockHash" in query:
            block = self.chain.by_hash(query["blockHash"])
            if block is None:
                raise RpcFault(-32000, "unknown block")
            blocks = [block]
        else:
            blocks = self.chain.blocks[int(query["fromBlock"], 16) : int(query["toBlock"], 16) + 1]
        addresses = query["address"]
        topics = query.get("topics", [None])[0]
        found = [
            log
            for block in blocks
            for log in block.logs
            if log["address"] in addresses and (topics is None or log["topics"][0] in topics)
        ]
        if len(found) > self.max_results:
            raise RpcFault(-32005, f"query returned more than {self.max_results} results")
        return found
