"""An endpoint of the Bitfinex dialect over tables that the test fills, and a client that says what it is told to."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp.test_utils import TestClient

from api.app import create_app
from api.dialects.bitfinex.api_keys import ApiKey, write_keys
from api.dialects.bitfinex.bitfinex_dialect import stand
from api.dialects.bitfinex.bitfinex_settings import BitfinexSettings
from api.dialects.mounting import DialectPackage
from api.http.listening import public_door
from models.ledger.ledger_state import Holdings, statement_of
from models.nonces import NonceMarks
from models.prices import Mark, encode_mark
from models.references import Said, encode_said
from models.statements import Event, Statement, encode_statement
from streams.replicas.heartbeat_reader import Heartbeats
from streams.settings import ApiSettings, AuthSettings, Settings, SymmioSettings
from streams.settings.ledger.ledger_deployment import LedgerDeploymentSettings
from tests.support.api import BoundedTestServer, FakeInterest, FakeRecords, symmio_that_hears
from tests.support.clocks import WallClock
from tests.support.feed import FakeTables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from aiohttp import ClientWebSocketResponse, web

    from api.dialects.bitfinex.logins import Nonces
    from api.dialects.mounting import Mounted, Site
    from streams.replicas.lease_holder import Leases
    from streams.settings.dialects import DialectSettings

LEDGER, CHAIN = "desk", "main"
KEY, SECRET = "k1", "s1"
ACCOUNT = f"{LEDGER}:u1"
NOW_MS = 1_745_970_800_000
SYMBOL_SETTINGS = '{"v":1,"price":"tBTCUSD","close_fee":"0.002","tiers":[{"initial":"0.2","maintenance":"0.15"}]}'


def signed(nonce: int, *, key: str = KEY, secret: str = SECRET, **more: object) -> dict[str, Any]:
    """An auth frame as most clients make it; ``more`` are other fields of it."""
    payload = str(more.pop("authPayload", f"AUTH{nonce}"))
    signature = hmac.new(secret.encode(), payload.encode(), hashlib.sha384).hexdigest()
    return {"event": "auth", "apiKey": key, "authNonce": nonce, "authPayload": payload, "authSig": signature, **more}


class FakeNonces:
    """The highest nonce of each key, as all replicas know it at once."""

    def __init__(self) -> None:
        self.marks = NonceMarks()

    async def spend(self, key: bytes, nonce: int) -> bool:
        return self.marks.take(key, nonce)


class Ledgers:
    """What workers would have written of accounts of a ledger: each change is a row, with the events so far."""

    def __init__(self, tables: FakeTables) -> None:
        self._tables = tables
        self._events: dict[str, list[Event]] = {}
        self._version = 0

    def refer(self, name: str, text: str) -> None:
        self._version += 1
        self._tables.references.put(f"{LEDGER}:{name}", self._version, encode_said(Said(text, 0, self._version)))

    def mark(self, symbol: str, price_e18: int, at_ms: int = NOW_MS) -> None:
        self._version += 1
        mark = Mark(price_e18, None, None, None, at_ms, at_ms, self._version)
        self._tables.marks.put(f"bitfinex:{symbol}", self._version, encode_mark(mark))

    def show(self, holdings: Holdings, *happened: Mapping[str, Any], account: str = ACCOUNT, kept: int = 256) -> None:
        self._version += 1
        events = self._events.setdefault(account, [])
        for one in happened:
            events.append(Event(len(events) + 1, (self._version, 0), one))
        row = Statement((self._version, 0), statement_of(holdings), events[-kept:])
        self._tables.statements.put(account, self._version, encode_statement(row))


class Socket:
    """A client. Frames that it has read and not looked at wait."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.ws = socket
        self.seen: list[Any] = []

    async def say(self, message: object) -> None:
        await self.ws.send_str(message if isinstance(message, str) else json.dumps(message))

    async def hears(self) -> Any:  # noqa: ANN401 - whatever comes
        async with asyncio.timeout(60):
            frame = json.loads(await self.ws.receive_str())
        self.seen.append(frame)
        return frame

    async def hears_of(self, what: str) -> Any:  # noqa: ANN401 - whatever comes
        """The next frame of a type or event; what comes before it is passed over."""
        while True:
            frame = await self.hears()
            if what == (frame.get("event") if isinstance(frame, dict) else frame[1]):
                return frame

    async def asks(self, *keys: str) -> None:
        await self.say([0, "calc", None, [[key] for key in keys]])

    async def logs_in(self, nonce: int, **more: Any) -> Any:  # noqa: ANN401 - as ``signed`` takes
        await self.say(signed(nonce, **more))
        return await self.hears_of("auth")


