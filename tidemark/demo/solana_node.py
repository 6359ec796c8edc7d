"""A simulated chain of Solana, and a node that serves it as Solana's own do: JSON-RPC, and subscriptions."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from aiohttp import WSMsgType, web

from models.flash.solana_keys import base58_text

if TYPE_CHECKING:
    from collections.abc import Callable

CLOCK_ADDRESS = "SysvarC1ock11111111111111111111111111111111"

_SYSTEM = "11111111111111111111111111111111"
_SYSVAR = "Sysvar1111111111111111111111111111111111111"
_METHOD_NOT_FOUND = -32_601
_RENT = 1_000_000
# A clock's account: slot, epoch's start, epoch, leader's epoch, and the time in seconds.
_CLOCK_BYTES = 40
_LONGEST_QUEUE = 10_000
_KEPT_STATES = 1_000


class ChainAccount(NamedTuple):
    """An account: the programme that owns it as base58, and its bytes."""

    programme: str
    data: bytes


class Change(NamedTuple):
    """What a slot made of an account, None where it closed it; ``pubkey`` is None of a slot that changed nothing."""

    slot: int
    pubkey: str | None
    account: ChainAccount | None
    programme: str = _SYSTEM


class SolanaChain:
    """The accounts of a chain, and how they came to be.

    Args:
        unix_s: Its time at slot 0, in seconds of Unix time.
        slots_per_s: How many slots make a second of its clock.
    """

    def __init__(self, unix_s: int, slots_per_s: int = 2) -> None:
        self._begun_s = unix_s
        self._slots_per_s = slots_per_s
        self.slot = 0
        self._states: dict[str, list[tuple[int, ChainAccount | None]]] = {}
        self._listeners: list[Callable[[Change], None]] = []

    @property
    def unix_s(self) -> int:
        """The chain's time, in seconds of Unix time."""
        return self._begun_s + self.slot // self._slots_per_s

    def listen(self, on_change: Callable[[Change], None]) -> None:
        """Call ``on_change`` for each change from now on."""
        self._listeners.append(on_change)

    def unlisten(self, on_change: Callable[[Change], None]) -> None:
        """Call it no more."""
        self._listeners.remove(on_change)

    def next_slot(self) -> None:
        """Come to the next slot."""
        self.slot += 1
        self._tell(Change(self.slot, None, None))

    def put(self, pubkey: str, programme: str, data: bytes) -> None:
        """Write an account, in the slot that stands.

        Args:
            pubkey: Its address.
            programme: Who owns it.
            data: Its bytes.
        """
        account = ChainAccount(programme, data)
        self._write(pubkey, account)
        self._tell(Change(self.slot, pubkey, account, programme))

    def close(self, pubkey: str) -> None:
        """Close an account, in the slot that stands."""
        before = self.at(pubkey, self.slot)
        self._write(pubkey, None)
        self._tell(Change(self.slot, pubkey, None, _SYSTEM if before is None else before.programme))

    def at(self, pubkey: str, slot: int) -> ChainAccount | None:
        """An account as of a slot."""
        if pubkey == CLOCK_ADDRESS:
            unix_s = self._begun_s + slot // self._slots_per_s
            return ChainAccount(_SYSVAR, bytes(_CLOCK_BYTES - 8) + unix_s.to_bytes(8, "little"))
        found: ChainAccount | None = None
        for when, account in self._states.get(pubkey, ()):
            if when <= slot:
                found = account
        return found

    def of_programme(self, programme: str, slot: int) -> dict[str, ChainAccount]:
        """All accounts of a programme as of a slot, by their addresses."""
        found = {pubkey: self.at(pubkey, slot) for pubkey in self._states}
        return {
            pubkey: account
            for pubkey, account in found.items()
            if account is not None and account.programme == programme
        }

    def _write(self, pubkey: str, account: ChainAccount | None) -> None:
        states = self._states.setdefault(pubkey, [])
        states.append((self.slot, account))
        # A simulation runs for days, and no node is asked for a state of long ago.
        del states[:-_KEPT_STATES]

    def _tell(self, change: Change) -> None:
        for listener in list(self._listeners):
            listener(change)


class _Subscription(NamedTuple):
    """What a socket subscribed to; ``subject`` is an account or a programme, and ``begins`` how its accounts begin."""

    method: str
    subject: str
    begins: bytes


