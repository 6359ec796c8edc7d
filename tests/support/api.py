"""The api's applications on a loopback port, over tables the test fills."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp.test_utils import TestClient, TestServer

from api.app import create_admin_app, create_app
from api.dialects.mounting import DialectPackage, dialect_of
from api.dialects.symmio.funding_reader import FundingRecords
from api.dialects.symmio.live import Heard
from api.dialects.symmio.owner_answers import OwnerAnswers
from api.dialects.symmio.symmio_dialect import stand
from api.dialects.symmio.upnl_ws import INTERVAL_S
from api.http.listening import BoundedRunner, admin_door, public_door
from streams.kafka.single_records import NotWritten
from streams.kafka.topics import OWNER_REQUESTS, SERVED, WHITELIST
from streams.settings import ApiSettings, Settings, SymmioSettings
from streams.settings.dialects import DialectSettings
from tests.support.clocks import WallClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import web

    from api.dialects.mounting import Mounted, Site
    from api.http.door import Door
    from api.tables.explanations import Explanations
    from api.tables.history import HistorySource
    from models.owners import SubAccountOwner
    from streams.replicas.heartbeat_reader import Heartbeats
    from tests.support.feed import FakeTables

ADDRESS = "0x" + "aB" * 20
OTHER_ADDRESS = "0x" + "cD" * 20
# Short enough to see several frames in a test, long enough to tell "at once" from "at the next tick".
TICK_S = 0.2


def api_settings(*deployments: str, api: ApiSettings | None = None) -> Settings:
    """Settings of an api that serves ``deployments``, without Kafka."""
    return Settings(
        deployments={name: SymmioSettings(chain_id=1, diamond="0x" + "d" * 40) for name in deployments},
        api=api or ApiSettings(drain_s=0.05),
    )


class FakeInterest:
    """Holds what it is told: the keys of the accounts that are watched, and all that ever were, in order."""

    def __init__(self) -> None:
        self._watchers: Counter[bytes] = Counter()
        self.ever_watched: list[bytes] = []

    @property
    def watched(self) -> set[bytes]:
        return {account for account, watchers in self._watchers.items() if watchers}

    def watch(self, account: bytes) -> None:
        if not self._watchers[account]:
            self.ever_watched.append(account)
        self._watchers[account] += 1

    def unwatch(self, account: bytes) -> None:
        self._watchers[account] -= 1
        assert self._watchers[account] >= 0


class FakeRecords:
    """Takes what would go to the cluster; what is written to ``whitelist`` is on the list at once.

    ``asked`` are the accounts whose owner was asked for; those of ``made`` are answered at once, and None is an answer.
    ``kept`` is what figures were made of.
    """

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bytes | None]] = []
        self.kept: list[tuple[bytes, bytes]] = []
        self.whitelisted: set[bytes] = set()
        self.is_down = False
        self.asked: list[bytes] = []
        self.made: dict[bytes, SubAccountOwner | None] = {}
        self.owners = OwnerAnswers()

    async def send(self, topic: str, key: bytes, value: bytes | None) -> None:
        if self.is_down:
            raise NotWritten
        if topic == OWNER_REQUESTS:
            self.asked.append(key)
            if key in self.made:
                self.owners.take(key, self.made[key])
            return
        if topic.startswith(SERVED):
            self.kept.append((key, value or b""))
            return
        self.sent.append((topic, key, value))
        if topic == WHITELIST:
            (self.whitelisted.discard if value is None else self.whitelisted.add)(key)


class BoundedTestServer(TestServer):
    """Listens through a door, as the api's process does, on the port given or on any that is free."""

    def __init__(self, app: web.Application, door: Door, port: int | None = None) -> None:
        super().__init__(app, port=port)
        self._door = door

    async def _make_runner(self, **_: object) -> BoundedRunner:
        return BoundedRunner(self.app, self._door, shutdown_timeout=1.0)


def symmio_that_hears(
    heard: Heard | None = None, upnl_interval_s: float = INTERVAL_S
) -> Callable[[str], DialectPackage | None]:
    """What finds dialects where there is no broker: SYMMIO's hears what it is given, all others are as installed.

    Args:
        heard: What it hears; by default nothing, and no whitelist is still being read.
        upnl_interval_s: Time between two frames of ``upnl-ws``, in s.
    """
    told = heard or Heard(frozenset(), lambda: True, OwnerAnswers(), FundingRecords())

    def mount(site: Site, _section: DialectSettings) -> Mounted:
        return stand(site, told, upnl_interval_s=upnl_interval_s)

    def find(kind: str) -> DialectPackage | None:
        return DialectPackage(kind, DialectSettings, mount) if kind == "symmio" else dialect_of(kind)

    return find


def _now_ms() -> int:
    return 1_745_970_800_000


@asynccontextmanager
async def serving(
    tables: FakeTables,
    settings: Settings | None = None,
    *,
    interest: FakeInterest | None = None,
    records: FakeRecords | None = None,
    heartbeats: Heartbeats | None = None,
    history: HistorySource | None = None,
    explanations: Explanations | None = None,
    charged: FundingRecords | None = None,
    upnl_interval_s: float = TICK_S,
    clock_ms: Callable[[], int] = _now_ms,
    is_whitelist_read: Callable[[], bool] = lambda: True,
) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    """A client of the public application."""
    taking = records or FakeRecords()
    heard = Heard(taking.whitelisted, is_whitelist_read, taking.owners, charged or FundingRecords())
    app = create_app(
        settings or api_settings("main"),
        tables.feeds,
        interest or FakeInterest(),
        records=taking,
        heartbeats=heartbeats,
        history=history,
        explanations=explanations,
        find_dialect=symmio_that_hears(heard, upnl_interval_s),
        clock=WallClock(clock_ms),
    )
    async with TestClient(BoundedTestServer(app, public_door(app))) as client:
        yield client


@asynccontextmanager
async def serving_admin(public: web.Application) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    """A client of the admin application of ``public``."""
    app = create_admin_app(public)
    async with TestClient(BoundedTestServer(app, admin_door(app))) as client:
        yield client


async def metric(admin: TestClient[web.Request, web.Application], name_and_labels: str) -> float:
    """One sample of the metrics page, 0 where it is not there yet."""
    async with admin.get("/metrics") as response:
        text = await response.text()
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return float(samples.get(name_and_labels, "0"))
