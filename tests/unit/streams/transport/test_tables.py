"""Rows of owned partitions: under which term they are written again, and whose acknowledgements count."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from prometheus_client import REGISTRY

from models.codec import decode_order, encode_body, encode_row
from models.engine.board import InputBoard
from models.engine.step import RowId, Stage, Step, Write
from models.engine.tables import (
    ACCOUNTS,
    ALERTS,
    MARKS,
    POSITION_STATES,
    QUOTE_HISTORY,
    SUBTOTALS,
    TABLES,
    WATERMARKS,
)
from models.watermarks import DeploymentWatermark, encode_watermark
from streams.kafka.topics import changelog_name
from streams.process.clock import SystemClock
from streams.settings import Settings
from streams.transport.publisher import RecordTooLarge
from streams.transport.stores import MemoryStore
from streams.transport.tables import Rows
from streams.transport.terms import NotOwner, Superseded, Terms
from streams.valuing.engines import Engines
from tests.support.eventually import eventually
from tests.support.fetched import Fetched

if TYPE_CHECKING:
    from streams.transport.publisher import Charge

SETTINGS = Settings(kafka="nowhere:1", data_dir=Path("unused"))
CHANGELOG = changelog_name(SETTINGS, ACCOUNTS)
KEY = b"main:0xa"


class Table(NamedTuple):
    name: str


class FakePublisher:
    """Keeps what is to be sent."""

    unsent = unacked = 0

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, bytes, bytes]] = []
        self.charges: list[Charge] = []

    def append(self, topic: str, partition: int, key: bytes, value: bytes, charge: Charge) -> None:
        charge.opened()
        self.sent.append((topic, partition, key, value))
        self.charges.append(charge)

    def acknowledge(self) -> None:
        """The broker has all that was sent."""
        charges, self.charges = self.charges, []
        for charge in charges:
            charge.acked(1)

    def flush(self, *, at_once: bool = False) -> None:
        """Nothing waits."""

    async def drain(self) -> None:
        """Nothing waits."""


class Counted:
    """A charge that counts."""

    def __init__(self) -> None:
        self.open = 0

    def opened(self) -> None:
        self.open += 1

    def acked(self, count: int) -> None:
        self.open -= count


class World:
    """Partition 3, owned under term 5."""

    def __init__(self) -> None:
        self.stores = {name: MemoryStore("store://", None, Table(name), table_name=name) for name in TABLES}
        self.publisher = FakePublisher()
        self.terms = Terms()
        self.terms.hold({3: 5})
        self.restated: list[tuple[str, int, bytes]] = []
        self.rows = Rows(
            SETTINGS,
            self.stores,
            self.publisher,
            self.terms,
            clock=SystemClock(),
            on_restated=lambda *row: self.restated.append(row),
        )

    def hold(self, term: int, version: int) -> bytes:
        row = encode_row(term, version, {"of": [term, version]})
        self.stores[ACCOUNTS].restore(3, [Fetched(KEY, row)])
        return row

    def held(self) -> tuple[int, int]:
        row = self.rows.of_partition(3).read(ACCOUNTS, KEY)
        assert row is not None
        return decode_order(row)


@pytest.fixture
def world() -> World:
    return World()


def test_what_rests_on_a_row_of_an_older_term_writes_it_again_under_our_own(world: World) -> None:
    """Else a late row of the owner between could hide it, after what rests on it was committed."""
    row, charge = world.hold(2, 7), Counted()
    world.rows.restate(ACCOUNTS, 3, KEY, charge)

    assert [(CHANGELOG, 3, KEY, encode_row(5, 7, {"of": [2, 7]}))] == world.publisher.sent
    assert row[16:] == world.publisher.sent[0][3][16:]
    assert ((5, 7), 1, [(ACCOUNTS, 3, KEY)]) == (world.held(), charge.open, world.restated)


def test_a_row_of_our_own_term_or_none_is_not_written_again(world: World) -> None:
    world.hold(5, 7)
    world.rows.restate(ACCOUNTS, 3, KEY)
    world.rows.restate(MARKS, 3, KEY)

    assert [] == world.publisher.sent


FOREIGN = {
    ACCOUNTS: (b"\xff", b"main:\xff", b"main", b":0xa", b""),
    WATERMARKS: (b"main:x", b"main", b"3"),
    POSITION_STATES: (b"\xff", b"main"),
    ALERTS: (b"\xff", b"main"),
    SUBTOTALS: (b"main:0xa", b"hedger:main:3", b"other:main:0xa:3", b"\xff"),
}


@pytest.mark.parametrize("table", FOREIGN)
def test_a_row_under_a_key_that_its_table_cannot_have_is_noted_and_handed_to_nobody(world: World, table: str) -> None:
    own = {ACCOUNTS: KEY, WATERMARKS: b"main:3", SUBTOTALS: b"hedger:main:0xa:3"}.get(table, KEY)
    # Each row is noted once in a process, and other tests of it have such keys, too.
    row = encode_row(1, 1, {"of": "a key that its table cannot have"})
    world.stores[table].restore(3, [Fetched(key, row) for key in (*FOREIGN[table], own)])
    labels = {"table": table}
    before = REGISTRY.get_sample_value("tidemark_unreadable_rows_total", labels) or 0

    assert [(own, row)] == list(world.rows.items(table, 3))
    assert [(own, row)] == list(world.rows.items(table, 3))
    assert len(FOREIGN[table]) == (REGISTRY.get_sample_value("tidemark_unreadable_rows_total", labels) or 0) - before


async def test_a_worker_that_takes_over_rows_of_foreign_keys_has_the_engine_of_all_others(world: World) -> None:
    for table, keys in FOREIGN.items():
        world.stores[table].restore(3, [Fetched(key, encode_row(1, 1, {})) for key in keys])
    watermark = encode_watermark(DeploymentWatermark(applied=(9, -1), head=7))
    world.stores[WATERMARKS].restore(3, [Fetched(b"main:3", encode_row(1, 1, watermark))])
    engines = Engines(SETTINGS, world.rows, world.terms, InputBoard(lambda _: None))
    await engines.start(3)

    assert [("main", 7)] == [(name, one.head) for name, one in engines[3].watermarks]


def test_what_something_else_wrote_is_no_later_owner_s_and_our_row_is_written_again_behind_it(world: World) -> None:
    """A frame of Avro begins with zeros, as terms do: a worker that took it for one would end, and so every other."""
    own = world.hold(5, 7)
    frame = Fetched(KEY, b"\x00\x00\x00\x00\x07 a frame of Avro", 1)

    assert 1 == world.rows.heard(CHANGELOG, 3, [frame])
    assert [own] == [row for *_, row in world.publisher.sent]
    assert 5 == world.rows.newest_term([Fetched(KEY, own), frame])
    world.stores[ACCOUNTS].restore(3, [frame])
    assert (5, 7) == world.held()


@pytest.mark.parametrize("late", [(1, 9), (2, 6), (2, 7), (4, 1), None])
def test_our_row_is_written_again_behind_whatever_a_fenced_owner_wrote(
    world: World, late: tuple[int, int] | None
) -> None:
    """Also behind a higher one: a reader has it already."""
    world.hold(2, 7)
    value = None if late is None else encode_row(*late, {"of": "a fenced owner"})

    assert 1 == world.rows.heard(CHANGELOG, 3, [Fetched(KEY, value)])
    assert [encode_row(5, 7, {"of": [2, 7]})] == [row for *_, row in world.publisher.sent]


def test_a_later_owner_is_the_end_and_what_is_not_owned_is_nobodys(world: World) -> None:
    world.hold(5, 7)
    later = encode_row(6, 1, {"of": "a later owner"})

    with pytest.raises(Superseded, match=r"expected to own partition 3 of .* under term 5"):
        world.rows.heard(CHANGELOG, 3, [Fetched(KEY, later)])
    world.terms.hold({})
    assert 0 == world.rows.heard(CHANGELOG, 3, [Fetched(KEY, later)])
    with pytest.raises(NotOwner):
        world.rows.restate(ACCOUNTS, 3, KEY)


def test_a_later_owner_is_seen_behind_whose_row_a_fenced_one_has_written(world: World) -> None:
    world.hold(5, 7)
    later, fenced = encode_row(6, 1, {"of": "a later owner"}), encode_row(2, 9, {"of": "a fenced owner"})

    with pytest.raises(Superseded, match=r"under term 5, found it under a later"):
        world.rows.heard(CHANGELOG, 3, [Fetched(KEY, later, 0), Fetched(KEY, fenced, 1)])
    assert [] == world.publisher.sent


def test_rows_that_recovery_found_overwritten_are_written_again_under_our_term(world: World) -> None:
    world.stores[ACCOUNTS].restore(3, [Fetched(KEY, encode_row(2, 7, {}), 0), Fetched(KEY, encode_row(1, 9, {}), 1)])

    assert 1 == world.rows.rewrite_overwritten(3)
    assert (5, 7) == world.held()
    assert 2 == world.rows.newest_term([Fetched(KEY, encode_row(2, 7, {})), Fetched(KEY, None)])


def test_an_acknowledgement_from_before_this_ownership_does_not_enter_the_store(world: World) -> None:
    world.hold(2, 7)
    world.rows.acknowledged(CHANGELOG, 3, [(KEY, encode_row(3, 8, {}))], 1)

    assert (2, 7) == world.held()
    assert 0 == world.stores[ACCOUNTS].restored_to(3)
    world.rows.acknowledged(CHANGELOG, 3, [(KEY, encode_row(5, 8, {}))], 1)
    assert (5, 8) == world.held()


def row(table: str, version: int = 1) -> Write:
    return Write(table, KEY, version, encode_body({"of": table}))


def tables_sent(world: World) -> list[str]:
    """Of which tables anything was sent, in order."""
    names = {changelog_name(SETTINGS, name): name for name in TABLES}
    return [names[topic] for topic, *_ in world.publisher.sent]


def test_a_row_is_in_the_store_under_our_term_and_on_its_way_when_it_is_put(world: World) -> None:
    charge = Counted()
    world.rows.put(3, row(ACCOUNTS, 7), charge)

    assert encode_row(5, 7, {"of": ACCOUNTS}) == world.rows.of_partition(3).read(ACCOUNTS, KEY)
    assert ([(CHANGELOG, 3, KEY, encode_row(5, 7, {"of": ACCOUNTS}))], 1) == (world.publisher.sent, charge.open)
    assert world.rows.of_partition(3).read(MARKS, KEY) is None


def test_a_row_that_the_broker_would_refuse_is_refused_before_the_store(world: World) -> None:
    with pytest.raises(RecordTooLarge):
        world.rows.put(3, Write(ACCOUNTS, KEY, 1, encode_body({"pad": "x" * 1_100_000})))

    assert (None, []) == (world.rows.of_partition(3).read(ACCOUNTS, KEY), world.publisher.sent)


async def test_a_stage_is_written_when_the_broker_has_the_one_before_and_the_last_one_is_charged(world: World) -> None:
    """A crash in between leaves what is acknowledged, and nothing of what follows."""
    charge = Counted()
    written: list[list[str]] = []
    step = Step(tuple(Stage([row(table)]) for table in (QUOTE_HISTORY, ACCOUNTS, WATERMARKS)))
    putting = asyncio.create_task(
        world.rows.put_step(3, step, charge, lambda stage: written.append([write.table for write in stage.writes]))
    )

    for table in (QUOTE_HISTORY, ACCOUNTS):
        await eventually(lambda table=table: [table] in written)  # type: ignore[misc]
        assert [table] == tables_sent(world)[-1:]
        assert not putting.done()
        assert 0 == charge.open
        world.publisher.acknowledge()
    await putting

    assert [[QUOTE_HISTORY], [ACCOUNTS], [WATERMARKS]] == written
    assert ([QUOTE_HISTORY, ACCOUNTS, WATERMARKS], 1) == (tables_sent(world), charge.open)
    world.publisher.acknowledge()
    assert 0 == charge.open


async def test_rows_that_a_stage_rests_on_are_acknowledged_before_the_next_one_where_they_were_anothers(
    world: World,
) -> None:
    world.hold(2, 7)
    step = Step((Stage((), [RowId(ACCOUNTS, KEY), RowId(MARKS, KEY)]), Stage([row(WATERMARKS)])))
    putting = asyncio.create_task(world.rows.put_step(3, step, Counted()))
    await eventually(lambda: [ACCOUNTS] == tables_sent(world))
    assert not putting.done()
    world.publisher.acknowledge()
    await putting

    assert [ACCOUNTS, WATERMARKS] == tables_sent(world)


async def test_a_stage_that_rests_on_our_own_rows_waits_for_nothing(world: World) -> None:
    world.hold(5, 7)
    await world.rows.put_step(3, Step((Stage((), [RowId(ACCOUNTS, KEY)]), Stage([row(WATERMARKS)]))), Counted())

    assert [WATERMARKS] == tables_sent(world)


async def test_a_step_without_a_stage_is_nothing_to_wait_for(world: World) -> None:
    charge = Counted()
    await world.rows.put_step(3, Step(), charge)

    assert ([], 0) == (world.publisher.sent, charge.open)
