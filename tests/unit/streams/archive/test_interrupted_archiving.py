"""What a run of the archive leaves that is killed or loses its power anywhere, and what the next one makes of it."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streams.archive.archive_store import opened_store
from streams.archive.archived_log import ArchivedLog
from streams.archive.archiving import find_due
from streams.archive.topic_index import read_index
from streams.replay.bounded_log import BadArchive, NoSuchTopic, Span
from tests.support.listed_archive import (
    PLACES,
    TOPIC,
    archive,
    findings,
    log_of,
    make_small_segments,
    read,
    records_of,
    records_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.archive.archive_store import ArchiveStore


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small_segments(monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> ArchiveStore:
    return opened_store(str(tmp_path / "archive"))


async def test_what_a_killed_run_left_of_another_cluster_is_not_taken(store: ArchiveStore, tmp_path: Path) -> None:
    await archive(log_of(33), store, 10**9)
    (tmp_path / "archive" / TOPIC / "index.json").unlink()
    other = log_of(35)
    other.cluster_id = "other"

    await archive(other, store, 10**9)
    index = read_index(store, TOPIC)
    assert index is not None
    assert {"other"} == {segment.cluster for one in index.partitions.values() for segment in one.segments}
    assert ["other"] == list(index.clusters)
    assert [] == findings(store)[0]


@pytest.mark.parametrize("begins", [(0, 50), (0, 60), (20, 50), (20, 70)])
async def test_what_is_whole_in_files_is_not_lost_though_kafka_has_deleted_it_and_no_index_was_written(
    store: ArchiveStore, tmp_path: Path, begins: tuple[int, int]
) -> None:
    first, then = begins
    await archive(log_of(60, first), store, 10**9)
    (tmp_path / "archive" / TOPIC / "index.json").unlink()

    lost = await archive(log_of(100, then), store, 10**9)

    gaps = ([Span(0, first)] if first else []) + ([Span(60, then)] if then > 60 else [])
    assert gaps == lost.get(PLACES[0], [])
    archived = await read(ArchivedLog(store), {PLACES[0]: Span(first, 100)})
    assert [
        one for one in records_until({PLACES[0]: 100}) if first <= one.offset < 60 or one.offset >= then
    ] == archived
    assert len(gaps) == len([one for one in findings(store)[0] if one.startswith("t:0:")])


@pytest.mark.parametrize("then", [0, 50])
async def test_what_a_killed_run_left_is_taken_only_where_it_is_what_it_wrote(
    store: ArchiveStore, tmp_path: Path, then: int
) -> None:
    await archive(log_of(60), store, 10**9)
    (tmp_path / "archive" / TOPIC / "index.json").unlink()
    first, second, third, *_ = sorted((tmp_path / "archive" / TOPIC / "0").glob("*.parquet"))
    first.write_bytes(first.read_bytes()[:-1] + b"x")
    # As a power cut leaves them: the name is there, and the content is not.
    second.write_bytes(b"")
    third.with_name(third.name + ".json").write_bytes(b"")

    due = await find_due(log_of(60, then), store, TOPIC, 10**9)
    lost = await archive(log_of(60, then), store, 10**9)

    assert [one.name for one in (first, second, third)] == [
        next(name for name in (first.name, second.name, third.name) if name in why) for why in due.refused
    ]
    spans = lost.get(PLACES[0], [])
    gone = {offset for span in spans for offset in range(span.begin, span.end)}
    assert bool(gone) == bool(then)
    index = read_index(store, TOPIC)
    assert index is not None
    found = [one for segment in index.partitions[0].segments for one in records_of(store, segment)]
    assert [one for one in records_until({PLACES[0]: 60}) if one.offset not in gone] == found
    assert all("were deleted before" in one for one in findings(store)[0])


async def test_a_store_that_does_not_answer_is_no_reason_to_leave_out_what_is_whole_there(
    store: ArchiveStore, tmp_path: Path
) -> None:
    await archive(log_of(60), store, 10**9)
    (tmp_path / "archive" / TOPIC / "index.json").unlink()
    good = store._files
    store._files = Silent(good)

    with pytest.raises(BadArchive, match="expected to reach"):
        await find_due(log_of(60, 50), store, TOPIC, 10**9)
    store._files = good


@dataclass
class Silent:
    """A file system that hands out no file of records."""

    files: object

    def __getattr__(self, name: str) -> object:
        return getattr(self.files, name)

    def cat_file(self, path: str) -> bytes:
        if path.endswith(".parquet"):
            msg = "no answer"
            raise OSError(msg)
        content: bytes = self.files.cat_file(path)  # type: ignore[attr-defined]
        return content


async def test_in_a_directory_all_is_on_the_disk_with_its_name_before_an_index_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path)
    monkeypatch.setattr("os.fsync", disk.sync)
    store = opened_store(str(tmp_path / "new" / "archive"))
    for until in (20, 60):
        await archive(log_of(until), store, 10**9)
        disk.expect_survives()
    assert disk.named
    assert not disk.named_too_early


class Disk:
    """What of some directory is on the disk: the content of files that were synced, the names of synced directories."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sync = os.fsync
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, set[str]] = {}
        # What indexes named, and what of it a power cut would have taken when they were written.
        self.named: set[Path] = set()
        self.named_too_early: set[Path] = set()

    def sync(self, descriptor: int) -> None:
        self._sync(descriptor)
        inode = os.fstat(descriptor).st_ino
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        if not path.is_dir():
            if path.name.startswith("index.json"):
                partitions = json.loads(path.read_bytes())["partitions"]
                segments = [segment for one in partitions.values() for segment in one["segments"]]
                files = {f"{one['partition']}/{one['begin']:020}-{one['end']:020}.parquet" for one in segments}
                self.named |= {path.parent / f"{one}{end}" for one in files for end in ("", ".json")}
                self.named_too_early |= self.named - set(self.files())
            self._contents[inode] = path.read_bytes()
            return
        self._names[inode] = {one.name for one in path.iterdir()}

    def files(self) -> list[Path]:
        """The files that a power cut would leave as they are, with all directories above them."""
        return [one for one in self._root.rglob("*") if one.is_file() and self._survives(one)]

    def expect_survives(self) -> None:
        """Expect that a power cut would take nothing."""
        there = {one for one in self._root.rglob("*") if one.is_file()}
        assert there == set(self.files())
        assert there

    def _survives(self, path: Path) -> bool:
        if self._contents.get(path.stat().st_ino) != path.read_bytes():
            return False
        above = path
        while above != self._root:
            if above.name not in self._names.get(above.parent.stat().st_ino, set()):
                return False
            above = above.parent
        return True


