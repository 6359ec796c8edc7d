"""However Bitfinex's websocket misbehaves: a mark is what the venue said at the mark's own time, and it comes back."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from models.prices import MarkTick, decode_tick, mark_of
from streams.ingest.prices.bitfinex.bitfinex_follower import BitfinexFollower
from streams.ingest.prices.price_site import PriceSite
from streams.kafka.topics import PRICE_TICKS
from streams.settings import BitfinexSource, Settings
from tests.support.clocks import LoopClock
from tests.support.hostile_bitfinex import DERIVATIVES, QUIET, START_MS, TICKERS, TROUBLES, HostileBitfinex
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.ingest.outlet import Outlet

SOURCE = "bitfinex"
# A connection that fails is opened again within 30 s; one whose channel is dead is noticed within 35 s, and waits too.
CALM_S = 110
_FINEST = Decimal("1e-18")


class World:
    """The venue, ingest, and what it writes; each tick is checked when it is written."""

    def __init__(self, seed: int, kinds: Sequence[str], ahead_ms: int = 0, trouble_s: float = 60.0) -> None:
        self.venue = HostileBitfinex(seed, trouble_s=trouble_s, kinds=kinds, ahead_ms=ahead_ms)
        self.newest: dict[str, MarkTick] = {}
        self.ticks = 0
        source = BitfinexSource(tickers=TICKERS, derivatives=DERIVATIVES)
        self.settings = Settings(kafka="nowhere:1", data_dir=Path("unused"), sources={SOURCE: source})
        self.clock = LoopClock(START_MS)
        site = PriceSite(self.settings, SOURCE, source, self.venue.session, cast("Outlet", self), self.clock)
        self.follower = BitfinexFollower(site)

    async def put(self, topic: str, key: bytes, value: bytes | None) -> None:
        assert value is not None
        if topic != PRICE_TICKS:
            return
        tick = decode_tick(value)
        assert isinstance(tick, MarkTick)
        assert f"{SOURCE}:{tick.symbol}".encode() == key
        said = Decimal(self.venue.price_at(tick.symbol, tick.event_ms))
        assert abs(Decimal(tick.mark) - said) <= _FINEST / 2
        # A worker can read it.
        mark_of(tick, 0)
        self.ticks += 1
        if tick.symbol not in self.newest or tick.event_ms > self.newest[tick.symbol].event_ms:
            self.newest[tick.symbol] = tick

    async def play(self, seconds: float) -> None:
        tasks = [asyncio.create_task(self.venue.run()), asyncio.create_task(self.follower.run())]
        await asyncio.sleep(seconds)
        ended = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert [] == ended, "ingest has ended"


def played(seed: int, kinds: Sequence[str] = (), ahead_ms: int = 0, seconds: float = 60 + CALM_S) -> World:
    async def play() -> World:
        world = World(seed, kinds, ahead_ms)
        await world.play(seconds)
        return world

    return run_in_no_time(play())


def expect_current(world: World) -> None:
    """Every symbol has the price that the venue says now, and it is fresh."""
    for symbol in (*TICKERS, *DERIVATIVES):
        tick = world.newest[symbol]
        assert abs(Decimal(tick.mark) - Decimal(world.venue.price_at(symbol, tick.event_ms))) <= _FINEST / 2
        old_ms = world.venue.now_ms - tick.event_ms
        assert old_ms <= (16_000 if symbol == QUIET else 2_000), symbol


def _is_current(seed: int) -> bool:
    try:
        expect_current(played(seed, ("lost",)))
    except AssertionError:
        return False
    return True


def test_undisturbed_every_change_is_written_and_quiet_pairs_are_said_to_live() -> None:
    world = played(1)

    expect_current(world)
    assert 1 == world.venue.connections
    # Three symbols change each second, and the quiet one every 20 s; it lives every 15 s besides.
    assert 3 * 165 <= world.ticks <= 3 * 172 + 25
    status = world.newest[DERIVATIVES[0]]
    assert ("-0.0000125", START_MS + 3_600_000) == (status.funding_rate, status.next_funding_ms)
    assert status.index == status.mark
    assert world.newest[TICKERS[0]].index is None


@pytest.mark.parametrize("kind", TROUBLES)
@pytest.mark.parametrize("seed", range(3))
def test_one_kind_of_trouble_ends_in_the_current_prices(kind: str, seed: int) -> None:
    expect_current(played(seed, (kind,)))


@pytest.mark.parametrize("seed", range(40))
def test_any_mixture_of_troubles_ends_in_the_current_prices(seed: int) -> None:
    expect_current(played(seed, TROUBLES, ahead_ms=(0, 20_000, -20_000)[seed % 3]))


def test_without_the_numbers_of_frames_a_lost_one_would_go_unnoticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the checks: a mark that was lost is told as current by the next word that the channel lives."""
    monkeypatch.setattr("streams.ingest.prices.bitfinex.bitfinex_session._is_next", lambda _before, _now: True)
    wrong = [seed for seed in range(20) if not _is_current(seed)]
    assert wrong
