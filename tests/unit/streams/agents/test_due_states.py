"""When states that wait for the engine come to stand, and that no row is written where nothing changes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.account_events import RolledBack, Transaction
from models.codec import decode_row, encode_row
from models.symmio.account import advance
from models.symmio.position_states import GAP_S, pushed_since, shown
from streams.agents.due_states import PositionStates
from streams.kafka.topics import POSITION_STATES
from streams.settings import DeploymentSettings, Settings
from tests.support.clocks import WallClock
from tests.support.eventually import eventually
from tests.support.positions import KEY, engine_state
from tests.support.symmio import ALICE, E18, allocate, block, fee_out, send_quote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from streams.transport.publisher import Charge

NOW_MS = 1_700_000_100_000


class FakeRows:
    """The table in a dict."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.restated: list[tuple[Any, ...]] = []

    def get(self, table: str, partition: int, key: bytes) -> bytes | None:
        assert (POSITION_STATES, 0) == (table, partition)
        return self.rows.get(key)

    def items(self, table: str, partition: int) -> Iterator[tuple[bytes, bytes]]:
        assert (POSITION_STATES, 0) == (table, partition)
        return iter(list(self.rows.items()))

    def write(self, table: str, partition: int, key: bytes, row: tuple[int, dict[str, Any]], charge: Charge) -> None:
        assert (POSITION_STATES, 0) == (table, partition)
        charge.opened()
        self.rows[key] = encode_row(1, *row)

    def restate(self, *arguments: Any) -> None:  # noqa: ANN401 - those of Rows.restate
        self.restated.append(arguments)

    def flush(self) -> None:
        """Everything leaves at once."""


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.ms = NOW_MS

    def __call__(self) -> int:
        return self.ms


class World:
    """One partition, and a chain in which Alice sent a quote in the second of ``NOW_MS``."""

    def __init__(self, mode: str, rows: FakeRows | None = None) -> None:
        deployment = DeploymentSettings.model_validate(
            {"chain_id": 1, "diamond": "0x" + "d1" * 20, "position_states": mode}
        )
        settings = Settings(kafka="nowhere:1", data_dir=Path("unused"), deployments={"main": deployment})
        self.rows = rows or FakeRows()
        self.clock = Clock()
        self.fatal: list[BaseException] = []
        self.positions = PositionStates(settings, self.rows, WallClock(self.clock), self.fatal.append)  # type: ignore[arg-type]

    def sent(self) -> None:
        logs = tuple(block(100, [allocate(5_000 * E18), fee_out(0), send_quote(131_388)]).logs)
        transaction = Transaction((40, 0), 100, NOW_MS // 1000, logs[0].tx, logs)
        step = self.positions.of_chain(KEY, transaction, advance(None, transaction).state.quotes)
        if step is not None:
            self.positions.change(0, KEY, [step], Uncounted())

    def said(self, sent_ms: int = NOW_MS) -> None:
        step = self.positions.of_engine(KEY, engine_state(modify_time=NOW_MS // 1000), sent_ms)
        self.positions.change(0, KEY, [step], Uncounted())

    def row(self) -> dict[str, Any]:
        return decode_row(self.rows.rows[KEY]).body

    def shows(self, count: int) -> bool:
        return KEY in self.rows.rows and count == len(shown(self.row()))


class Uncounted:
    """A charge that nobody waits for."""

    def opened(self) -> None:
        """One more."""

    def acked(self, count: int) -> None:
        """Some less."""


@asynccontextmanager
async def world(mode: str, rows: FakeRows | None = None, clock_ms: int = NOW_MS) -> AsyncIterator[World]:
    made = World(mode, rows)
    made.clock.ms = clock_ms
    await made.positions.start(0)
    try:
        yield made
    finally:
        await made.positions.stop()
    assert [] == made.fatal


async def test_without_states_of_the_chain_only_the_engine_s_are_stored() -> None:
    async with world("off") as one:
        one.sent()
        assert {} == one.rows.rows
        one.said()

        assert one.shows(1)


async def test_a_state_of_the_chain_stands_and_is_pushed_at_once_where_all_are_told() -> None:
    async with world("on") as one:
        one.sent()

        assert one.shows(1)
        assert 1 == len(pushed_since(one.row(), 0))


async def test_a_state_waits_for_the_engine_and_is_pushed_when_it_has_said_nothing() -> None:
    async with world("gaps") as one:
        one.sent()
        assert one.shows(0)
        one.clock.ms += GAP_S * 1000
        one.positions._waited.set()

        await eventually(partial(one.shows, 1))
        assert 1 == len(pushed_since(one.row(), 1))


async def test_a_worker_that_takes_over_lets_those_stand_that_waited_under_another() -> None:
    async with world("gaps") as before:
        before.sent()
    async with world("gaps", before.rows, NOW_MS + GAP_S * 1000 + 1) as after:
        await eventually(partial(after.shows, 1))
        assert 1 == len(pushed_since(after.row(), 1))


async def test_an_engine_that_speaks_in_time_is_all_that_is_read() -> None:
    async with world("gaps") as one:
        one.sent()
        one.said()
        one.clock.ms += GAP_S * 1000
        one.positions._waited.set()
        await asyncio.sleep(0)

        assert ["engine"] == [state["source"] for state in one.row()["states"]]


async def test_what_an_engine_said_long_ago_is_not_pushed() -> None:
    async with world("gaps") as one:
        one.said(sent_ms=NOW_MS - 61_000)

        assert one.shows(1)
        assert [] == pushed_since(one.row(), 0)


async def test_what_is_delivered_again_rests_on_the_row_that_stands() -> None:
    async with world("on") as one:
        one.sent()
        row = one.rows.rows[KEY]
        one.sent()

        assert row is one.rows.rows[KEY]
        assert [(POSITION_STATES, 0, KEY)] == [arguments[:3] for arguments in one.rows.restated]


async def test_a_block_that_leaves_the_chain_takes_its_state_along() -> None:
    async with world("on") as one:
        one.sent()
        one.positions.change(0, KEY, [one.positions.of_rollback(RolledBack((41, -1), 99))], Uncounted())

        assert one.shows(0)


def test_the_account_is_alice() -> None:
    assert KEY == f"main:{ALICE}".encode()
