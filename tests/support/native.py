"""``/v1/ws`` from the handshake to the close, without a network, in the time of a virtual loop."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import WSMessage, WSMsgType, web
from aiohttp.test_utils import make_mocked_request

from api.access.addresses import ClientAddresses
from api.access.auth import Guard
from api.access.gate import Gate, InProtocol
from api.access.limits import TokenBuckets
from api.access.tokens import authenticator_of
from api.delivery.connections import Connections, SocketLimits
from api.delivery.hub import Hub
from api.delivery.outbox import Outbox
from api.dialects.native.directory import Directory
from api.dialects.native.pulse import Pulse
from api.dialects.native.socket import NativeEndpoint
from api.dialects.symmio.funding_board import FundingBoard
from api.dialects.symmio.listing import Listings
from api.http.metrics import ApiMetrics
from api.tables.deployment_totals import Totals
from api.tables.freshness import Freshness
from api.tables.market_prices import MarketPrices
from api.tables.price_sources import Sources
from api.tables.standing import Standings
from streams.process.clock import SystemClock
from streams.replicas.heartbeat_reader import Heartbeats
from streams.replicas.lease_holder import Leases
from tests.support.api import FakeInterest
from tests.support.contract import validate_server_message
from tests.support.replica import Wire
from tests.support.views import VIEWS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from api.delivery.dialect import Dialect
    from streams.settings import Settings
    from tests.support.feed import FakeTables

START_MS = 1_745_970_800_000
_HANDSHAKE = {"Upgrade": "websocket"}


class Line(Wire):
    """A wire that a client also speaks on."""

    def __init__(self) -> None:
        super().__init__()
        self._said: asyncio.Queue[WSMessage | None] = asyncio.Queue()
        self._last_id = 0

    @property
    def response(self) -> web.WebSocketResponse:
        return web.WebSocketResponse()

    def ask(self, op: str, **said: object) -> int:
        self._last_id += 1
        self.say(orjson.dumps({"op": op, "id": self._last_id, **said}).decode())
        return self._last_id

    def say(self, said: str | bytes) -> None:
        kind = WSMsgType.TEXT if isinstance(said, str) else WSMsgType.BINARY
        self._said.put_nowait(WSMessage(kind, said, None))

    def close(self, code: int, reason: bytes = b"") -> None:
        if not self.is_closing:
            super().close(code, reason)
            self.hang_up()

    def hang_up(self) -> None:
        self._said.put_nowait(None)

    async def messages(self) -> AsyncIterator[WSMessage]:
        while (message := await self._said.get()) is not None:
            yield message

    def write(self, payload: bytes) -> None:
        if not self.is_closing:
            super().write(payload)

    async def heard(self, wait_s: float = 0.0) -> list[dict[str, Any]]:
        """What came until now, or until ``wait_s`` from now."""
        await asyncio.sleep(wait_s)
        for _ in range(5):
            await asyncio.sleep(0)
        came = self.read()
        for message in came:
            validate_server_message(message)
        return came


class _Lines(Connections):
    def __init__(self, hub: Hub, metrics: ApiMetrics, clock_ms: Callable[[], int]) -> None:
        limits = SocketLimits(10_000, 10_000, 1, 1, ClientAddresses(()))
        super().__init__(hub, metrics, 1.0, limits, clock_ms)
        self._own_hub = hub
        self.accepting = Line()

    @asynccontextmanager
    async def accepted(self, request: web.Request, dialect: Dialect) -> AsyncIterator[Outbox]:
        del request, dialect
        outbox = Outbox(self.accepting)
        try:
            yield outbox
        finally:
            self._own_hub.leave(outbox)


class NativeServer:
    """The endpoint of one replica; its clock began at ``START_MS``."""

    def __init__(self, settings: Settings, tables: FakeTables) -> None:
        feeds = tables.feeds
        loop = asyncio.get_running_loop()

        def clock_ms() -> int:
            return START_MS + round(loop.time() * 1000)

        limits = settings.api.limits
        failures = TokenBuckets(limits.failed_authentications_per_minute / 60, limits.failed_authentications_per_minute)
        self.hub = Hub()
        self.interest = FakeInterest()
        self._guard = Guard(authenticator_of(settings.auth, lambda: clock_ms() / 1000), failures, loop.time)
        self._addresses = ClientAddresses(())
        self._lines = _Lines(self.hub, ApiMetrics(settings, feeds, clock_ms), clock_ms)
        prices, self.heartbeats = MarketPrices(settings, feeds), Heartbeats()
        self.freshness = Freshness(settings, feeds, prices, self.heartbeats, clock_ms)
        sources = Sources(feeds.marks, settings.fresh_ms_of, clock_ms)
        standings = Standings(feeds, settings.topics.partitions, self.freshness, clock_ms)
        directory = Directory(
            settings.epoch,
            settings.deployments,
            feeds,
            totals=Totals(feeds),
            funding=FundingBoard(settings, Listings(settings, feeds, prices, clock_ms), clock_ms),
            hub=self.hub,
            interest=self.interest,
            is_unsupported=lambda name: standings.open_gap(name) is not None,
            freshness=self.freshness,
            views=VIEWS,
        )
        self.freshness.listen(directory.wake_all_of_accounts)
        self._endpoint = NativeEndpoint(
            settings,
            leases=Leases(settings, SystemClock()),
            connections=self._lines,
            hub=self.hub,
            directory=directory,
            pulse=Pulse(settings, feeds, sources, self.freshness, clock_ms),
            guard=self._guard,
            addresses=self._addresses,
            clock_ms=clock_ms,
        )

    @asynccontextmanager
    async def client(self, token: str | None = None) -> AsyncIterator[Line]:
        """A connection; ``token`` is in its header."""
        line = self._lines.accepting = Line()
        serving = asyncio.create_task(self._serve(token))
        try:
            await asyncio.sleep(0)
            yield line
        finally:
            line.hang_up()
            await serving

    async def _serve(self, token: str | None) -> web.StreamResponse:
        headers = _HANDSHAKE if token is None else {**_HANDSHAKE, "Authorization": f"Bearer {token}"}
        request = make_mocked_request("GET", "/v1/ws", headers=headers)
        # What the gate's middleware does on this path.
        Gate(self._guard, self._addresses).admit(request, InProtocol())
        return await self._endpoint.serve(request)
