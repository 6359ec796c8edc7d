"""A replica of the Flash dialect over tables that the test fills, and clients of it."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp.test_utils import TestClient

from api.app import create_app
from api.dialects.flash.flash_dialect import FLASH as DIALECT
from api.http.listening import public_door
from models.flash.borsh import Reader, layout
from models.flash.flash_accounts import (
    LimitOrder,
    MarketOrders,
    OrderSlot,
    Price,
    TriggerOrder,
    encode_account,
)
from models.prices import Mark, OracleTerms, encode_mark
from models.references import Said, encode_said
from models.statements import Statement, encode_statement
from streams.replicas.heartbeat_reader import Heartbeats
from streams.settings import ApiLimitSettings, ApiSettings, AuthSettings, Settings
from streams.settings.flash.flash_settings import FlashSettings
from tests.support.api import BoundedTestServer, FakeInterest, FakeRecords, symmio_that_hears
from tests.support.clocks import WallClock
from tests.support.feed import FakeTables
from tests.support.flash import NOW_MS, OWNER, basket_of, e, references

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientWebSocketResponse, web

    from api.dialects.mounting import DialectPackage
    from models.flash.flash_accounts import Basket
    from streams.replicas.lease_holder import Leases

DEPLOYMENT = "flash"
# A test's client has one address for all that it does.
MANY = ApiLimitSettings(
    requests_per_s=1_000_000,
    requests_burst=1_000_000,
    connections_per_address=100_000,
    connection_attempts_per_s=1_000_000,
)


class FlashTables:
    """What workers would have written of a small venue.

    Args:
        ready: Whether the tables are read.
    """

    def __init__(self, *, ready: bool = True) -> None:
        self.tables = FakeTables(DEPLOYMENT, ready=ready)
        self._version = 0

    def list_markets(self) -> None:
        """Say everything that values depend on beside prices."""
        for name, value in references().items():
            self.refer(name, value.decode())

    def refer(self, name: str, value: str | None) -> None:
        """Say a reference, or take it away."""
        self._version += 1
        said = Said(value, 0, self._version)
        self.tables.references.put(f"{DEPLOYMENT}:{name}", self._version, encode_said(said))

    def mark(self, symbol: str, price: str, at_ms: int = NOW_MS, session: str | None = None) -> None:
        """Say a price as an oracle does."""
        self._version += 1
        e18 = e(price, 18)
        terms = OracleTerms(-8, e18, 0, session)
        mark = Mark(e18, None, None, None, at_ms, at_ms, self._version, oracle=terms)
        self.tables.marks.put(f"flash-oracle:{symbol}", self._version, encode_mark(mark))

    def show(self, basket: Basket | None, owner: str = OWNER, *, suspect: str | None = None) -> None:
        """Say an owner's basket, None of one that was closed."""
        self._version += 1
        part = None
        if basket is not None:
            data = base64.b64encode(encode_account(basket)).decode()
            part = {"pubkey": basket_of(owner), "data": data, "slot": self._version, "write_version": 0}
        body = {"owner": owner, "basket": part, "ledger": None, "suspect": suspect}
        row = encode_statement(Statement((self._version, 0), body, ()))
        self.tables.statements.put(f"{DEPLOYMENT}:{owner}", self._version, row)


class FlashScene(FlashTables):
    """A replica.

    Args:
        leases: Count over all replicas; without them on this one alone.
        ready: Whether the tables are read.
        auth: Who may read.
        api: The server.
        section: What the dialect's section says beside its kind and deployment.
    """

    def __init__(
        self,
        leases: Leases | None = None,
        *,
        ready: bool = True,
        auth: AuthSettings | None = None,
        api: ApiSettings | None = None,
        **section: object,
    ) -> None:
        super().__init__(ready=ready)
        self.interest = FakeInterest()
        self.records = FakeRecords()
        self.heartbeats = Heartbeats()
        self.now_ms = NOW_MS
        self._leases = leases
        self._auth = auth or AuthSettings()
        self._api = api or ApiSettings(drain_s=0.05, limits=MANY)
        self._section = section

    def app(self) -> web.Application:
        """The public application."""
        settings = Settings(deployments={DEPLOYMENT: FlashSettings()}, api=self._api, auth=self._auth)
        if self._section:
            section = DIALECT.settings.model_validate({"kind": "flash", "deployments": (DEPLOYMENT,), **self._section})
            settings = settings.model_copy(update={"dialects": {"flash": section}})
        return create_app(
            settings,
            self.tables.feeds,
            self.interest,
            leases=self._leases,
            records=self.records,
            heartbeats=self.heartbeats,
            find_dialect=self._find,
            clock=WallClock(lambda: self.now_ms),
        )

    @asynccontextmanager
    async def serving(self, port: int | None = None) -> AsyncIterator[TestClient[web.Request, web.Application]]:
        """A client of it."""
        app = self.app()
        async with TestClient(BoundedTestServer(app, public_door(app), port)) as client:
            yield client

    @staticmethod
    def _find(kind: str) -> DialectPackage | None:
        return DIALECT if kind == "flash" else symmio_that_hears()(kind)


async def hears(socket: ClientWebSocketResponse, within_s: float = 60) -> dict[str, Any]:
    """The next frame of a socket."""
    async with asyncio.timeout(within_s):
        frame: dict[str, Any] = json.loads(await socket.receive_str())
    return frame


async def hears_of(socket: ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    """The next frame of a kind; what comes before it is passed over."""
    while True:
        frame = await hears(socket)
        if frame["type"] == kind:
            data: dict[str, Any] = frame["data"]
            return data


def with_orders(basket: Basket, market: bytes) -> Basket:
    """The basket with a limit order of 1 SOL at 140 and a take-profit at 160, beside free places."""
    at_160 = Price(160 * 10**8, -8)
    free: LimitOrder = layout(LimitOrder).read(Reader(bytes(layout(LimitOrder).least)))
    limit = free._replace(
        limit_price=Price(140 * 10**8, -8), reserve_amount=e("50", 6), size_amount=e("1", 9), take_profit_price=at_160
    )
    none: MarketOrders = layout(MarketOrders).read(Reader(bytes(layout(MarketOrders).least)))
    orders = none._replace(
        limit_orders=(free, limit), take_profit_orders=(TriggerOrder(at_160, e("1", 9), 0),), is_active=True
    )
    return basket._replace(orders_active=True, orders=(OrderSlot(market, orders),))
