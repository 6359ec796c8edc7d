"""Captures: what was written is read again, and what is damaged is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from streams.replay.bounded_log import BadCapture, LogRecord, NoSuchTopic, OutOfRetention, Place, Span
from streams.replay.captured_log import MANIFEST, CapturedLog, CaptureExists, CaptureWriter, Manifest
from streams.replay.log_window import resolve_times
from streams.replay.merging import merged
from tests.support.listed_log import record

VECTOR = {Place("ticks", 0): Span(5, 20_000), Place("ticks", 1): Span(0, 0), Place("blocks", 0): Span(2, 4)}
# More than are read of a file at a time.
RECORDS = [
    *(record("ticks", 0, offset, 1_000 + offset) for offset in range(5, 12_005)),
    LogRecord(14_000, "ticks", 0, 12_010, None, None),
    LogRecord(14_001, "ticks", 0, 12_011, b"\xff\x00", b"\x00\x01\xff"),
    record("blocks", 0, 3, 14_002, '{"text":"ü\\n"}'),
]
TOPICS = ("ticks", "blocks")


def write(directory: Path, records: list[LogRecord] = RECORDS, *, made_ms: int = 1) -> Manifest:
    writer = CaptureWriter(directory, VECTOR)
    for one in records:
        writer.take(one)
    return writer.finish(code="test", made_ms=made_ms, since_ms=1_005, until_ms=30_000)


async def read(directory: Path) -> list[LogRecord]:
    log = CapturedLog(directory)
    vector = await resolve_times(log, TOPICS, None, None)
    async with log.reading(vector) as reading:
        return [one async for one in merged(reading, vector, TOPICS)]


async def test_what_was_captured_is_read_again_to_the_last_byte(tmp_path: Path) -> None:
    write(tmp_path / "c")

    assert RECORDS == await read(tmp_path / "c")


async def test_the_same_records_have_one_digest_and_the_same_files_whenever_they_are_captured(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one"), write(tmp_path / "other", made_ms=2)
    less = write(tmp_path / "less", RECORDS[:-1])

    assert one.digest == other.digest != less.digest
    for part in one.parts:
        assert (tmp_path / "one" / part.file).read_bytes() == (tmp_path / "other" / part.file).read_bytes()


async def test_of_two_captures_of_one_name_that_begin_at_once_the_later_one_leaves_the_other_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first: list[CaptureWriter] = []

    def looks_before_the_other_begins(path: Path) -> bool:
        found = exists(path)
        if path.name == "c.partial" and not first:
            monkeypatch.undo()
            first.append(CaptureWriter(tmp_path / "c", VECTOR))
        return found

    exists = Path.exists
    monkeypatch.setattr(Path, "exists", looks_before_the_other_begins)
    with pytest.raises(CaptureExists, match=r"expected nothing at .*c\.partial, found something"):
        CaptureWriter(tmp_path / "c", VECTOR)

    for one in RECORDS:
        first[0].take(one)
    first[0].finish(code="test", made_ms=1, since_ms=1_005, until_ms=30_000)
    assert RECORDS == await read(tmp_path / "c")


async def test_a_window_of_a_capture_is_that_of_the_log(tmp_path: Path) -> None:
    write(tmp_path / "c")
    log = CapturedLog(tmp_path / "c")

    found = await resolve_times(log, ["ticks"], 1_100, 1_103)
    assert {Place("ticks", 0): Span(100, 103), Place("ticks", 1): Span(0, 0)} == found
    with pytest.raises(OutOfRetention):
        await resolve_times(log, ["ticks"], 1_004, 1_103)
    with pytest.raises(OutOfRetention):
        await resolve_times(log, ["ticks"], 1_100, 30_001)
    with pytest.raises(NoSuchTopic, match="blocks, ticks"):
        await log.held(["none"])


def test_nothing_is_written_over(tmp_path: Path) -> None:
    write(tmp_path / "c")
    with pytest.raises(CaptureExists):
        CaptureWriter(tmp_path / "c", VECTOR)


def test_what_is_not_whole_is_no_capture_and_leaves_nothing_when_it_is_given_up(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path / "c", VECTOR)
    writer.take(RECORDS[0])

    assert not (tmp_path / "c").exists()
    with pytest.raises(BadCapture):
        CapturedLog(tmp_path / "c.partial")
    with pytest.raises(CaptureExists):
        CaptureWriter(tmp_path / "c", VECTOR)
    writer.abandon()
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["cut", "altered", "missing", "nonsense"])
async def test_a_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    write(tmp_path / "c")
    path = tmp_path / "c" / "ticks-0.ndjson.gz"
    whole = path.read_bytes()
    match damage:
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "altered":
            path.write_bytes(gzip.compress(gzip.decompress(whole).replace(b'[7,1007,"k"', b'[7,1008,"k"')))
        case "missing":
            path.unlink()
        case _:
            path.write_bytes(gzip.compress(b"[1]\n"))

    with pytest.raises(BadCapture, match="ticks-0"):
        await read(tmp_path / "c")


@pytest.mark.parametrize("damaged", ["before", "inside", "behind", "flipped"])
async def test_a_file_that_was_altered_anywhere_is_refused_also_by_a_window_that_ends_before_it_does(
    tmp_path: Path, damaged: str
) -> None:
    write(tmp_path / "c")
    path = tmp_path / "c" / "ticks-0.ndjson.gz"
    whole = path.read_bytes()
    text = gzip.decompress(whole)
    match damaged:
        case "before":
            path.write_bytes(gzip.compress(text.replace(b'[7,1007,"k"', b'[7,1007,"x"')))
        case "inside":
            path.write_bytes(gzip.compress(text.replace(b'[105,1105,"k"', b'[105,1105,"x"')))
        case "behind":
            path.write_bytes(gzip.compress(text.replace(b'[9005,10005,"k"', b'[9005,10005,"x"')))
        case _:
            # A bit of what is compressed, near the end.
            path.write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    assert path.read_bytes() != whole

    log = CapturedLog(tmp_path / "c")
    vector = {Place("ticks", 0): Span(100, 110)}
    with pytest.raises(BadCapture, match="ticks-0"):
        async with log.reading(vector) as reading:
            await reading.more([Place("ticks", 0)])
    with pytest.raises(BadCapture, match="ticks-0"):
        await log.find(await log.held(["ticks"]), 1_100)


def test_a_manifest_that_was_altered_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "c")
    path = tmp_path / "c" / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["parts"][0]["records"] += 1
    path.write_text(json.dumps(manifest))

    with pytest.raises(BadCapture, match="altered"):
        CapturedLog(tmp_path / "c")
