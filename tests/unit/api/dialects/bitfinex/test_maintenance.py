"""What clients are told while tables are not read yet, or the broker or a source of prices is silent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from api.http.keys import FRESHNESS
from models.heartbeats import PricesBeat, prices_key
from models.money import E18
from tests.support.bitfinex import NOW_MS, Scene, signed
from tests.support.bitfinex_holdings import fill
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    fill(made)
    return made


async def test_while_tables_are_being_read_a_login_waits(tmp_path: Path) -> None:
    made = Scene(tmp_path, ready=False)
    async with made.connected() as socket:
        await socket.say(signed(1))
        await socket.hears()
        fill(made)
        made.tables.become_ready()
        assert "OK" == (await socket.hears_of("auth"))["status"]
        assert 1 == len((await socket.hears_of("ps"))[2])


async def test_a_login_whose_tables_are_not_read_in_time_is_told_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.dialects.bitfinex.socket_session._WARM_WITHIN_S", 0.01)
    async with Scene(tmp_path, ready=False).connected() as socket:
        assert 11_000 == (await socket.logs_in(1))["code"]


async def test_while_the_broker_is_silent_clients_are_told_of_maintenance_and_when_it_is_over(scene: Scene) -> None:
    async with scene.serving() as client, scene.socket(client) as socket:
        await socket.hears()
        for feed in scene.tables.all_feeds:
            feed.answered_ms = scene.now_ms
        scene.now_ms += 100_000
        assert 20_060 == (await socket.hears())["code"]
        async with scene.socket(client) as late:
            assert {"status": 0} == (await late.hears())["platform"]
        for feed in scene.tables.all_feeds:
            feed.answered_ms = 10**15
        told = asyncio.create_task(socket.hears())

        def is_told() -> bool:
            # What was stale is trusted again only after it has been fresh for a while.
            scene.now_ms += 100
            return told.done()

        await eventually(is_told)
        assert 20_061 == (await told)["code"]


async def test_while_a_source_of_prices_is_silent_clients_are_told_of_maintenance_and_when_it_is_over(
    scene: Scene,
) -> None:
    def source_speaks() -> None:
        scene.heartbeats.take(prices_key("bitfinex"), PricesBeat("host:1", scene.now_ms, scene.now_ms), scene.now_ms)
        scene.ledger.mark("tBTCUSD", 160 * E18, scene.now_ms)

    source_speaks()
    async with scene.logged_in() as socket:
        await socket.asks("position_tBTCUSD")
        await socket.hears_of("pu")
        scene.now_ms += 100_000
        assert 20_060 == (await socket.hears_of("info"))["code"]
        told = asyncio.create_task(socket.hears_of("info"))

        def is_told() -> bool:
            scene.now_ms += 1_000
            source_speaks()
            return told.done()

        await eventually(is_told)
        assert 20_061 == (await told)["code"]


async def test_a_market_that_is_quiet_while_its_source_speaks_is_no_maintenance(scene: Scene) -> None:
    scene.heartbeats.take(prices_key("bitfinex"), PricesBeat("host:1", NOW_MS + 100_000, NOW_MS + 100_000), NOW_MS)
    async with scene.serving() as client, scene.socket(client) as socket:
        await socket.logs_in(1)
        await socket.asks("position_tBTCUSD")
        await socket.hears_of("pu")
        scene.now_ms += 100_000
        scene.heartbeats.take(prices_key("bitfinex"), PricesBeat("host:1", scene.now_ms, scene.now_ms), scene.now_ms)

        def is_seen() -> bool:
            return bool(client.app[FRESHNESS].look().stale_symbols)

        await eventually(is_seen)
        assert client.app[FRESHNESS].why_old("desk") is None
        async with scene.socket(client) as late:
            assert {"status": 1} == (await late.hears())["platform"]


async def test_of_a_ledgers_account_that_may_only_not_have_been_read_yet_no_figure_is_zero(tmp_path: Path) -> None:
    made = Scene(tmp_path)
    async with made.logged_in() as socket:
        await socket.asks("margin_base", "balance")
        assert ["base", [0] * 5] == (await socket.hears())[2]
        assert [0, 0] == (await socket.hears())[2]
        for feed in made.tables.all_feeds:
            feed.answered_ms = made.now_ms
        made.now_ms += 100_000
        await socket.asks("margin_base", "balance")
        assert ["base", [None] * 5] == (await socket.hears_of("miu"))[2]
        assert [None, None] == (await socket.hears_of("bu"))[2]
