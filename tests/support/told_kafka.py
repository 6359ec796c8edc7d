"""A story of ``told_log`` in a cluster: every record with its time and offset, what was shown, and the last rows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from models.codec import encode_row
from models.engine.tables import VALUATIONS
from streams.kafka.topics import changelog_name, served_name, topic_name
from streams.process.clock import SystemClock
from tests.support.golden import DEPLOYMENT, SYMBOL, golden_chain, golden_deployment
from tests.support.pipeline import producer
from tests.support.records import create_all
from tests.support.told_log import tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka import AIOKafkaProducer

    from streams.settings import Settings
    from tests.support.told_log import Story


def lately(blocks: int | None = None) -> Story:
    """The first blocks of the recorded deployment, by default all, as if they had come within the last hour."""
    start_ms = SystemClock().now_ms() - 3_600_000
    return tell(DEPLOYMENT, golden_deployment(), golden_chain()[:blocks], SYMBOL, start_ms)


async def told_kafka(story: Story, settings: Callable[..., Settings]) -> Settings:
    """Write a story to the topics of a test, which are empty, and return the settings that read it there."""
    mine = story.settings
    own = settings(deployments=mine.deployments, topics={"partitions": mine.topics.partitions})
    await create_all(own)
    async with producer(own) as sender:
        sent = []
        for one in story.records:
            topic = topic_name(own, one.topic.removeprefix(mine.topics.prefix))
            sent.append(await sender.send(topic, one.value, one.key, one.partition, one.time_ms))
        assert [one.offset for one in story.records] == [said.offset for said in await asyncio.gather(*sent)]
        for version, ((at_ms, key), body) in enumerate(sorted(story.shown.items())):
            await _send(sender, served_name(own), key, encode_row(0, version, body), at_ms)
        for key, row in story.last.items():
            await _send(sender, changelog_name(own, VALUATIONS), key, row, SystemClock().now_ms())
    return own


async def _send(sender: AIOKafkaProducer, topic: str, key: bytes, value: bytes, at_ms: int) -> None:
    await sender.send(topic, value, key, timestamp_ms=at_ms)
