"""The stores in which a worker keeps the rows of its partitions: in memory, or in RocksDB."""

from __future__ import annotations

import logging
import shutil
from collections import defaultdict
from io import UnsupportedOperation
from typing import TYPE_CHECKING, Any

import rocksdict
from faust.stores import base

from models.codec import row_order

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from faust.types import TP

    from streams.kafka.record import Record

_log = logging.getLogger(__name__)

# One bound for the memory of all tables and partitions of the process; Faust's own store takes 2 GiB for each of them.
# Memtables come first, and blocks that were read have the rest: blocks of files that are gone stay until others need
# their place, so that whatever is allowed is in use after some hours.
_MEMORY_BYTES = 64 << 20
# Each partition of each table has a memtable. The first bound is for one; the second, for all together, leaves a
# quarter of the memory to blocks. Those of valuations and accounts fill, above all in a recovery; the others stay
# nearly empty.
_WRITE_BUFFER_BYTES = 16 << 20
_WRITE_BUFFERS_BYTES = 48 << 20
# A memtable takes its memory by blocks, of a megabyte by default. A worker has a hundred memtables: empty ones alone
# were at the second bound, so that each was written out again and again with a few rows in it, and the files that this
# made, some 250, took memory that grew for hours.
_MEMTABLE_BLOCK_BYTES = 64 << 10
# Most keys of a changelog are new when it is read first; a filter tells so without a look into the files.
_BLOOM_BITS = 10
# The store's own keys begin with a byte that no row's key begins with.
_OWN = b"\x00"
_CHANGELOG_KEY = b"\x00changelog"
_OFFSET_KEY = b"\x00offset"
_OVERWRITTEN_KEY = b"\x00overwritten:"
_REPLACED = "expected rows to be restored by SliceRecovery from the changelog, found Faust's own way taken"


def newest_rows(
    records: Sequence[Record[bytes]], current: Mapping[bytes, bytes | None]
) -> tuple[dict[bytes, bytes | None], set[bytes]]:
    """Fold changelog records over the current rows.

    Returns:
        The rows to write (None for a tombstone), and the keys whose last record is below the current row.
    """
    written: dict[bytes, bytes | None] = {}
    overwritten: set[bytes] = set()
    for record in records:
        key, value = record.key, record.value
        row = written[key] if key in written else current.get(key)
        if value is not None and row is not None and row_order(value) < row_order(row):
            overwritten.add(key)
            continue
        written[key] = value
        overwritten.discard(key)
    return written, overwritten