class SolanaNode:
    """A node of a chain on loopback. Subclasses answer and notify as bad nodes do.

    Args:
        chain: The chain.
    """

    def __init__(self, chain: SolanaChain) -> None:
        self.chain = chain
        self.sockets: set[web.WebSocketResponse] = set()
        self._subscriptions = 0
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, port: int = 0) -> None:
        """Serve on a port of loopback, any free one by default."""
        app = web.Application()
        app.router.add_post("/", self._post)
        app.router.add_get("/", self._socket)
        self._runner = web.AppRunner(app, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Serve no more."""
        for socket in list(self.sockets):
            await socket.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def urls(self) -> tuple[str, str]:
        """Where it is asked, and where it is subscribed to."""
        return f"http://127.0.0.1:{self.port}", f"ws://127.0.0.1:{self.port}"

    # What subclasses change.

    def shown_slot(self) -> int:
        """As of which slot questions are answered."""
        return self.chain.slot

    def answer(self, method: str, params: list[Any]) -> Any:  # noqa: ANN401 - of each method
        """The result of a question.

        Args:
            method: The method.
            params: Its parameters.

        Raises:
            LookupError: There is no such method.
        """
        slot = self.shown_slot()
        match method, params:
            case "getSlot", _:
                return slot
            case "getMultipleAccounts", [list(pubkeys), *_]:
                return _with_slot(slot, [shown(self.chain.at(pubkey, slot)) for pubkey in pubkeys])
            case "getProgramAccounts", [str(programme), dict(options)]:
                begins = _begins(options)
                found = self.chain.of_programme(programme, slot)
                accounts = [
                    keyed(key, _sliced(one, options)) for key, one in found.items() if _is_begun(one.data, begins)
                ]
                return _with_slot(slot, accounts)
            case _:
                raise LookupError(method)

    def frames(self, change: Change, number: int, subscription: _Subscription) -> list[bytes]:
        """The notifications of a change to one subscription."""
        frame = _frame(change, number, subscription)
        return [] if frame is None else [frame]

    async def _post(self, request: web.Request) -> web.Response:
        return web.Response(body=self.respond(await request.read()), content_type="application/json")

    def respond(self, body: bytes) -> bytes:
        """Answer a question or a batch of them, as JSON."""
        asked = orjson.loads(body)
        if isinstance(asked, list):
            return orjson.dumps([self._one(one) for one in asked])
        return orjson.dumps(self._one(asked))

    def _one(self, asked: dict[str, Any]) -> dict[str, Any]:
        said = {"jsonrpc": "2.0", "id": asked.get("id")}
        try:
            return {**said, "result": self.answer(asked["method"], asked.get("params", []))}
        except LookupError:
            return {**said, "error": {"code": _METHOD_NOT_FOUND, "message": "Method not found"}}

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.add(socket)
        subscriptions: dict[int, _Subscription] = {}
        queue: asyncio.Queue[bytes] = asyncio.Queue(_LONGEST_QUEUE)

        def tell(change: Change) -> None:
            for number, one in subscriptions.items():
                for frame in self.frames(change, number, one):
                    queue.put_nowait(frame)

        self.chain.listen(tell)
        writing = asyncio.create_task(self._write(socket, queue))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    queue.put_nowait(orjson.dumps(self._subscribe(orjson.loads(message.data), subscriptions)))
        finally:
            self.chain.unlisten(tell)
            writing.cancel()
            self.sockets.discard(socket)
        return socket

    @staticmethod
    async def _write(socket: web.WebSocketResponse, queue: asyncio.Queue[bytes]) -> None:
        while not socket.closed:
            await socket.send_str((await queue.get()).decode())

    def _subscribe(self, asked: dict[str, Any], subscriptions: dict[int, _Subscription]) -> dict[str, Any]:
        said = {"jsonrpc": "2.0", "id": asked.get("id")}
        match asked:
            case {"method": "slotSubscribe"}:
                one = _Subscription("slot", "", b"")
            case {"method": "accountSubscribe", "params": [str(pubkey), *_]}:
                one = _Subscription("account", pubkey, b"")
            case {"method": "programSubscribe", "params": [str(programme), dict(options)]}:
                one = _Subscription("program", programme, _begins(options))
            case _:
                return {**said, "error": {"code": _METHOD_NOT_FOUND, "message": "Method not found"}}
        self._subscriptions += 1
        subscriptions[self._subscriptions] = one
        return {**said, "result": self._subscriptions}


def shown(account: ChainAccount | None) -> dict[str, Any] | None:
    """An account as nodes show it."""
    if account is None:
        return None
    return {
        "lamports": _RENT,
        "owner": account.programme,
        "data": [b64encode(account.data).decode(), "base64"],
        "executable": False,
        "rentEpoch": 2**64 - 1,
        "space": len(account.data),
    }


def keyed(pubkey: str, account: ChainAccount) -> dict[str, Any]:
    """An account of a programme as nodes show it."""
    return {"pubkey": pubkey, "account": shown(account)}


def _frame(change: Change, number: int, to: _Subscription) -> bytes | None:
    account, slot = change.account, change.slot
    if to.method == "slot":
        if change.pubkey is not None:
            return None
        return _notification("slotNotification", number, {"slot": slot, "parent": slot - 1, "root": max(0, slot - 31)})
    if to.method == "account" and to.subject == change.pubkey:
        # Of a closed account nodes say once more that there is nothing in it.
        gone = {
            "lamports": 0,
            "owner": _SYSTEM,
            "data": ["", "base64"],
            "executable": False,
            "rentEpoch": 0,
            "space": 0,
        }
        value = gone if account is None else shown(account)
        return _notification("accountNotification", number, _with_slot(slot, value))
    if to.method == "program" and change.programme == to.subject and change.pubkey is not None and account is not None:
        if not _is_begun(account.data, to.begins):
            return None
        return _notification("programNotification", number, _with_slot(slot, keyed(change.pubkey, account)))
    return None


def _notification(method: str, number: int, result: Any) -> bytes:  # noqa: ANN401 - of each method
    return orjson.dumps({"jsonrpc": "2.0", "method": method, "params": {"result": result, "subscription": number}})


def _with_slot(slot: int, value: Any) -> dict[str, Any]:  # noqa: ANN401 - of each method
    return {"context": {"slot": slot, "apiVersion": "2.0.0"}, "value": value}


def _sliced(account: ChainAccount, options: dict[str, Any]) -> ChainAccount:
    """As much of an account as a question wants."""
    match options.get("dataSlice"):
        case {"offset": int(offset), "length": int(length)}:
            return account._replace(data=account.data[offset : offset + length])
        case _:
            return account


def _begins(options: dict[str, Any]) -> bytes:
    """How the accounts begin that a question chooses, by the one filter that is simulated."""
    match options.get("filters"):
        case [{"memcmp": {"offset": 0, "bytes": str(text)}}]:
            return text.encode()
        case _:
            return b""


def _is_begun(data: bytes, begins: bytes) -> bool:
    return not begins or base58_text(data[:8]).encode() == begins
