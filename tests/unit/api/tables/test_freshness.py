"""What every surface of a replica says while something that figures depend on is silent, and when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from api.http.keys import FRESHNESS, OVERLOAD
from models.freshness import SETTLE_MS
from models.heartbeats import (
    HISTORY_KEY,
    ChainBeat,
    FunderBeat,
    HistoryBeat,
    PricesBeat,
    WorkerBeat,
    chain_key,
    funder_key,
    prices_key,
    worker_key,
)
from models.ids import account_key
from models.ledger.ledger_account import LedgerAccount
from models.ledger.ledger_valuation import value_account
from models.subtotals import Subtotals
from models.symmio.markets import Market, encode_market
from streams.kafka.partitions import partition_of
from streams.replicas.heartbeat_reader import Heartbeats
from streams.settings import ApiSettings, PriceRef, TopicSettings
from streams.settings.ledger.ledger_deployment import LedgerDeploymentSettings
from streams.settings.prices.bitfinex_source import BitfinexSource
from tests.support.api import ADDRESS, api_settings, metric, serving, serving_admin
from tests.support.contract import validate_rest
from tests.support.feed import FakeTables, empty_account_body, valuation_body
from tests.support.ledger import holdings, inputs, position, wallet

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from aiohttp import web
    from aiohttp.test_utils import TestClient

    Client = TestClient[web.Request, web.Application]

START_MS = 1_745_970_800_000
PARTITIONS = TopicSettings().partitions
ACCOUNT = account_key("main", ADDRESS.lower()).decode()
OWN_WORKER = worker_key(partition_of(ACCOUNT.encode(), PARTITIONS))
PARTS = (*map(worker_key, range(PARTITIONS)), chain_key("main"), prices_key("binance-futures"))


class World:
    """Tables, a clock, and processes that beat until they are stopped."""

    def __init__(self, **row: Any) -> None:  # noqa: ANN401 - as valuation_body takes
        self.now_ms = START_MS
        self.heartbeats = Heartbeats()
        self.tables = FakeTables("main")
        market = encode_market(Market(1, name="BTCUSDT", is_valid=True))
        self.tables.markets.put("main:1", 1, market)
        self._version = 0
        self._row = row
        self.stopped: set[str] = set()
        self.live()

    def clock_ms(self) -> int:
        return self.now_ms

    def live(self, for_ms: int = 0) -> None:
        """Let time pass, in which whoever is not stopped does its work every second."""
        for _ in range(0, for_ms, 1_000):
            self.now_ms += 1_000
            self._work()
        if not for_ms:
            self._work()

    def _work(self) -> None:
        if "broker" in self.stopped:
            return
        now_ms = self.now_ms
        for feed in self.tables.all_feeds:
            feed.answered_ms = now_ms
        for name in {*PARTS} - self.stopped:
            self.heartbeats.take(name, _beat(name, now_ms), now_ms)
        if prices_key("binance-futures") not in self.stopped and OWN_WORKER not in self.stopped:
            self._version += 1
            self.tables.marks.put("binance-futures:BTCUSDT", self._version, _mark(now_ms, self._version))
            self.tables.valuations.put(ACCOUNT, self._version, valuation_body(as_of_ms=now_ms, **self._row))


def _beat(name: str, now_ms: int) -> Any:  # noqa: ANN401 - one of four
    kind = name.partition(":")[0]
    match kind:
        case "worker":
            return WorkerBeat("host:1", now_ms, now_ms, 0, 500)
        case "chain":
            return ChainBeat("host:2", now_ms, now_ms, 120, now_ms // 1_000)
        case "prices":
            return PricesBeat("host:3", now_ms, now_ms)
        case _:
            return FunderBeat("host:4", now_ms)


def _mark(at_ms: int, offset: int) -> dict[str, Any]:
    return {
        "mark": "100000000000000000000",
        "index": None,
        "funding_rate": None,
        "next_funding_ms": None,
        "event_ms": at_ms,
        "received_ms": at_ms,
        "offset": offset,
    }


async def _get(client: Client, path: str) -> tuple[int, Any]:
    async with client.get(path) as response:
        body = await response.json()
        if path.startswith("/v1"):
            validate_rest(path, response.status, body)
        return response.status, body


@pytest.fixture
def world() -> World:
    return World()


STOPS = [
    ({OWN_WORKER}, "worker", 6_000),
    ({chain_key("main")}, "chain", 6_000),
    ({prices_key("binance-futures")}, "prices", 6_000),
    ({"broker"}, "broker", 6_000),
]


@pytest.mark.parametrize(("stops", "cause", "bound_ms"), STOPS)
async def test_whatever_stops_every_surface_says_so_within_its_bound_and_says_when_it_is_over(
    world: World, stops: set[str], cause: str, bound_ms: int
) -> None:
    async with serving(world.tables, heartbeats=world.heartbeats, clock_ms=world.clock_ms) as client:
        await _expect_fresh(client)

        world.stopped = stops
        world.live(bound_ms + 1_000)
        status, ready = await _get(client, "/readyz")
        assert (503, False) == (status, ready["isReady"])
        assert any(cause in reason for reason in ready["reasons"]), ready["reasons"]
        _, said = await _get(client, "/v1/status")
        assert said["stale"].keys() & stops == stops
        assert said["lag_ms"] >= bound_ms
        assert all(said["parts"][name]["state"] == "stale" for name in stops)
        _, account = await _get(client, f"/v1/accounts/{ACCOUNT}")
        assert cause in account["stale_because"]
        assert (1, True) == (account["stale"], account["positions"]["1"]["stale"])
        _, alerts = await _get(client, f"/v1/accounts/{ACCOUNT}/alerts")
        assert (cause == "prices") is (cause not in alerts.get("stale_because", ()))
        _, page = await _get(client, "/v1/accounts")
        assert [account["stale_because"]] == [item["stale_because"] for item in page["items"]]
        _, positions = await _get(client, "/v1/positions")
        assert [True] == [item["stale"] for item in positions["items"]]
        async with serving_admin(client.app) as admin:
            for name in stops:
                assert 1.0 == await metric(admin, f'tidemark_part_stale{{part="{name}"}}')

        world.stopped = set()
        world.live(SETTLE_MS + 1_000)
        await _expect_fresh(client)


async def _expect_fresh(client: Client) -> None:
    status, ready = await _get(client, "/readyz")
    assert (200, []) == (status, ready["reasons"])
    _, said = await _get(client, "/v1/status")
    assert ({}, 0, "followed") == (said["stale"], said["lag_ms"], said["deployments"]["main"]["status"])
    _, account = await _get(client, f"/v1/accounts/{ACCOUNT}")
    assert 0 == account["stale"]
    assert "stale_because" not in account


async def test_status_names_who_has_more_to_do_than_he_can_while_he_says_so(world: World) -> None:
    async with serving(world.tables, heartbeats=world.heartbeats, clock_ms=world.clock_ms) as client:
        assert [] == (await _get(client, "/v1/status"))[1]["overloaded"]

        beat = WorkerBeat("host:1", world.now_ms, world.now_ms, 0, 500, overloaded=True)
        world.heartbeats.take(OWN_WORKER, beat, world.now_ms)
        client.app[OVERLOAD].is_on = True
        assert [OWN_WORKER, "replica"] == (await _get(client, "/v1/status"))[1]["overloaded"]

        client.app[OVERLOAD].is_on = False
        world.stopped = {OWN_WORKER}
        world.live(7_000)
        # What it said is too old to be so.
        assert [] == (await _get(client, "/v1/status"))[1]["overloaded"]


async def test_only_accounts_of_the_silent_owners_partition_are_stale(world: World) -> None:
    world.stopped = {worker_key(number) for number in range(PARTITIONS)} - {OWN_WORKER}
    world.live(20_000)
    async with serving(world.tables, heartbeats=world.heartbeats, clock_ms=world.clock_ms) as client:
        _, account = await _get(client, f"/v1/accounts/{ACCOUNT}")

        assert "stale_because" not in account
        assert 503 == (await _get(client, "/readyz"))[0]


async def test_a_row_whose_marks_are_old_is_stale_though_all_parts_go_on() -> None:
    world = World()
    world.tables.valuations.put(ACCOUNT, 99, valuation_body(as_of_ms=START_MS - 121_000))
    async with serving(world.tables, heartbeats=world.heartbeats, clock_ms=world.clock_ms) as client:
        _, account = await _get(client, f"/v1/accounts/{ACCOUNT}")

        assert (1, ["row"]) == (account["stale"], account["stale_because"])


async def test_what_was_never_heard_of_is_unknown_and_makes_nothing_stale(world: World) -> None:
    async with serving(world.tables, heartbeats=Heartbeats(), clock_ms=world.clock_ms) as client:
        _, said = await _get(client, "/v1/status")

        assert {"unknown"} == {part["state"] for name, part in said["parts"].items() if name != "broker"}
        await _expect_fresh(client)


async def test_an_ingest_that_beats_and_has_no_word_of_its_node_is_stale(world: World) -> None:
    beat = ChainBeat("host:2", START_MS, START_MS - 15_001, 120, START_MS // 1_000)
    world.heartbeats.take(chain_key("main"), beat, START_MS)
    async with serving(world.tables, heartbeats=world.heartbeats, clock_ms=world.clock_ms) as client:
        _, said = await _get(client, "/v1/status")

        assert ({"chain:main": 15_001}, "stale") == (said["stale"], said["deployments"]["main"]["status"])
        assert "in step with its node" in said["parts"]["chain:main"]["reason"]


async def test_a_funder_that_is_gone_is_named_and_makes_no_figure_old(world: World) -> None:
    settings = api_settings("main")
    funding = {"party_b": "0x" + "b" * 40}
    deployment = settings.deployments["main"].model_validate(
        {**settings.deployments["main"].model_dump(), "funding": funding}
    )
    settings = settings.model_copy(update={"deployments": {"main": deployment}})
    world.heartbeats.take(funder_key("main"), FunderBeat("host:4", START_MS - 60_000), START_MS)
    async with serving(world.tables, settings, heartbeats=world.heartbeats, clock_ms=world.clock_ms) as client:
        _, said = await _get(client, "/v1/status")

        assert ("stale", 60_000) == (said["parts"]["funder:main"]["state"], said["parts"]["funder:main"]["age_ms"])
        assert said["is_ready"]


async def test_history_is_a_part_where_it_was_heard_of_and_makes_no_figure_old(world: World) -> None:
    async with serving(world.tables, heartbeats=world.heartbeats, clock_ms=world.clock_ms) as client:
        _, before = await _get(client, "/v1/status")
        world.heartbeats.take(HISTORY_KEY, HistoryBeat("host:5", START_MS - 60_000, START_MS - 60_000), START_MS)
        world.live(1_000)
        _, said = await _get(client, "/v1/status")

    assert HISTORY_KEY not in before["parts"]
    assert "stale" == said["parts"][HISTORY_KEY]["state"]
    assert ({}, True) == (said["stale"], said["is_ready"])


async def test_an_unknown_account_is_not_called_non_existent_while_its_block_may_be_unread(world: World) -> None:
    world.stopped = {chain_key("main")}
    path = f"/v1/accounts/main:0x{'e' * 40}"
    async with serving(world.tables, heartbeats=world.heartbeats, clock_ms=world.clock_ms) as client:
        assert 404 == (await _get(client, path))[0]
        world.live(7_000)
        status, problem = await _get(client, path)

        assert 503 == status
        assert "chain:main" in problem["detail"]


@pytest.mark.parametrize("body", [valuation_body, empty_account_body])
async def test_no_legacy_timestamp_is_later_than_the_chain_is_known(body: Callable[..., dict[str, Any]]) -> None:
    world = World()
    world.stopped = {chain_key("main")}
    world.live(9_000)
    world.tables.valuations.put(ACCOUNT, 99, body(as_of_ms=world.now_ms))
    async with serving(world.tables, heartbeats=world.heartbeats, clock_ms=world.clock_ms) as client:
        async with client.get(f"/upnl-a?address={ADDRESS}") as response:
            assert START_MS // 1_000 == (await response.json())["timestamp"]
        async with client.get(f"/partyA_upnl/{ADDRESS}") as response:
            assert 503 == response.status
        async with client.ws_connect("/upnl-ws") as socket:
            await socket.send_str(ADDRESS)
            frame = await socket.receive_json()

        assert START_MS // 1_000 == frame["timestamp"]


async def test_no_legacy_timestamp_is_of_the_future_where_the_venues_clock_is_ahead(world: World) -> None:
    world.tables.valuations.put(ACCOUNT, 99, valuation_body(as_of_ms=START_MS + 30_000))
    async with (
        serving(world.tables, heartbeats=world.heartbeats, clock_ms=world.clock_ms) as client,
        client.ws_connect("/upnl-ws") as socket,
    ):
        await socket.send_str(ADDRESS)

        assert START_MS // 1_000 == (await socket.receive_json())["timestamp"]


async def test_the_etag_of_an_account_is_another_while_it_is_stale(world: World) -> None:
    async with serving(world.tables, heartbeats=world.heartbeats, clock_ms=world.clock_ms) as client:
        path = f"/v1/accounts/{ACCOUNT}"
        async with client.get(path) as response:
            fresh = response.headers["ETag"]
        world.stopped = {OWN_WORKER}
        world.live(7_000)
        async with client.get(path, headers={"If-None-Match": fresh}) as response:
            assert 200 == response.status
            stale = response.headers["ETag"]
        async with client.get(path, headers={"If-None-Match": stale}) as response:
            assert 304 == response.status


async def test_bounds_are_settings(world: World) -> None:
    api = ApiSettings.model_validate({"drain_s": 0.05, "freshness": {"process_s": 30}})
    world.stopped = {OWN_WORKER}
    world.live(20_000)
    settings = api_settings("main", api=api)
    async with serving(world.tables, settings, heartbeats=world.heartbeats, clock_ms=world.clock_ms) as client:
        _, said = await _get(client, "/v1/status")

        assert ("fresh", 30_000) == (said["parts"][OWN_WORKER]["state"], said["parts"][OWN_WORKER]["bound_ms"])


DESK_ACCOUNT = "desk:u1"
# It holds BTC, and a wallet in UST beside.
DESK_PRICES = {"tBTCUSD": "60000", "tUSTUSD": "1"}
DESK_SOURCES = {"tBTCUSD": "coins", "tUSTUSD": "stables"}


class Desk:
    """A ledger beside, of which nobody asks; each of its marks comes from a source of its own."""

    def __init__(self) -> None:
        self.world = World()
        self.world.tables.follow("desk")
        sources: dict[str, tuple[PriceRef, ...]] = {
            market: (PriceRef(source=source, symbol=market),) for market, source in DESK_SOURCES.items()
        }
        desk = LedgerDeploymentSettings(markets=sources)
        self.settings = api_settings("main")
        self.settings = self.settings.model_copy(
            update={
                "deployments": {**self.settings.deployments, "desk": desk},
                "sources": {source: BitfinexSource(tickers=(market,)) for market, source in DESK_SOURCES.items()},
            }
        )
        self.version = 0
        self.live(1)

    def live(self, seconds: int, *, without: str = "") -> None:
        """Let time pass, in which each source but that of one market says a price every second."""
        for _ in range(seconds):
            self.world.live(1_000)
            self.version += 1
            for market in DESK_PRICES.keys() - {without}:
                source, now_ms = DESK_SOURCES[market], self.world.now_ms
                self.world.heartbeats.take(prices_key(source), PricesBeat("host:6", now_ms, now_ms), now_ms)
                self.world.tables.marks.put(f"{source}:{market}", self.version, _mark(now_ms, self.version))

    def hold(self) -> None:
        """Let an account of the ledger be valued."""
        held = holdings(wallet("1000"), wallet("500", "UST"), position("0.2", "150"))
        now = inputs(DESK_PRICES, paths={"UST": ["tUSTUSD"]})
        account = LedgerAccount(applied=(0, -1), version=1, heard=1, holdings=held)
        body = {**value_account(account, 1, now, unsupported=False).body, "as_of_ms": self.world.now_ms}
        self.world.tables.valuations.put(DESK_ACCOUNT, 1, body)
        sums = Subtotals()
        sums.put("desk", None, body)
        for key, added in sums.take_changed(0, set()):
            self.world.tables.subtotals.put(key.decode(), 1, added)

    def serving(self) -> AbstractAsyncContextManager[Client]:
        return serving(self.world.tables, self.settings, heartbeats=self.world.heartbeats, clock_ms=self.world.clock_ms)


@pytest.mark.parametrize("market", DESK_PRICES)
@pytest.mark.parametrize("is_held_first", [True, False])
async def test_a_silent_market_that_an_account_alone_names_is_said_whoever_asks(
    market: str,
    is_held_first: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    desk = Desk()
    if is_held_first:
        desk.hold()
    async with desk.serving() as client:
        assert 200 == (await _get(client, "/readyz"))[0]
        if not is_held_first:
            desk.hold()
        desk.live(1)
        assert 200 == (await _get(client, "/readyz"))[0]

        desk.live(8, without=market)
        status, ready = await _get(client, "/readyz")
        assert (503, True) == (status, any(DESK_SOURCES[market] in reason for reason in ready["reasons"])), ready
        _, account = await _get(client, f"/v1/accounts/{DESK_ACCOUNT}")
        assert ["prices"] == account["stale_because"]
        _, totals = await _get(client, "/v1/totals?deployment=desk")
        assert ["prices"] == totals["items"][0]["stale_because"]
        why = client.app[FRESHNESS].why_old("desk")
        assert why is not None
        assert DESK_SOURCES[market] in why
        assert client.app[FRESHNESS].why_old("main") is None

        desk.live(SETTLE_MS // 1_000 + 1)
        assert 200 == (await _get(client, "/readyz"))[0]
        assert "stale_because" not in (await _get(client, f"/v1/accounts/{DESK_ACCOUNT}"))[1]
        assert "stale_because" not in (await _get(client, "/v1/totals?deployment=desk"))[1]["items"][0]


async def test_a_silent_market_that_no_account_names_makes_nothing_old() -> None:
    desk = Desk()
    async with desk.serving() as client:
        desk.live(8, without="tUSTUSD")

        assert 200 == (await _get(client, "/readyz"))[0]
        assert client.app[FRESHNESS].why_old("desk") is None


async def test_a_row_that_cannot_be_read_hides_no_market_that_another_names() -> None:
    desk = Desk()
    desk.world.tables.valuations.put_rows([(b"desk:u0", b"no row at all, whatever it was")])
    desk.hold()
    async with desk.serving() as client:
        desk.live(8, without="tBTCUSD")

        assert 503 == (await _get(client, "/readyz"))[0]


def test_a_word_of_before_does_not_take_the_place_of_a_newer_one() -> None:
    heartbeats = Heartbeats()
    heartbeats.take("funder:main", FunderBeat("new", 2_000), 2_000)
    heartbeats.take("funder:main", FunderBeat("slept", 1_000), 2_100)

    assert "new" == heartbeats.newest["funder:main"].beat.process
