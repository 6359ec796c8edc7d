from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from models.codec import encode_row
from streams.transport.stores import MemoryStore, RocksStore, RowStore, newest_rows
from tests.support.fetched import Fetched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Table(NamedTuple):
    name: str


class Conf(NamedTuple):
    tabledir: Path


class App(NamedTuple):
    conf: Conf


def row(term: int, version: int) -> bytes:
    return encode_row(term, version, {"at": [term, version]})


@pytest.fixture(params=[MemoryStore, RocksStore])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RowStore]:
    made = request.param("store://", App(Conf(tmp_path)), Table("rows"), table_name="rows")
    yield made
    made.forget(0)


def restore(store: RowStore, *records: Fetched) -> frozenset[bytes]:
    store.restore(0, records)
    return store.overwritten(0)


def test_a_row_that_was_not_acknowledged_is_read_but_not_durable(store: RowStore) -> None:
    store.put(0, b"k", row(1, 1))

    assert row(1, 1) == store.get(0, b"k")
    assert [] == list(store.rows(0))
    store.forget_unacked()
    assert store.get(0, b"k") is None


def test_an_acknowledged_row_is_durable_with_its_offset(store: RowStore) -> None:
    written = row(1, 1)
    store.restored(0, 7)
    store.put(0, b"k", written)
    store.acknowledged(0, [(b"k", written)], 7)

    assert [(b"k", written)] == list(store.rows(0))
    assert 7 == store.restored_to(0)


def test_an_acknowledgement_leaves_a_newer_row_in_front(store: RowStore) -> None:
    store.restored(0, 7)
    older, newer = row(1, 1), row(1, 2)
    store.put(0, b"k", older)
    store.put(0, b"k", newer)
    store.acknowledged(0, [(b"k", older)], 7)

    assert newer == store.get(0, b"k")
    assert [(b"k", older)] == list(store.rows(0))


def test_a_late_acknowledgement_does_not_undo_what_recovery_read_since(store: RowStore) -> None:
    restore(store, Fetched(b"k", row(2, 5), 9))
    store.acknowledged(0, [(b"k", row(1, 1))], 8)
    store.acknowledged(0, [(b"k", row(1, 1))], 10)

    assert row(2, 5) == store.get(0, b"k")


def test_a_batch_behind_somebody_elses_records_does_not_hide_them_from_recovery(store: RowStore) -> None:
    store.restored(0, 7)
    written = row(1, 1)
    store.put(0, b"k", written)
    store.acknowledged(0, [(b"k", written)], 9)

    assert [(b"k", written)] == list(store.rows(0))
    assert 6 == store.restored_to(0)


def test_recovery_keeps_the_highest_row_and_names_what_a_fenced_owner_wrote_over(store: RowStore) -> None:
    overwritten = restore(
        store,
        Fetched(b"mine", row(2, 3), 1),
        Fetched(b"mine", row(1, 9), 2),
        Fetched(b"fine", row(1, 9), 3),
        Fetched(b"fine", row(2, 1), 4),
        Fetched(b"gone", row(1, 1), 5),
        Fetched(b"gone", None, 6),
    )

    assert {b"mine"} == overwritten
    assert {b"mine": row(2, 3), b"fine": row(2, 1)} == dict(store.rows(0))
    assert 6 == store.restored_to(0)


def test_a_row_stays_overwritten_until_its_own_record_is_acknowledged_behind_the_fenced_owners(store: RowStore) -> None:
    mine, late = row(2, 3), row(1, 9)
    restore(store, Fetched(b"k", mine, 0), Fetched(b"k", late, 1))
    store.acknowledged(0, [(b"other", row(2, 1))], 2)

    assert {b"k"} == store.overwritten(0)
    store.acknowledged(0, [(b"k", mine)], 3)
    assert set() == store.overwritten(0)


def test_a_rocksdb_that_is_opened_again_still_knows_what_a_fenced_owner_wrote_over(tmp_path: Path) -> None:
    app, table = App(Conf(tmp_path)), Table("rows")
    before = RocksStore("store://", app, table, table_name="rows")
    restore(
        before,
        Fetched(b"k", row(2, 3), 1),
        Fetched(b"k", row(1, 9), 2),
        Fetched(b"fine", row(1, 1), 3),
    )
    before.forget(0)
    after = RocksStore("store://", app, table, table_name="rows")

    assert {b"k"} == after.overwritten(0)
    assert {b"k": row(2, 3), b"fine": row(1, 1)} == dict(after.rows(0))
    after.acknowledged(0, [(b"k", row(2, 3))], 4)
    after.forget(0)
    mended = RocksStore("store://", app, table, table_name="rows")
    assert set() == mended.overwritten(0)
    mended.forget(0)


def test_a_forgotten_memory_partition_is_empty_and_others_stay() -> None:
    store = MemoryStore("store://", None, Table("rows"), table_name="rows")
    for partition in (0, 1):
        store.restore(partition, [Fetched(b"k", row(1, 1), 0)])
    store.forget(0)

    assert store.get(0, b"k") is None
    assert store.restored_to(0) is None
    assert row(1, 1) == store.get(1, b"k")


def test_a_fenced_owner_behind_a_repair_is_no_longer_named() -> None:
    written, overwritten = newest_rows(
        [Fetched(b"k", row(1, 1)), Fetched(b"k", row(2, 1))],
        {b"k": row(2, 1)},
    )

    assert {b"k": row(2, 1)} == written
    assert set() == overwritten


