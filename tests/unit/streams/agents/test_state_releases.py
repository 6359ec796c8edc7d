"""When states that wait for the engine are released, and that they are for owned partitions only."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.account_events import Transaction
from models.codec import decode_row
from models.engine.board import InputBoard
from models.engine.step import RowId, Write
from models.engine.tables import POSITION_STATES, MemoryTables
from models.position_states import shown
from models.symmio.account import advance
from models.symmio.due_states import DueStates
from models.symmio.position_states import GAP_S, pushed_since
from models.venue import ToldAt
from streams.agents.state_releases import StateReleases
from streams.settings import Settings, SymmioSettings, TopicSettings
from streams.transport.terms import Terms
from streams.valuing.engines import Engines
from tests.support.clocks import WallClock
from tests.support.eventually import eventually
from tests.support.positions import KEY, engine_state
from tests.support.symmio import E18, allocate, block, fee_out, send_quote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from models.engine.step import Stage
    from models.engine.stored_rows import StoredRows
    from models.venue import Change

NOW_MS = 1_700_000_100_000


class FakeRows:
    """The tables of partition 0 in dicts."""

    partitions = 1

    def __init__(self) -> None:
        self.tables = MemoryTables()
        self.rested_on: list[RowId] = []
        self.has_left = True

    def of_partition(self, partition: int) -> StoredRows:
        assert partition == 0
        return self.tables

    def items(self, table: str, partition: int) -> Iterator[tuple[bytes, bytes]]:
        assert partition == 0
        return iter(list(self.tables.items(table)))

    def put_stage(self, partition: int, stage: Stage) -> None:
        assert partition == 0
        for write in stage.writes:
            assert write.table == POSITION_STATES
            self.tables.put(write)
            self.has_left = False
        self.rested_on += stage.rests_on

    def flush(self) -> None:
        self.has_left = True


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.ms = NOW_MS

    def __call__(self) -> int:
        return self.ms


class World:
    """One partition, and a chain in which Alice sent a quote in the second of ``NOW_MS``."""

    def __init__(self, mode: str, rows: FakeRows | None = None) -> None:
        deployment = SymmioSettings.model_validate(
            {"chain_id": 1, "diamond": "0x" + "d1" * 20, "position_states": mode}
        )
        settings = Settings(
            kafka="nowhere:1",
            data_dir=Path("unused"),
            topics=TopicSettings(partitions=1),
            deployments={"main": deployment},
        )
        terms = Terms()
        terms.hold({0: 1})
        self.rows = rows or FakeRows()
        self.clock = Clock()
        self.fatal: list[BaseException] = []
        self.engines = Engines(settings, self.rows, terms, InputBoard(lambda _key: None))
        self.releases = StateReleases(self.rows, self.engines, WallClock(self.clock), self.fatal.append)

    @property
    def states(self) -> DueStates:
        notices = self.engines[0]["symmio"].notices
        assert isinstance(notices, DueStates)
        return notices

    def sent(self) -> None:
        logs = tuple(block(100, [allocate(5_000 * E18), fee_out(0), send_quote(131_388)]).logs)
        transaction = Transaction((40, 0), 100, NOW_MS // 1000, logs[0].tx, logs)
        change = self.states.of_record(KEY, transaction, advance(None, transaction), self.clock())
        assert change is not None
        self._fold(change)

    def said(self, sent_ms: int = NOW_MS) -> None:
        state = engine_state(modify_time=NOW_MS // 1000)
        self._fold(self.states.of_engine(KEY, state, ToldAt(0, 3, sent_ms), self.clock()))

    def _fold(self, change: Change) -> None:
        found = self.states.fold(KEY, [change])
        assert isinstance(found, Write)
        self.rows.tables.put(found)
        self.releases.look()

    def body(self) -> dict[str, Any]:
        row = self.rows.tables.read(POSITION_STATES, KEY)
        assert row is not None
        return decode_row(row).body

    def shows(self, count: int) -> bool:
        return count == len(shown(self.body())) and self.rows.has_left


@asynccontextmanager
async def world(mode: str, rows: FakeRows | None = None, clock_ms: int = NOW_MS) -> AsyncIterator[World]:
    made = World(mode, rows)
    made.clock.ms = clock_ms
    await made.engines.start(0)
    await made.releases.start(0)
    try:
        yield made
    finally:
        await made.releases.stop()
    assert [] == made.fatal


async def test_a_state_waits_for_the_engine_and_is_pushed_when_it_has_said_nothing() -> None:
    async with world("gaps") as one:
        one.sent()
        assert one.shows(0)
        one.clock.ms += GAP_S * 1000
        one.releases.look()

        await eventually(partial(one.shows, 1))
        assert 1 == len(pushed_since(one.body(), 1))


async def test_a_state_is_released_when_it_is_due_without_a_word_of_anybody() -> None:
    async with world("gaps") as one:
        one.clock.ms -= GAP_S * 1000
        one.sent()
        one.clock.ms += GAP_S * 1000 - 20
        one.releases.look()
        await asyncio.sleep(0)
        assert one.shows(0)
        one.clock.ms += 20

        await eventually(partial(one.shows, 1))


async def test_a_worker_that_takes_over_lets_those_stand_that_waited_under_another() -> None:
    async with world("gaps") as before:
        before.sent()
    async with world("gaps", before.rows, NOW_MS + GAP_S * 1000 + 1) as after:
        await eventually(partial(after.shows, 1))
        assert 1 == len(pushed_since(after.body(), 1))


async def test_an_engine_that_speaks_in_time_is_all_that_is_read_and_the_release_rests_on_its_row() -> None:
    async with world("gaps") as one:
        one.sent()
        one.said()
        one.clock.ms += GAP_S * 1000
        one.releases.look()

        await eventually(lambda: [RowId(POSITION_STATES, KEY)] == one.rows.rested_on)
        assert ["engine"] == [state["source"] for state in one.body()["states"]]


async def test_nothing_is_released_once_partitions_are_given_up() -> None:
    async with world("gaps") as one:
        one.sent()
        await one.releases.stop()
        one.clock.ms += GAP_S * 1000
        one.releases.look()
        await asyncio.sleep(0)

        assert one.shows(0)
        await one.releases.start(0)
        await eventually(partial(one.shows, 1))


async def test_a_release_that_fails_ends_the_process() -> None:
    class BrokenRows(FakeRows):
        def flush(self) -> None:
            raise OSError

    one = World("gaps", BrokenRows())
    await one.engines.start(0)
    await one.releases.start(0)

    await eventually(lambda: [OSError] == [type(error) for error in one.fatal])
    await one.releases.stop()
