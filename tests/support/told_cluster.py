"""A cluster in memory that a topic is restored to: it numbers records itself, and ends transactions with markers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.archive.restoring import Target
from streams.replay.bounded_log import LogRecord, Place
from streams.settings.kafka_client import Bootstrap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka.admin import RecordsToDelete
    from aiokafka.admin.config_resource import ConfigResource

PLACE = Place("t", 0)
TP = TopicPartition(*PLACE)


class Sent(NamedTuple):
    offset: int


class Batch(list[LogRecord | None]):
    """Some records; None is a filler."""

    def append(self, *, timestamp: int, key: bytes | None, value: bytes | None, **_: object) -> Batch | None:  # type: ignore[override]
        if len(self) == 3:
            return None
        super().append(LogRecord(timestamp, *PLACE, 0, key, value))
        return self


class ToldCluster:
    """A broker and its clients, all in one; we die, or it refuses, in the step that it is told."""

    def __init__(self) -> None:
        self.topics: dict[str, dict[str, str]] = {}
        self.log: list[LogRecord | None] = []
        self.begin = 0
        self.dies_in = ""
        self.refuses = ""
        self.is_open = False
        self._joined = False
        self._txn_manager = self

    def target(self) -> Target:
        return Target(Bootstrap("127.0.0.1:1"), self, self, Fillers(self), self)

    def delete_topic(self) -> None:
        self.topics, self.log, self.begin = {}, [], 0

    def records(self) -> list[LogRecord]:
        return [
            msgspec.structs.replace(one, offset=at)
            for at, one in enumerate(self.log)
            if one is not None and at >= self.begin
        ]

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
        if step == self.refuses:
            msg = "no leave"
            raise KafkaError(msg)


class Fillers:
    """The client of a cluster that writes transactions."""

    def __init__(self, cluster: ToldCluster) -> None:
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