@dataclass
class Killed:
    """A file system that dies at a call, in the middle of writing a file."""

    files: object
    dies_at: int
    calls: Iterator[int] = field(default_factory=count)

    def __getattr__(self, name: str) -> object:
        return getattr(self.files, name)

    def pipe_file(self, path: str, content: bytes) -> None:
        if next(self.calls) == self.dies_at:
            self.files.pipe_file(path, content[: len(content) // 2])  # type: ignore[attr-defined]
            raise asyncio.CancelledError
        self.files.pipe_file(path, content)  # type: ignore[attr-defined]


async def test_a_run_that_is_killed_anywhere_leaves_no_part_as_if_whole_and_the_next_one_goes_on(
    tmp_path: Path,
) -> None:
    whole, log = await read(log_of(33)), log_of(33)
    for dies_at in count():
        store = opened_store(str(tmp_path / str(dies_at)))
        good = store._files
        store._files = Killed(good, dies_at)
        try:
            await archive(log, store, 10**9)
        except asyncio.CancelledError:
            store._files = good
        else:
            break
        try:
            found = await read(ArchivedLog(store))
        except NoSuchTopic:
            found = []
        assert [one for one in whole if one in found] == found
        await archive(log, store, 10**9)
        assert whole == await read(ArchivedLog(store))
        assert [] == findings(store)[0]
    assert dies_at > 10