class RowStore(base.Store):  # type: ignore[misc]
    """Rows by partition and key; a row is durable here only once the broker has acknowledged it.

    A row that was written is kept in memory, before the durable rows, until its changelog batch is acknowledged. So a
    store that outlives its process is never ahead of the changelog, and a rebalance drops rows that were never
    acknowledged. The caller always names the partition; it is never taken from Faust's current event.

    A key is *overwritten* while its last record in the changelog is below the current row, because a fenced owner wrote
    late: compaction would keep the wrong row. Overwritten keys are stored beside the offset, in the same write, since a
    worker that restored past such a record and died before it wrote its row again would not read the record twice.

    A volume may outlive the changelog that its stores are of: under another epoch or prefix, or where topics were made
    anew, other records have the same offsets. So a store says which changelog it is of, and begins anew under another.
    """

    def __post_init__(self) -> None:
        self._unacked: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._overwritten: dict[int, frozenset[bytes]] = {}

    def put(self, partition: int, key: bytes, row: bytes) -> None:
        """Write a row; it is not durable before its changelog batch is acknowledged.

        Args:
            partition: The partition that the key belongs to.
            key: The row's key.
            row: The row, as ``models.codec`` encodes it.
        """
        self._unacked[partition][key] = row

    def get(self, partition: int, key: bytes) -> bytes | None:
        """Read the current row, None where there is none."""
        row = self._unacked[partition].get(key)
        return self._read(partition, key) if row is None else row

    def acknowledged(self, partition: int, rows: Sequence[tuple[bytes, bytes]], first_offset: int) -> None:
        """Make rows durable once the changelog holds them.

        Args:
            partition: The partition.
            rows: Keys and rows of one acknowledged batch, in the changelog's order.
            first_offset: Offset of the first one; the others follow without a gap.
        """
        held = self.restored_to(partition)
        last_offset = first_offset + len(rows) - 1
        if held is None or last_offset <= held:
            return
        unacked = self._unacked[partition]
        durable: dict[bytes, bytes | None] = {}
        overwritten = set(self.overwritten(partition))
        for key, row in rows:
            if unacked.get(key) is row:
                del unacked[key]
            else:
                current = self._read(partition, key)
                if current is not None and row_order(row) < row_order(current):
                    overwritten.add(key)
                    continue
            durable[key] = row
            overwritten.discard(key)
        # Offsets missing before our batch are records of another worker, which the store does not have: its offset must
        # not pass them.
        self._commit(partition, durable, last_offset if first_offset == held + 1 else held, frozenset(overwritten))

    def begin(self, partition: int, changelog: str, first: int, end: int) -> int:
        """Find where the changelog is to be read on; rows that are of another one are dropped.

        Args:
            partition: The partition.
            changelog: The changelog's full name.
            first: The first offset that it holds.
            end: The offset behind its last record.
        """
        held, of = self.restored_to(partition), self._changelog(partition)
        if of not in {None, changelog} or (held is not None and held >= end):
            _log.warning(
                "dropped rows of a volume: expected those of %s partition=%d end=%d, found those of %s up to offset %s",
                changelog, partition, end, of or changelog, held,
            )  # fmt: skip
            self._clear(partition)
            held = of = None
        if of != changelog:
            self._note_changelog(partition, changelog)
        return first if held is None else max(first, held + 1)

    def restore(self, partition: int, records: Sequence[Record[bytes]]) -> None:
        """Apply changelog records of a partition, in their order."""
        keys = {record.key for record in records}
        written, overwritten = newest_rows(records, self._read_many(partition, keys))
        self._commit(partition, written, records[-1].offset, (self.overwritten(partition) - keys) | overwritten)

    def restored(self, partition: int, end: int) -> None:
        """Note that the changelog has been read up to offset ``end``, exclusive."""
        self._commit(partition, {}, end - 1, self.overwritten(partition))

    def overwritten(self, partition: int) -> frozenset[bytes]:
        """Find the keys whose last record in the changelog, as far as it was restored, is below the current row."""
        known = self._overwritten.get(partition)
        if known is None:
            known = self._overwritten[partition] = self._read_overwritten(partition)
        return known

    def forget_unacked(self) -> None:
        """Drop rows that were not acknowledged; if the changelog has one all the same, recovery reads it."""
        self._unacked.clear()

    def rows(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over every key and durable row of a partition, which must not be written to meanwhile."""
        raise NotImplementedError

    def restored_to(self, partition: int) -> int | None:
        """Find the offset of the last changelog record in the store, None where there is none."""
        raise NotImplementedError

    def forget(self, partition: int) -> None:
        """Let go of a partition that went to another worker."""
        raise NotImplementedError

    def persisted_offset(self, tp: TP) -> int | None:
        """Find the offset of the last changelog record in the store, as Faust asks for it."""
        return self.restored_to(tp.partition)

    def reset_state(self) -> None:
        """Does nothing: for Faust's ``reset`` command, rows in memory are gone already."""

    def apply_changelog_batch(self, batch: Any, to_key: Any, to_value: Any) -> None:
        """Refuse Faust's way of recovery, which ``SliceRecovery`` replaces.

        Args:
            batch: Events of a changelog.
            to_key: Decodes a key.
            to_value: Decodes a value.

        Raises:
            UnsupportedOperation: Always.
        """
        del batch, to_key, to_value
        raise UnsupportedOperation(_REPLACED)

    async def backup_partition(self, *args: Any, **kwargs: Any) -> None:
        """Refuse Faust's backups, since the changelog is the backup."""
        del args, kwargs
        raise UnsupportedOperation(_REPLACED)

    def restore_backup(self, *args: Any, **kwargs: Any) -> None:
        """Refuse Faust's backups, since the changelog is the backup."""
        del args, kwargs
        raise UnsupportedOperation(_REPLACED)

    def _changelog(self, partition: int) -> str | None:
        """The changelog that the rows are of; None where that is not said, as by versions that did not say it."""
        raise NotImplementedError

    def _note_changelog(self, partition: int, changelog: str) -> None:
        raise NotImplementedError

    def _clear(self, partition: int) -> None:
        """Drop everything of a partition."""
        raise NotImplementedError

    def _read(self, partition: int, key: bytes) -> bytes | None:
        raise NotImplementedError

    def _read_many(self, partition: int, keys: Collection[bytes]) -> Mapping[bytes, bytes | None]:
        raise NotImplementedError

    def _read_overwritten(self, partition: int) -> frozenset[bytes]:
        raise NotImplementedError

    def _commit(
        self, partition: int, rows: Mapping[bytes, bytes | None], offset: int, overwritten: frozenset[bytes]
    ) -> None:
        """Write rows (None for a tombstone), the offset and the overwritten keys, all or nothing."""
        raise NotImplementedError


class MemoryStore(RowStore):
    """A dict for each partition."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._rows: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._offsets: dict[int, int] = {}
        self._changelogs: dict[int, str] = {}

    def rows(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over every key and durable row of a partition."""
        return iter(self._rows[partition].items())

    def restored_to(self, partition: int) -> int | None:
        """Find the offset of the last changelog record in the dict."""
        return self._offsets.get(partition)

    def forget(self, partition: int) -> None:
        """Drop the partition's rows."""
        self._clear(partition)

    def _changelog(self, partition: int) -> str | None:
        return self._changelogs.get(partition)

    def _note_changelog(self, partition: int, changelog: str) -> None:
        self._changelogs[partition] = changelog

    def _clear(self, partition: int) -> None:
        for held in (self._rows, self._offsets, self._overwritten, self._changelogs):
            held.pop(partition, None)

    def _read(self, partition: int, key: bytes) -> bytes | None:
        return self._rows[partition].get(key)

    def _read_many(self, partition: int, keys: Collection[bytes]) -> Mapping[bytes, bytes | None]:
        del keys
        return self._rows[partition]

    def _read_overwritten(self, partition: int) -> frozenset[bytes]:
        del partition
        return frozenset()

    def _commit(
        self, partition: int, rows: Mapping[bytes, bytes | None], offset: int, overwritten: frozenset[bytes]
    ) -> None:
        held = self._rows[partition]
        for key, row in rows.items():
            if row is None:
                held.pop(key, None)
            else:
                held[key] = row
        self._offsets[partition] = max(offset, self._offsets.get(partition, -1))
        self._overwritten[partition] = overwritten


class RocksStore(RowStore):
    """A RocksDB for each partition; rows and the changelog's offset go into one write.

    RocksDB keeps no log of its own, since the changelog is one. So a process that is killed leaves the store as it was
    at an earlier offset, at the most what was in memory before, and recovery reads on from there. One that ends in
    order leaves everything.
    """

    _cache: rocksdict.Cache | None = None
    _buffers: rocksdict.WriteBufferManager | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._dbs: dict[int, rocksdict.Rdict] = {}

    def rows(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over every key and durable row of a partition."""
        items: Iterator[tuple[Any, Any]] = self._db(partition).items()
        return ((key, row) for key, row in items if not key.startswith(_OWN))

    def restored_to(self, partition: int) -> int | None:
        """Find the offset of the last changelog record in the database."""
        text = self._db(partition).get(_OFFSET_KEY)
        return None if text is None else int(text)

    def forget(self, partition: int) -> None:
        """Close the partition's database; if the partition comes back, recovery goes on from its offset."""
        self._overwritten.pop(partition, None)
        db = self._dbs.pop(partition, None)
        if db is not None:
            db.close()

    def reset_state(self) -> None:
        """Delete the databases."""
        shutil.rmtree(self.app.conf.tabledir, ignore_errors=True)

    async def on_stop(self) -> None:
        """Close the databases."""
        for partition in list(self._dbs):
            self.forget(partition)

    def _changelog(self, partition: int) -> str | None:
        name = self._db(partition).get(_CHANGELOG_KEY)
        return None if name is None else name.decode()

    def _note_changelog(self, partition: int, changelog: str) -> None:
        self._db(partition).put(_CHANGELOG_KEY, changelog.encode())

    def _clear(self, partition: int) -> None:
        self.forget(partition)
        shutil.rmtree(self._path(partition))

    def _read(self, partition: int, key: bytes) -> bytes | None:
        return self._db(partition).get(key)

    def _read_many(self, partition: int, keys: Collection[bytes]) -> Mapping[bytes, bytes | None]:
        wanted: list[Any] = list(keys)
        found: Any = self._db(partition).get(wanted)
        return dict(zip(wanted, found, strict=True))

    def _read_overwritten(self, partition: int) -> frozenset[bytes]:
        found = set()
        keys: Iterator[Any] = self._db(partition).keys(from_key=_OVERWRITTEN_KEY)
        for key in keys:
            if not key.startswith(_OVERWRITTEN_KEY):
                break
            found.add(key.removeprefix(_OVERWRITTEN_KEY))
        return frozenset(found)

    def _commit(
        self, partition: int, rows: Mapping[bytes, bytes | None], offset: int, overwritten: frozenset[bytes]
    ) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key in overwritten ^ self.overwritten(partition):
            if key in overwritten:
                batch.put(_OVERWRITTEN_KEY + key, b"")
            else:
                batch.delete(_OVERWRITTEN_KEY + key)
        for key, row in rows.items():
            if row is None:
                batch.delete(key)
            else:
                batch.put(key, row)
        batch.put(_OFFSET_KEY, b"%d" % offset)
        self._db(partition).write(batch)
        self._overwritten[partition] = overwritten

    def _db(self, partition: int) -> rocksdict.Rdict:
        db = self._dbs.get(partition)
        if db is None:
            if RocksStore._cache is None or RocksStore._buffers is None:
                RocksStore._cache = rocksdict.Cache(_MEMORY_BYTES)
                RocksStore._buffers = rocksdict.WriteBufferManager.new_write_buffer_manager_with_cache(
                    _WRITE_BUFFERS_BYTES,
                    False,  # noqa: FBT003 - these signatures are rocksdict's
                    RocksStore._cache,
                )
            table = rocksdict.BlockBasedOptions()
            table.set_block_cache(RocksStore._cache)
            table.set_bloom_filter(_BLOOM_BITS, False)  # noqa: FBT003
            options = rocksdict.Options(raw_mode=True)
            options.create_if_missing(True)  # noqa: FBT003
            options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
            options.set_write_buffer_manager(RocksStore._buffers)
            options.set_arena_block_size(_MEMTABLE_BLOCK_BYTES)
            options.set_block_based_table_factory(table)
            path = self._path(partition)
            path.parent.mkdir(parents=True, exist_ok=True)
            db = self._dbs[partition] = rocksdict.Rdict(str(path), options)
            unlogged: Any = rocksdict.WriteOptions()  # its stub has the attribute as a method
            unlogged.disable_wal = True
            db.set_write_options(unlogged)
        return db

    def _path(self, partition: int) -> Path:
        path: Path = self.app.conf.tabledir / f"{self.table_name}-{partition}"
        return path
