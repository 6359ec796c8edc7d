"""What a copy remembers of itself, and how it leaves a topic, whenever the run before it ended."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.protocol.commit import OffsetFetchRequest

from streams.kafka.topics import Topic
from streams.repartition.copied_topics import CopiedTopic
from streams.repartition.copying import Target, WrittenByOthers, copy_left, find_left
from streams.replay.bounded_log import BrokenOff, Held, LogRecord, Place
from tests.support.committed_offsets import told_committed
from tests.support.listed_log import ListedLog, record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiokafka.admin.config_resource import ConfigResource
    from aiokafka.protocol.commit import OffsetFetchResponse_v3

TOPIC = Topic("new", "a key", 2, 1, {"retention.ms": "1000"})
COPIED = CopiedTopic("old", TOPIC)
PLACES = [Place(topic, partition) for topic in ("old", "new") for partition in range(2)]


class RememberingCluster:
    """A broker and its clients, all in one, with four records in the topic before."""

    def __init__(self) -> None:
        self.records = [record("old", at % 2, at // 2, at, key=f"k{at}") for at in range(4)]
        self.committed: dict[Place, int] = {}
        self.last_commit: dict[Place, int] = {}
        self.config = TOPIC.config
        self.configures_for = 99

    async def copy(self) -> int:
        """Run once; return how many records were copied."""
        target, log = Target(self, self, "copy"), self._log()
        copied: list[LogRecord] = []
        await copy_left(target, log, COPIED, await find_left(target, log, COPIED), copied.append)
        return len(copied)

    def values(self, topic: str) -> set[tuple[bytes | None, int]]:
        return {(one.key, one.time_ms) for one in self.records if one.topic == topic}

    def recreate_topic(self) -> None:
        """Delete and create the new topic; a broker forgets what is committed of one that is deleted."""
        self.records = [one for one in self.records if one.topic != "new"]
        self.committed = {place: offset for place, offset in self.committed.items() if place.topic != "new"}

    def _log(self) -> ListedLog:
        return ListedLog(self.records, {place: Held(0, self._end(place), None) for place in PLACES})

    def _end(self, place: Place) -> int:
        return sum(one.place == place for one in self.records)

    async def find_coordinator(self, group: str) -> int:
        assert group == "copy"
        return 0

    async def _send_request(self, request: object, coordinator: int) -> OffsetFetchResponse_v3:
        assert isinstance(request, OffsetFetchRequest)
        assert coordinator == 0
        return told_committed({TopicPartition(*place): offset for place, offset in self.committed.items()})

    async def alter_configs(self, resources: list[ConfigResource]) -> list[object]:
        self.configures_for -= 1
        if self.configures_for < 0:
            msg = "gone"
            raise KafkaError(msg)
        self.config = dict(resources[0].configs)
        return []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        self.last_commit = {}
        yield
        self.committed |= self.last_commit

    async def send(
        self, topic: str, value: bytes, *, key: bytes, partition: int, timestamp_ms: int, headers: list[object]
    ) -> asyncio.Future[object]:
        assert not headers
        place = Place(topic, partition)
        taken: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        taken.set_result(SimpleNamespace(topic=topic, partition=partition, offset=self._end(place)))
        self.records.append(LogRecord(timestamp_ms, *place, self._end(place), key, value))
        return taken

    async def send_offsets_to_transaction(self, offsets: Mapping[TopicPartition, int], group: str) -> None:
        assert group == "copy"
        self.last_commit |= {Place(*tp): offset for tp, offset in offsets.items()}


@pytest.fixture
def cluster() -> RememberingCluster:
    return RememberingCluster()


async def test_a_topic_has_its_settings_again_though_the_run_that_filled_it_ended_before_it_gave_them_back(
    cluster: RememberingCluster,
) -> None:
    cluster.configures_for = 1
    with pytest.raises(BrokenOff):
        await cluster.copy()
    assert cluster.values("old") == cluster.values("new")
    assert "-1" == cluster.config["retention.ms"]

    cluster.configures_for = 1
    assert 0 == await cluster.copy()
    assert TOPIC.config == cluster.config


async def test_a_cluster_that_does_not_configure_a_topic_breaks_off_a_run_that_has_nothing_to_copy(
    cluster: RememberingCluster,
) -> None:
    await cluster.copy()
    cluster.configures_for = 0

    with pytest.raises(BrokenOff, match="run this again"):
        await cluster.copy()


async def test_how_far_it_is_is_committed_anew_by_a_run_that_has_nothing_to_copy(cluster: RememberingCluster) -> None:
    assert 4 == await cluster.copy()
    reached = dict(cluster.committed)
    cluster.last_commit = {}

    assert 0 == await cluster.copy()
    assert reached == cluster.last_commit == cluster.committed
    assert {place: 2 for place in PLACES if place.topic == "old"}.items() <= reached.items()


@pytest.mark.parametrize("forgotten", [*PLACES[:2], None], ids=["one partition", "another one", "everything"])
async def test_a_copy_of_which_it_is_forgotten_how_far_it_is_is_refused_and_not_made_twice(
    cluster: RememberingCluster, forgotten: Place | None
) -> None:
    await cluster.copy()
    written = cluster.values("new")
    cluster.committed = {place: at for place, at in cluster.committed.items() if forgotten not in {None, place}}

    with pytest.raises(WrittenByOthers, match=r"forgotten .*offsets\.retention\.minutes.*: unless the new deployment"):
        await cluster.copy()
    assert written == cluster.values("new")


async def test_a_topic_that_was_deleted_and_created_again_is_copied_from_the_beginning(
    cluster: RememberingCluster,
) -> None:
    await cluster.copy()
    cluster.recreate_topic()

    assert 4 == await cluster.copy()
    assert cluster.values("old") == cluster.values("new")