_KILLED = """
import os, sys
from pathlib import Path
from tests.unit.streams.transport.test_stores import App, Conf, KEYS, Table, big_row
from streams.transport.stores import RocksStore

store = RocksStore("store://", App(Conf(Path(sys.argv[1]))), Table("rows"), table_name="rows")
store.restored(0, 0)
for offset in range(int(sys.argv[2])):
    key, row = b"k%d" % (offset % KEYS), big_row(offset)
    store.put(0, key, row)
    store.acknowledged(0, [(key, row)], offset)
os._exit(1)
"""
KEYS = 7


def big_row(offset: int) -> bytes:
    """A row that says its offset, of 100 KB."""
    return encode_row(1, offset, {"at": offset, "filling": "x" * 100_000})


# RocksDB holds a writer back once two memtables of 16 MiB wait for the disk, however slow that is: of 1,000 rows at
# least two thirds have left memory.
@pytest.mark.parametrize("written", [3, 1000])
def test_rows_of_a_store_whose_process_was_killed_are_those_of_the_offset_that_it_names(
    tmp_path: Path, written: int
) -> None:
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path), str(written)], check=False)
    store = RocksStore("store://", App(Conf(tmp_path)), Table("rows"), table_name="rows")
    end = store.restored_to(0)

    assert 1 == killed.returncode
    # Of few rows nothing has left memory yet; of many, most have.
    assert end is None if written < KEYS else end is not None and end > written // 2
    kept = range(0 if end is None else end + 1)
    newest = {b"k%d" % (offset % KEYS): big_row(offset) for offset in kept}
    assert newest == dict(store.rows(0))
    store.forget(0)


def test_a_store_that_is_closed_leaves_all_its_rows(tmp_path: Path) -> None:
    store = RocksStore("store://", App(Conf(tmp_path)), Table("rows"), table_name="rows")
    restore(store, Fetched(b"k", row(2, 5), 9))
    store.forget(0)

    assert [(b"k", row(2, 5))] == list(store.rows(0))
    assert 9 == store.restored_to(0)
    store.forget(0)


def held(store: RowStore) -> RowStore:
    """Four records of a changelog are in the store."""
    store.begin(0, "epoch-1", 0, 4)
    restore(store, *(Fetched(b"k%d" % offset, row(1, offset), offset) for offset in range(4)))
    return store


def test_a_store_goes_on_behind_what_it_has_of_its_changelog(store: RowStore) -> None:
    assert 4 == held(store).begin(0, "epoch-1", 0, 9)
    assert 4 == store.begin(0, "epoch-1", 0, 4)
    assert 6 == store.begin(0, "epoch-1", 6, 9)
    assert 4 == len(dict(store.rows(0)))


@pytest.mark.parametrize(("changelog", "end"), [("epoch-2", 9), ("epoch-2", 0), ("epoch-1", 3), ("epoch-1", 0)])
def test_a_store_of_another_changelog_or_of_one_that_was_made_anew_begins_anew(
    store: RowStore, changelog: str, end: int
) -> None:
    assert 0 == held(store).begin(0, changelog, 0, end)
    assert ([], None) == (list(store.rows(0)), store.restored_to(0))
    restore(store, Fetched(b"k", row(1, 1), 0))
    assert 1 == store.begin(0, changelog, 0, 9)


@pytest.mark.parametrize(("changelog", "end"), [("epoch-2", 9), ("epoch-1", 3)])
def test_a_store_that_was_begun_anew_says_of_which_changelog_it_is(store: RowStore, changelog: str, end: int) -> None:
    held(store).begin(0, changelog, 0, end)
    restore(store, Fetched(b"k", row(1, 1), 0))

    assert 0 == store.begin(0, "epoch-3", 0, 9)


def test_a_rocksdb_that_is_opened_again_still_knows_its_changelog_and_one_that_never_knew_is_kept(
    tmp_path: Path,
) -> None:
    def opened() -> RowStore:
        return RocksStore("store://", App(Conf(tmp_path)), Table("rows"), table_name="rows")

    held(opened()).forget(0)
    again = opened()
    assert 0 == again.begin(0, "epoch-2", 0, 9)
    restore(again, Fetched(b"k", row(1, 1), 0))
    again.forget(0)
    assert 1 == opened().begin(0, "epoch-2", 0, 9)


def test_rows_of_a_version_that_did_not_say_of_which_changelog_they_are_are_kept(store: RowStore) -> None:
    restore(store, Fetched(b"k", row(1, 1), 0))

    assert 1 == store.begin(0, "epoch-1", 0, 9)
    assert 1 == len(dict(store.rows(0)))
    assert 0 == store.begin(0, "epoch-2", 0, 9)


def test_a_hundred_partitions_of_few_rows_are_held_in_memory_and_not_written_out_again_and_again(
    tmp_path: Path,
) -> None:
    """Each that is written out makes a file, and what is kept of files in memory grows for hours."""
    store = RocksStore("store://", App(Conf(tmp_path)), Table("rows"), table_name="rows")
    partitions = range(100)
    for version in range(1, 6):
        for partition in partitions:
            store.restore(partition, [Fetched(b"k%d" % version, encode_row(1, version, {"of": "x" * 4_000}))])

    assert [] == list(tmp_path.rglob("*.sst"))
    for partition in partitions:
        store.forget(partition)
