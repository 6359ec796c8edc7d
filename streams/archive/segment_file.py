"""A segment: records of one partition as a Parquet file, to the last byte of each.

Columns are ``offset``, ``time`` (of the record, in ms), ``key``, ``value`` and ``headers``, so every tool that reads
Parquet reads it.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from streams.archive.archive_store import NoArchiveExtra
from streams.replay.bounded_log import LogRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.replay.bounded_log import Place

# What is held in memory of each partition that is read or written.
_MOST_RECORDS = 200_000
_MOST_BYTES = 32 * 2**20
_ROWS_AT_ONCE = 5_000
_ROWS_OF_A_GROUP = 50_000


class SegmentBuilder:
    """Collects the records of a segment."""

    def __init__(self) -> None:
        self._records: list[LogRecord] = []
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether the next record belongs to the next segment."""
        return len(self._records) >= _MOST_RECORDS or self._bytes >= _MOST_BYTES

    @property
    def records(self) -> list[LogRecord]:
        """What it has."""
        return self._records

    def take(self, record: LogRecord) -> None:
        """Add a record."""
        self._records.append(record)
        self._bytes += len(record.key or b"") + len(record.value or b"")

    def encode(self) -> bytes:
        """The file.

        Raises:
            NoArchiveExtra: pyarrow is not installed.
        """
        pa, pq = _pyarrow()
        header = pa.struct([("name", pa.string()), ("value", pa.binary())])
        columns = {
            "offset": pa.array([one.offset for one in self._records], pa.int64()),
            "time": pa.array([one.time_ms for one in self._records], pa.int64()).cast(pa.timestamp("ms", tz="UTC")),
            "key": pa.array([one.key for one in self._records], pa.binary()),
            "value": pa.array([one.value for one in self._records], pa.binary()),
            "headers": pa.array([_headers(one) for one in self._records], pa.list_(header)),
        }
        written = io.BytesIO()
        pq.write_table(pa.table(columns), written, compression="zstd", row_group_size=_ROWS_OF_A_GROUP)
        return written.getvalue()


def read_segment(place: Place, content: bytes) -> Iterator[list[LogRecord]]:
    """Yield the records of a segment, some thousand at a time.

    Args:
        place: Where they stand.
        content: The file.

    Raises:
        NoArchiveExtra: pyarrow is not installed.
        ValueError: It is no such file, as pyarrow says it.
    """
    pa, pq = _pyarrow()
    topic, partition = place
    for batch in pq.ParquetFile(io.BytesIO(content)).iter_batches(batch_size=_ROWS_AT_ONCE):
        headers = batch.column("headers")
        if headers.null_count == len(headers):
            told: list[tuple[tuple[str, bytes | None], ...]] = [()] * len(headers)
        else:
            told = [tuple((one["name"], one["value"]) for one in cell or ()) for cell in headers.to_pylist()]
        times = batch.column("time").cast(pa.int64()).to_pylist()
        offsets, keys, values = (batch.column(name).to_pylist() for name in ("offset", "key", "value"))
        yield [
            LogRecord(time_ms, topic, partition, offset, key, value, header)
            for time_ms, offset, key, value, header in zip(times, offsets, keys, values, told, strict=True)
        ]


def _headers(record: LogRecord) -> list[dict[str, Any]] | None:
    return [{"name": name, "value": value} for name, value in record.headers] or None


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - only who asks for it needs it
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        msg = "expected pyarrow, by which archives are read and written, found none: install tidemark[analysis]"
        raise NoArchiveExtra(msg) from error
    return pa, pq
