"""A cluster made of an archive: every offset as it was, and whole only when all of it was done."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, NamedTuple, cast

import pytest
from aiokafka import TopicPartition

from streams.archive import restoring, segment_file
from streams.archive.archive_store import opened_store
from streams.archive.archived_log import ArchivedLog
from streams.archive.archiving import archive_due, find_due
from streams.archive.restoring import NotEmpty, Target, is_restored, restore_topic
from streams.kafka.topics import Topic
from streams.replay.bounded_log import Held, LogRecord, Place
from streams.settings.kafka_client import Bootstrap
from tests.support.listed_log import ListedLog, record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aiokafka.admin import RecordsToDelete
    from aiokafka.admin.config_resource import ConfigResource

    from streams.archive.archive_store import ArchiveStore

PLACE = Place("t", 0)
TP = TopicPartition(*PLACE)
TOPIC = Topic("t", "", 1, 1, {"cleanup.policy": "compact"})
HOME, NEW = "listed", "new"


class Sent(NamedTuple):
    offset: int


class Batch(list[LogRecord | None]):
    """Some records; None is a filler."""

    def append(self, *, timestamp: int, key: bytes | None, value: bytes | None, **_: object) -> Batch | None:  # type: ignore[override]
        if len(self) == 3:
            return None
        super().append(LogRecord(timestamp, *PLACE, 0, key, value))
        return self


class Cluster:
    """A broker and its clients, all in one; it dies where it is told to."""

    def __init__(self) -> None:
        self.topics: dict[str, dict[str, str]] = {}
        self.log: list[LogRecord | None] = []
        self.begin = 0
        self.dies_in = ""
        self.is_open = False
        self._joined = False
        self._txn_manager = self

    def target(self) -> Target:
        return cast("Target", Target(Bootstrap("127.0.0.1:1"), self, self, Fillers(self), self))

    def delete_topic(self) -> None:
        self.topics, self.log, self.begin = {}, [], 0

    def records(self) -> list[LogRecord]:
        return [one._replace(offset=at) for at, one in enumerate(self.log) if one is not None and at >= self.begin]

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[Sent]:
        assert (topic, partition) == PLACE
        done: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        done.set_result(Sent(len(self.log)))
        self.log += batch
        return done

    async def list_topics(self) -> list[str]:
        return list(self.topics)

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, len(self.log))

    async def alter_configs(self, resources: list[ConfigResource]) -> list[object]:
        (resource,) = resources
        self._die(f"configure {resource.configs.get('retention.ms')}")
        self.topics[resource.name] = dict(resource.configs)
        return []

    async def delete_records(self, some: Mapping[TopicPartition, RecordsToDelete]) -> None:
        self._die("delete")
        self.begin = some[TP].before_offset

    def _die(self, step: str) -> None:
        if step == self.dies_in:
            raise asyncio.CancelledError


class Fillers:
    """The client of a cluster that writes transactions."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._joined = False
        self._txn_manager = self

    def create_batch(self) -> Batch:
        return Batch()

    def maybe_add_partition_to_txn(self, tp: TopicPartition) -> None:
        assert tp == TP
        assert self._cluster.is_open
        self._joined = True

    async def begin_transaction(self) -> None:
        assert not self._cluster.is_open
        self._cluster.is_open = True

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[Sent]:
        self.maybe_add_partition_to_txn(TopicPartition(topic, partition))
        return await self._cluster.send_batch(Batch([None] * len(batch)), topic, partition=partition)

    async def abort_transaction(self) -> None:
        # A broker writes the end of a transaction where something was, or was about to be, written.
        if self._joined:
            self._cluster.log.append(None)
        self._cluster.is_open = self._joined = False


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    found = Cluster()

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


async def restore(cluster: Cluster, log: ArchivedLog) -> None:
    held = await log.held(["t"])

    def written(_: LogRecord) -> None:
        # Its coordinator would end it by itself where no offset is free for that.
        assert not cluster.is_open

    await restore_topic(cluster.target(), log, TOPIC, held, NEW, on_record=written)


async def is_whole(cluster: Cluster, store: ArchiveStore) -> bool:
    log = ArchivedLog(store)
    return await is_restored(cluster.target(), log, "t", await log.held(["t"]), NEW)


@pytest.mark.parametrize("seed", range(6))
async def test_each_record_and_the_end_are_at_their_offsets_and_no_transaction_waits_for_a_hole(
    cluster: Cluster, store: ArchiveStore, seed: int
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


async def test_as_many_other_records_are_no_restored_topic(cluster: Cluster, store: ArchiveStore) -> None:
    await archived(store, list(range(20)), end=20)
    cluster.topics["t"] = {}
    cluster.log += [record("t", 0, one, 1) for one in range(30)]

    with pytest.raises(NotEmpty, match="delete it"):
        await is_whole(cluster, store)


@pytest.mark.parametrize("step", ["delete", "configure None"])
@pytest.mark.parametrize("home", [HOME, NEW])
async def test_what_a_killed_run_left_is_refused_until_it_is_deleted_also_in_the_cluster_of_the_archive(
    cluster: Cluster, store: ArchiveStore, step: str, home: str
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
