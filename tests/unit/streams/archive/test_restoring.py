"""A cluster made of an archive: every offset as it was, and whole only when all of it was done."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from streams.archive import restoring, segment_file
from streams.archive.archive_store import opened_store
from streams.archive.archived_log import ArchivedLog
from streams.archive.archiving import archive_due, find_due
from streams.archive.restoring import NotBegun, NotEmpty, is_restored, restore_topic
from streams.kafka.topics import Topic
from streams.replay.bounded_log import BrokenOff, Held, LogRecord
from tests.support.listed_log import ListedLog, record
from tests.support.told_cluster import PLACE, ToldCluster

if TYPE_CHECKING:
    from pathlib import Path

    from streams.archive.archive_store import ArchiveStore
    from streams.settings.kafka_client import Bootstrap

TOPIC = Topic("t", "", 1, 1, {"cleanup.policy": "compact"})
HOME, NEW = "listed", "new"


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> ToldCluster:
    found = ToldCluster()

    async def create(_bootstrap: Bootstrap, topics: tuple[Topic, ...]) -> None:
        found.topics |= {one.name: one.config for one in topics}

    monkeypatch.setattr(restoring, "create_topics", create)
    monkeypatch.setattr(segment_file, "_MOST_RECORDS", 10)
    monkeypatch.setattr(segment_file, "_ROWS_AT_ONCE", 4)
    return found


@pytest.fixture
def store(tmp_path: Path) -> ArchiveStore:
    return opened_store(str(tmp_path / "archive"))


async def archived(store: ArchiveStore, offsets: list[int], *, end: int, begin: int = 0) -> ArchivedLog:
    """An archive of a cluster that has records at these offsets."""
    log = ListedLog([record("t", 0, one, one * 1_000) for one in offsets], {PLACE: Held(begin, end, 0)})
    due = await find_due(log, store, "t", 10**9)
    await archive_due(log, store, due, {}, code="test", on_record=lambda _: None)
    return ArchivedLog(store)


async def restore(cluster: ToldCluster, log: ArchivedLog) -> None:
    held = await log.held(["t"])

    def written(_: LogRecord) -> None:
        # Its coordinator would end it by itself where no offset is free for that.
        assert not cluster.is_open

    await restore_topic(cluster.target(), log, TOPIC, held, NEW, on_record=written)


async def is_whole(cluster: ToldCluster, store: ArchiveStore) -> bool:
    log = ArchivedLog(store)
    return await is_restored(cluster.target(), log, "t", await log.held(["t"]), NEW)


@pytest.mark.parametrize("seed", range(6))
async def test_each_record_and_the_end_are_at_their_offsets_and_no_transaction_waits_for_a_hole(
    cluster: ToldCluster, store: ArchiveStore, seed: int
) -> None:
    draws = random.Random(seed)
    offsets = [one for one in range(3, 90) if draws.random() < (0.2, 0.5, 0.8)[seed % 3]]
    log = await archived(store, offsets, end=90 + seed % 3, begin=3)

    assert not await is_whole(cluster, store)
    await restore(cluster, log)

    assert offsets == [one.offset for one in cluster.records()]
    assert [one * 1_000 for one in offsets] == [one.time_ms for one in cluster.records()]
    assert (3, 90 + seed % 3) == (cluster.begin, len(cluster.log))
    assert TOPIC.config == cluster.topics["t"]
    assert await is_whole(cluster, store)


async def test_as_many_other_records_are_no_restored_topic(cluster: ToldCluster, store: ArchiveStore) -> None:
    await archived(store, list(range(20)), end=20)
    cluster.topics["t"] = {}
    cluster.log += [record("t", 0, one, 1) for one in range(30)]

    with pytest.raises(NotEmpty, match="delete it"):
        await is_whole(cluster, store)


async def test_a_topic_that_the_cluster_does_not_configure_is_not_begun_and_is_restored_later(
    cluster: ToldCluster, store: ArchiveStore
) -> None:
    log = await archived(store, list(range(20)), end=20)
    cluster.refuses = "configure -1"
    with pytest.raises(NotBegun, match="no leave"):
        await restore(cluster, log)
    assert not cluster.log
    cluster.refuses = ""
    assert not await is_whole(cluster, store)
    await restore(cluster, log)
    assert await is_whole(cluster, store)


@pytest.mark.parametrize("fault", ["refused", "altered"])
async def test_a_topic_that_was_begun_and_not_ended_broke_off(
    cluster: ToldCluster, store: ArchiveStore, tmp_path: Path, fault: str
) -> None:
    log = await archived(store, list(range(20)), end=20)
    if fault == "altered":
        for segment in sorted((tmp_path / "archive").rglob("*.parquet"))[1:]:
            segment.write_bytes(segment.read_bytes()[:-1])
    else:
        cluster.refuses = "configure None"
    with pytest.raises(BrokenOff, match="delete it"):
        await restore(cluster, log)
    assert cluster.log


@pytest.mark.parametrize("step", ["delete", "configure None"])
@pytest.mark.parametrize("home", [HOME, NEW])
async def test_what_a_killed_run_left_is_refused_until_it_is_deleted_also_in_the_cluster_of_the_archive(
    cluster: ToldCluster, store: ArchiveStore, step: str, home: str
) -> None:
    log = await archived(store, list(range(5, 20)), end=20, begin=5)
    if home == NEW:
        await log.add_cluster("t", NEW)
    cluster.dies_in = step
    with pytest.raises(asyncio.CancelledError):
        await restore(cluster, log)
    assert len(cluster.log) == 20

    with pytest.raises(NotEmpty, match="delete it"):
        await is_whole(cluster, store)
    cluster.delete_topic()
    cluster.dies_in = ""
    assert not await is_whole(cluster, store)
    await restore(cluster, ArchivedLog(store))
    assert await is_whole(cluster, store)
    assert TOPIC.config == cluster.topics["t"]
