"""What cannot be written is named, and nothing is left of it."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from bench.transport import ticks
from streams.replay.bounded_log import LogRecord, Place, Span
from streams.replay.captured_log import CaptureWriter
from streams.replay.checkpoints import Checkpoints
from streams.replay.export_files import ExportWriter
from streams.replay.exported_rows import PRICES_SCHEMA
from streams.replay.output_files import CannotWrite
from streams.replay.raw_fold import RawFold
from streams.replay.row_reading import RowReading
from streams.settings import Settings
from tests.support.golden import DEPLOYMENT, golden_deployment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PLACE = Place("price-ticks", 0)
RECORDS = [LogRecord(at, *PLACE, at, key, value) for at, (key, value) in enumerate(ticks(2_000))]


def capture(path: Path) -> None:
    writer = CaptureWriter(path, {PLACE: Span(0, len(RECORDS))})
    try:
        for one in RECORDS:
            writer.take(one)
        writer.finish(code="test", made_ms=0, since_ms=None, until_ms=None)
    except CannotWrite:
        writer.abandon()
        raise


def export(path: Path, file_format: str) -> None:
    writer, reading = ExportWriter(path, file_format, PRICES_SCHEMA), RowReading(PRICES_SCHEMA)
    try:
        for one in RECORDS:
            writer.take(reading.rows_of(one))
        writer.finish(offsets="", keys=(), code="", configuration="", unreadable=reading.unreadable)
    except CannotWrite:
        writer.abandon()
        raise


def checkpoint(path: Path) -> None:
    settings = Settings(deployments={**golden_deployment()})
    Checkpoints(path, "test").write(RawFold(settings, DEPLOYMENT, None), {PLACE: 0}, 0)


WRITERS: dict[str, Callable[[Path], None]] = {
    "capture": capture,
    "checkpoint": checkpoint,
    **{one: lambda path, one=one: export(path, one) for one in ("ndjson", "parquet", "arrow")},  # type: ignore[misc]
}


@contextmanager
def no_room() -> Iterator[None]:
    """No file may have more than some bytes, which a process is told as it is told that a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("what", WRITERS)
def test_where_the_disk_is_full_the_file_is_named_and_nothing_is_left_of_it(tmp_path: Path, what: str) -> None:
    with no_room(), pytest.raises(CannotWrite, match=f"expected to write {tmp_path / 'out'}"):
        WRITERS[what](tmp_path / "out")

    assert [] == [one for one in tmp_path.rglob("*") if one.is_file()]


@pytest.mark.parametrize("what", WRITERS)
def test_where_there_can_be_no_file_that_is_said(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match=f"expected to write {tmp_path / 'file' / 'out'}"):
        WRITERS[what](tmp_path / "file" / "out")
