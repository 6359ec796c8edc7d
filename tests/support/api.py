"""The api's applications on a loopback port, over tables the test fills."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp.test_utils import TestClient, TestServer

from api.app import create_admin_app, create_app
from streams.kafka.single_records import NotWritten
from streams.kafka.topics import WHITELIST
from streams.settings import ApiSettings, DeploymentSettings, Settings
from tests.support.clocks import WallClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import web

    from tests.support.feed import FakeTables

ADDRESS = "0x" + "aB" * 20
OTHER_ADDRESS = "0x" + "cD" * 20
# Short enough to see several frames in a test, long enough to tell "at once" from "at the next tick".
TICK_S = 0.2


def api_settings(*deployments: str, api: ApiSettings | None = None) -> Settings:
    """Settings of an api that serves ``deployments``, without Kafka."""
    return Settings(
        deployments={name: DeploymentSettings(chain_id=1, diamond="0x" + "d" * 40) for name in deployments},
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
    """Takes what would go to the cluster; what is written to ``whitelist`` is on the list at once."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bytes | None]] = []
        self.whitelisted: set[bytes] = set()
        self.is_down = False

    async def send(self, topic: str, key: bytes, value: bytes | None) -> None:
        if self.is_down:
            raise NotWritten
        self.sent.append((topic, key, value))
        if topic == WHITELIST:
            (self.whitelisted.discard if value is None else self.whitelisted.add)(key)


def _now_ms() -> int:
    return 1_745_970_800_000


@asynccontextmanager
async def serving(
    tables: FakeTables,
    settings: Settings | None = None,
    *,
    interest: FakeInterest | None = None,
    records: FakeRecords | None = None,
    upnl_interval_s: float = TICK_S,
    clock_ms: Callable[[], int] = _now_ms,
) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    """A client of the public application."""
    taking = records or FakeRecords()
    app = create_app(
        settings or api_settings("main"),
        tables.feeds,
        interest or FakeInterest(),
        records=taking,
        whitelisted=taking.whitelisted,
        upnl_interval_s=upnl_interval_s,
        clock=WallClock(clock_ms),
    )
    async with TestClient(TestServer(app)) as client:
        yield client


@asynccontextmanager
async def serving_admin(public: web.Application) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    """A client of the admin application of ``public``."""
    async with TestClient(TestServer(create_admin_app(public))) as client:
        yield client


async def metric(admin: TestClient[web.Request, web.Application], name_and_labels: str) -> float:
    """One sample of the metrics page, 0 where it is not there yet."""
    async with admin.get("/metrics") as response:
        text = await response.text()
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return float(samples.get(name_and_labels, "0"))
