"""However a venue misbehaves: a price that counts is what it said a moment ago, or it is said to be stale.

TIDEMARK_TEST_SCRIPTS says how many scripts are played, TIDEMARK_TEST_SEED which is the first (`make hostile-venue`); a
failure names the seed of its script.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import pytest

from models.engine.board import choose_mark
from models.engine.registers import instrument_registers, mark_registers
from models.engine.tables import INSTRUMENTS, MARKS, MemoryTables
from models.errors import BadRecord
from models.ids import mark_key
from models.instruments import DEFAULT_FUNDING_INTERVAL_S, Instrument, decode_fact, decode_instrument
from models.money import parse_e18
from models.prices import decode_mark, decode_tick, mark_of
from streams.ingest.prices.binance.binance_follower import BinanceFollower
from streams.ingest.prices.price_site import PriceSite
from streams.kafka import topics
from streams.kafka.deadletter import DeadLetters, decode_dead_letter, form_of
from streams.settings import BinanceSource, Settings, SymmioSettings
from tests.support.clocks import LoopClock
from tests.support.hostile_venue import (
    CALM_S,
    NAMES,
    OWN_HOURS,
    START_MS,
    TROUBLE_S,
    HostileVenue,
    Life,
    Script,
    Trouble,
    draw,
    price_of,
    undisturbed,
)
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from models.prices import UsedMark
    from streams.ingest.outlet import Outlet
    from streams.kafka.deadletter import DeadLetter

SOURCE = "v"
# Together, how old the event of a price may be that counts: since its receipt, before it, and the error of the clock.
MAX_AGE_S, MAX_LATE_S, CLOCK_ERROR_S = 5.0, 5.0, 1.1
_SCRIPTS = int(os.environ.get("TIDEMARK_TEST_SCRIPTS", "150"))
_FIRST_SEED = int(os.environ.get("TIDEMARK_TEST_SEED", "0"))
_CHUNKS = 10
_LEAST_STEP_S = 1e-6


class Deployment:
    """What ingest writes, folded as the agents do, and the choice of marks."""

    def __init__(self, script: Script) -> None:
        source = BinanceSource(book_symbols=NAMES if script.books else ())
        self.settings = Settings(
            kafka="nowhere:1",
            data_dir=Path("unused"),
            sources={SOURCE: source},
        )
        priced = SymmioSettings(chain_id=1, diamond="0x" + "d" * 40, default_sources=(SOURCE, f"{SOURCE}-book"))
        self.clock = LoopClock(START_MS)
        self.tables = MemoryTables()
        self.letters: list[DeadLetter] = []
        self.refused: Counter[bytes] = Counter()
        self.shown: dict[str, int] = {}
        self._worker_letters = DeadLetters(self.clock)
        self._sources = {name: priced.price_sources(name) for name in NAMES}
        self._offset = 0
        self._marks = mark_registers(self.tables)
        self._instruments = instrument_registers(self.tables)

    async def put(self, topic: str, key: bytes, value: bytes | None) -> None:
        """Take a record, as the outlet does."""
        assert value is not None
        self._offset += 1
        if topic == topics.DEAD_LETTERS:
            self.letters.append(decode_dead_letter(value))
            return
        try:
            self._fold(topic, key, value)
        except BadRecord as error:
            self.refused[key] += 1
            letter = self._worker_letters.refuse(
                topic, value, error, key=key, position=(0, self._offset), fault=form_of(error)
            )
            self.letters += [] if letter is None else [letter]

    def _fold(self, topic: str, key: bytes, value: bytes) -> None:
        match topic:
            case topics.PRICE_TICKS:
                self._marks.apply(key, mark_of(decode_tick(value), self._offset))
                self.tables.take(self._marks.take())
            case topics.INSTRUMENT_FACTS:
                self._instruments.apply(key, decode_fact(value))
                self.tables.take(self._instruments.take())
            case _:
                pytest.fail(f"expected a record of prices, found one of {topic}")

    def used(self, name: str) -> UsedMark | None:
        """The mark of a market now."""
        rows = ((source, self.tables.read(MARKS, source.key)) for source in self._sources[name])
        marks = [(source, None if row is None else decode_mark(row)) for source, row in rows]
        return choose_mark(marks, self.clock.now_ms())

    def instrument(self, name: str) -> Instrument:
        """What is known of a symbol."""
        row = self.tables.read(INSTRUMENTS, mark_key(SOURCE, name))
        return Instrument() if row is None else decode_instrument(row)


def expect_what_counts_to_be_true(script: Script, venue: HostileVenue, deployment: Deployment) -> None:
    """Every mark is what the venue said of its event; one that is not said to be stale is of a moment ago."""
    now_s = venue.now_s
    # A venue that is ahead, and has not said so when a price came, seems to be in time for longer.
    is_clock_known = venue.said_time_s < now_s - MAX_AGE_S
    hidden_s = 0.0 if is_clock_known else max(0.0, script.clock_ahead_ms / 1_000)
    for name in NAMES:
        used = deployment.used(name)
        if used is None:
            continue
        assert used.event_ms >= deployment.shown.get(used.key, 0), f"{name} went back"
        deployment.shown[used.key] = used.event_ms
        second, rest = divmod(used.event_ms - START_MS - script.clock_ahead_ms, 1_000)
        assert (0, parse_e18(price_of(name, second))) == (rest, used.mark_e18)
        age_s = now_s - second
        assert used.stale or age_s <= MAX_AGE_S + MAX_LATE_S + CLOCK_ERROR_S + hidden_s, (
            f"{name} of {age_s} s ago counts"
        )


def expect_recovery(script: Script, venue: HostileVenue, deployment: Deployment, now_s: float) -> None:
    """After the trouble the marks are those of the undisturbed run, and what is not known is told."""
    is_refused_as_future = not script.says_time and script.clock_ahead_ms > 60_000
    for name, life in script.lives.items():
        used = deployment.used(name)
        if not life.lists(now_s):
            assert used is None or used.stale
            continue
        expect_terms(venue, deployment, name)
        if now_s >= life.settles_s or is_refused_as_future:
            assert used is None or used.stale
        else:
            assert used is not None
            assert int(now_s) * 1_000 == used.event_ms - START_MS - script.clock_ahead_ms
            assert script.is_known_late is used.stale


def expect_few_letters(script: Script, deployment: Deployment) -> None:
    """A fault that lasts is told once, also that of a symbol that has settled at 0, whose every price is refused."""
    for name, life in script.lives.items():
        for source in (SOURCE, f"{SOURCE}-book"):
            zero = f"of {source}:{name} in (0, 1e15], found 0.0"
            assert sum(zero in letter.reason for letter in deployment.letters) <= 1
        if life.settles_s < TROUBLE_S and life.until_s > TROUBLE_S + CALM_S:
            assert deployment.refused[mark_key(SOURCE, name)] >= CALM_S / 2
    assert len(deployment.letters) < 120


def expect_terms(venue: HostileVenue, deployment: Deployment, name: str) -> None:
    """Terms are the venue's own, or not known, and that is told."""
    known = deployment.instrument(name)
    if known.rules is not None:
        assert ("TRADING", 2) == (known.rules.status, known.rules.price_decimals)
    if known.funding is not None:
        assert OWN_HOURS.get(name, DEFAULT_FUNDING_INTERVAL_S // 3_600) * 3_600 == known.funding.interval_s
    elif known.rules is not None:
        assert name in venue.spoiled
        assert "BadFact" in {letter.cause for letter in deployment.letters}


class Outcome(NamedTuple):
    """What a run came to: whether each symbol's mark is stale, and what was refused."""

    stale: tuple[bool, ...]
    letters: int


async def play(script: Script, until_s: int = TROUBLE_S + CALM_S, late_s: float | None = None) -> Outcome:
    """Play a script, or its beginning; what is told is checked each second."""
    venue, deployment = HostileVenue(script, late_s), Deployment(script)
    settings, outlet = deployment.settings, cast("Outlet", deployment)
    site = PriceSite(settings, SOURCE, settings.sources[SOURCE], venue.session, outlet, deployment.clock)
    follower = BinanceFollower(site)
    tasks = [asyncio.create_task(venue.run()), asyncio.create_task(follower.run())]
    for second in range(until_s):
        await asyncio.sleep(second + 0.5 - venue.now_s)
        assert [] == [task for task in tasks if task.done()], "ingest has ended"
        expect_what_counts_to_be_true(script, venue, deployment)
    if until_s == TROUBLE_S + CALM_S:
        expect_recovery(script, venue, deployment, venue.now_s)
        expect_few_letters(script, deployment)
    used = [deployment.used(name) for name in NAMES]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return Outcome(tuple(one is None or one.stale for one in used), len(deployment.letters))


def run(script: Script, until_s: int = TROUBLE_S + CALM_S, late_s: float | None = None) -> Outcome:
    random.seed(script.seed)
    return run_in_no_time(play(script, until_s, late_s), _LEAST_STEP_S)


@pytest.mark.parametrize("chunk", range(_CHUNKS))
def test_prices_that_count_are_true_whatever_the_venue_does(chunk: int) -> None:
    for seed in range(_FIRST_SEED + chunk, _FIRST_SEED + _SCRIPTS, _CHUNKS):
        script = draw(seed)
        try:
            run(script)
        except AssertionError as error:
            error.add_note(f"seed {seed}: {script}")
            raise


_STEADY = undisturbed(draw(1))._replace(
    lives=dict.fromkeys(NAMES, Life()), clock_ahead_ms=0, says_time=True, books=True
)
_ALL_STALE, _NONE_STALE = (True,) * len(NAMES), (False,) * len(NAMES)


def test_an_undisturbed_venue_is_never_said_to_be_stale() -> None:
    assert Outcome(_NONE_STALE, 0) == run(_STEADY)


@pytest.mark.parametrize("ahead_ms", [0, 20_000, -20_000])
def test_a_venue_that_is_steadily_15_s_late_is_stale_whatever_its_clock_shows(ahead_ms: int) -> None:
    late = (Trouble("socket", "late", 0.0, 1e9), Trouble("premiumIndex", "500", 0.0, 1e9))
    script = _STEADY._replace(troubles=late, clock_ahead_ms=ahead_ms)

    assert _ALL_STALE == run(script, 45, 15.0).stale


@pytest.mark.parametrize("ahead_ms", [0, 20_000, -20_000, 90_000, -90_000])
def test_a_clock_that_is_off_by_a_constant_makes_nothing_stale(ahead_ms: int) -> None:
    assert _NONE_STALE == run(_STEADY._replace(clock_ahead_ms=ahead_ms), 5).stale


def test_a_venue_that_never_says_its_time_is_stale_where_it_is_behind_and_not_where_it_is_ahead() -> None:
    mute = _STEADY._replace(says_time=False)

    assert _ALL_STALE == run(mute._replace(clock_ahead_ms=-20_000), 20).stale
    assert _NONE_STALE == run(mute._replace(clock_ahead_ms=20_000), 20).stale
