"""What the dialect says while something is silent that its figures depend on: frames have no word for their age."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from models.flash.solana_keys import key_text
from models.freshness import SETTLE_MS
from models.heartbeats import ChainBeat, PricesBeat, WorkerBeat, chain_key, prices_key, worker_key
from models.ids import account_key
from streams.kafka.partitions import partition_of
from streams.settings import TopicSettings
from tests.support.eventually import eventually
from tests.support.flash import OWNER, POOL, SOL_LONG, basket, basket_of, position, text
from tests.support.flash_scene import DEPLOYMENT, FlashScene, hears, hears_of

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.test_utils import TestClient

    Client = TestClient[web.Request, web.Application]

PARTITIONS = TopicSettings().partitions
OWN_WORKER = worker_key(partition_of(account_key(DEPLOYMENT, OWNER), PARTITIONS))
CHAIN, PRICES, BROKER = chain_key(DEPLOYMENT), prices_key("flash-oracle"), "broker"
OF_OWNER = (f"/v2/owner/{OWNER}", f"/owner/{OWNER}", f"/v2/raw/baskets/{basket_of()}")
OF_VENUE = (
    "/v2/raw/markets",
    f"/v2/raw/markets/{key_text(SOL_LONG)}",
    "/v2/raw/pools",
    f"/v2/raw/custodies/{text('SOL custody')}",
    "/v2/pool-data",
    f"/v2/pool-data/{key_text(POOL)}",
)
# Of these it is not known that there are none.
NOT_THERE = (f"/v2/raw/markets/{OWNER}", f"/v2/raw/baskets/{text('nobody')}", "/v2/prices/BTC")


class Venue(FlashScene):
    """A replica, and processes that beat until they are stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped: set[str] = set()
        self.list_markets()
        self.show(basket(position(SOL_LONG)))
        self.live(1)

    def live(self, seconds: int) -> None:
        """Let time pass, in which whoever is not stopped does its work every second."""
        for _ in range(seconds):
            self.now_ms += 1_000
            self._work()

    def _work(self) -> None:
        if BROKER in self.stopped:
            return
        now_ms = self.now_ms
        for feed in self.tables.all_feeds:
            feed.answered_ms = now_ms
        beats: dict[str, Any] = {
            **{worker_key(number): WorkerBeat("host:1", now_ms, now_ms, 0, 500) for number in range(PARTITIONS)},
            CHAIN: ChainBeat("host:2", now_ms, now_ms, 7, now_ms // 1_000),
            PRICES: PricesBeat("host:3", now_ms, now_ms),
        }
        for name in beats.keys() - self.stopped:
            self.heartbeats.take(name, beats[name], now_ms)
        if PRICES not in self.stopped:
            for symbol in ("SOL", "USDC"):
                self.mark(symbol, "150", now_ms)


async def status_of(client: Client, path: str) -> tuple[int, str]:
    async with client.get(path) as response:
        return response.status, str((await response.json()).get("error", "")) if response.status != 200 else ""


@pytest.mark.parametrize("silent", [CHAIN, OWN_WORKER, BROKER])
async def test_nothing_that_may_be_old_is_answered_and_all_is_when_it_is_over(silent: str) -> None:
    venue = Venue()
    async with venue.serving() as client:
        for path in (*OF_OWNER, *OF_VENUE, "/v2/health"):
            assert (200, "") == await status_of(client, path), path
        for path in NOT_THERE:
            assert 404 == (await status_of(client, path))[0], path

        venue.stopped = {silent}
        venue.live(7)
        for path in (*OF_OWNER, *OF_VENUE, *NOT_THERE, "/v2/health"):
            status, why = await status_of(client, path)
            assert (503, True) == (status, why.startswith(f"{silent}: ")), path
        # A price says itself when it was said.
        assert 200 == (await status_of(client, "/v2/prices/SOL"))[0]

        venue.stopped = set()
        venue.live(SETTLE_MS // 1_000 + 1)
        for path in (*OF_OWNER, *OF_VENUE, "/v2/health"):
            assert (200, "") == await status_of(client, path), path


@pytest.mark.parametrize("silent", [CHAIN, OWN_WORKER, BROKER])
async def test_a_socket_hears_no_figure_that_may_be_old_and_goes_on_when_it_is_over(silent: str) -> None:
    venue, path = Venue(), f"/v2/owner/{OWNER}/ws?updateIntervalMs=100"
    async with venue.serving() as client, client.ws_connect(path) as socket:
        await hears_of(socket, "basket")
        await hears_of(socket, "metrics")
        venue.stopped = {silent}
        venue.live(7)
        async with client.ws_connect(path) as late:
            hearing = asyncio.ensure_future(hears(late))

            async def is_silent() -> bool:
                try:
                    await hears(socket, within_s=0.5)
                except TimeoutError:
                    return True
                return False

            await eventually(is_silent)
            assert not hearing.done()

            venue.stopped = set()
            venue.live(SETTLE_MS // 1_000 + 1)
            assert "basket" == (await hearing)["type"]
            # Its basket is the one that it has.
            assert "metrics" == (await hears(socket))["type"]


async def test_only_owners_of_the_silent_workers_partition_are_not_shown() -> None:
    venue = Venue()
    venue.stopped = {worker_key(number) for number in range(PARTITIONS)} - {OWN_WORKER}
    venue.live(20)
    async with venue.serving() as client:
        for path in OF_OWNER:
            assert 200 == (await status_of(client, path))[0], path
        assert 503 == (await status_of(client, "/v2/raw/markets"))[0]


async def test_silent_prices_are_said_by_health_and_by_their_own_time() -> None:
    venue = Venue()
    held = {"positions": [{"symbol": "SOL"}], "conversions": {"USDC": {}}}
    venue.tables.valuations.put(f"{DEPLOYMENT}:{OWNER}", 1, held)
    async with venue.serving() as client:
        venue.stopped, said_ms = {PRICES}, venue.now_ms
        venue.live(31)
        async with client.get("/v2/health") as response:
            health = await response.json()
            assert (503, "stale") == (response.status, health["status"])
            assert PRICES in health["error"]
            assert 3 == health["config"]["tokens"]
        async with client.get(f"/v2/owner/{OWNER}") as response:
            shown = (await response.json())["positionMetrics"][key_text(SOL_LONG)]
        assert str(said_ms // 1_000) in shown["exitPrice"]["timestamp"]