class Scene:
    """A replica, and what it serves."""

    def __init__(
        self,
        directory: Path,
        nonces: Nonces | None = None,
        leases: Leases | None = None,
        *,
        ready: bool = True,
        named: str = "bitfinex",
        auth: AuthSettings | None = None,
        **section: object,
    ) -> None:
        self.tables = FakeTables(CHAIN, ready=ready)
        self.ledger = Ledgers(self.tables)
        self.interest = FakeInterest()
        self.heartbeats = Heartbeats()
        self.now_ms = NOW_MS
        self.nonces: Nonces = nonces or FakeNonces()
        self._leases = leases
        self.keys = directory / "keys.json"
        self.api = ApiSettings(drain_s=0.05)
        self._named = named
        self._auth = auth or AuthSettings()
        self._section = section

    def hold(self, **keys: ApiKey) -> None:
        write_keys(self.keys, keys)

    def app(self) -> web.Application:
        if not self.keys.exists():
            self.hold(k1=ApiKey(SECRET, "alice", (ACCOUNT,)))
        settings = Settings(
            deployments={
                LEDGER: LedgerDeploymentSettings(default_sources=("bitfinex",)),
                CHAIN: SymmioSettings(chain_id=1, diamond="0x" + "d" * 40),
            },
            api=self.api,
            auth=self._auth,
        )
        section = BitfinexSettings.model_validate(
            {"kind": "bitfinex", "deployments": (LEDGER, CHAIN), "keys": self.keys, **self._section}
        )
        settings = settings.model_copy(update={"dialects": {self._named: section}})
        return create_app(
            settings,
            self.tables.feeds,
            self.interest,
            leases=self._leases,
            heartbeats=self.heartbeats,
            records=FakeRecords(),
            find_dialect=self._find,
            clock=WallClock(lambda: self.now_ms),
        )

    @asynccontextmanager
    async def serving(self, port: int | None = None) -> AsyncIterator[TestClient[web.Request, web.Application]]:
        app = self.app()
        async with TestClient(BoundedTestServer(app, public_door(app), port)) as client:
            yield client

    @asynccontextmanager
    async def socket(self, client: TestClient[web.Request, web.Application]) -> AsyncIterator[Socket]:
        async with client.ws_connect("/ws/2") as connected:
            yield Socket(connected)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Socket]:
        async with self.serving() as client, self.socket(client) as socket:
            yield socket

    @asynccontextmanager
    async def logged_in(self, nonce: int = 1, **more: Any) -> AsyncIterator[Socket]:  # noqa: ANN401
        """A client past its snapshots."""
        async with self.connected() as socket:
            answer = await socket.logs_in(nonce, **more)
            assert answer["status"] == "OK", answer
            await socket.hears_of("fls")
            yield socket

    def _find(self, kind: str) -> DialectPackage | None:
        if kind != "bitfinex":
            return symmio_that_hears()(kind)

        def mount(site: Site, section: BitfinexSettings) -> Mounted:
            return stand(site, section, self.nonces)

        form: type[DialectSettings] = BitfinexSettings
        return DialectPackage(kind, form, mount)


def types(frames: Sequence[Any]) -> list[str]:
    """What kind each frame is of."""
    return [frame["event"] if isinstance(frame, dict) else frame[1] for frame in frames]
