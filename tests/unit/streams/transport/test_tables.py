"""Rows of owned partitions: under which term they are written again, and whose acknowledgements count."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from models.codec import decode_order, encode_row
from streams.kafka.topics import ACCOUNTS, MARKS, TABLES, changelog_name
from streams.process.clock import SystemClock
from streams.settings import Settings
from streams.transport.stores import MemoryStore
from streams.transport.tables import Rows
from streams.transport.terms import NotOwner, Superseded, Terms
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

    def append(self, topic: str, partition: int, key: bytes, value: bytes, charge: Charge) -> None:
        charge.opened()
        self.sent.append((topic, partition, key, value))

    def flush(self) -> None:
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
        self.rows = Rows(SETTINGS, self.stores, self.publisher, self.terms, SystemClock())  # type: ignore[arg-type]
        self.restated: list[tuple[str, int, bytes]] = []
        self.rows.on_restated = lambda *row: self.restated.append(row)

    def hold(self, term: int, version: int) -> bytes:
        row = encode_row(term, version, {"of": [term, version]})
        self.stores[ACCOUNTS].restore(3, [Fetched(KEY, row)])
        return row

    def held(self) -> tuple[int, int]:
        row = self.rows.get(ACCOUNTS, 3, KEY)
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


@pytest.mark.parametrize("late", [(1, 9), (2, 6), (2, 7), (4, 1), None])
def test_our_row_is_written_again_behind_whatever_a_stranger_wrote(world: World, late: tuple[int, int] | None) -> None:
    """Also behind a higher one: a reader has it already."""
    world.hold(2, 7)
    value = None if late is None else encode_row(*late, {"of": "a stranger"})

    assert 1 == world.rows.heard(CHANGELOG, 3, [Fetched(KEY, value)])
    assert [encode_row(5, 7, {"of": [2, 7]})] == [row for *_, row in world.publisher.sent]


def test_a_stranger_that_our_own_row_stands_behind_already_is_passed_over(world: World) -> None:
    own = world.hold(5, 7)
    late = encode_row(4, 9, {"of": "a stranger"})

    assert 0 == world.rows.heard(CHANGELOG, 3, [Fetched(KEY, late, 1), Fetched(KEY, own, 2)])
    assert [] == world.publisher.sent


def test_a_later_owner_is_the_end_and_what_is_not_owned_is_nobodys(world: World) -> None:
    world.hold(5, 7)
    later = encode_row(6, 1, {"of": "a later owner"})

    with pytest.raises(Superseded, match=r"expected to own partition 3 of .* under term 5"):
        world.rows.heard(CHANGELOG, 3, [Fetched(KEY, later)])
    world.terms.hold({})
    assert 0 == world.rows.heard(CHANGELOG, 3, [Fetched(KEY, later)])
    with pytest.raises(NotOwner):
        world.rows.restate(ACCOUNTS, 3, KEY)


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
