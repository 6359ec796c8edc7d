"""A feed over a real broker: what it says, and what it leaves, where it cannot start."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError

from models.engine.tables import VALUATIONS
from streams.kafka.consumer import start_consumer
from streams.kafka.feed import Feed
from streams.kafka.shared_consumer import TopicMissing
from streams.kafka.topics import changelog_name
from streams.process.clock import SystemClock
from streams.settings import Bootstrap
from tests.support.changelog import changelogs
from tests.support.eventually import eventually
from tests.support.records import create_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import Settings


async def test_a_missing_changelog_is_told_at_once_and_read_once_it_is_there(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = settings()
    assert own.kafka is not None
    asked: list[str] = []
    list_topics = AIOKafkaAdminClient.list_topics

    async def listing(admin: AIOKafkaAdminClient) -> Any:  # noqa: ANN401 - as aiokafka gives it
        asked.append("which topics there are")
        return await list_topics(admin)

    async def beginning(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as it takes them
        asked.append("for records")
        return await start_consumer(*arguments, **named)

    monkeypatch.setattr(AIOKafkaAdminClient, "list_topics", listing)
    monkeypatch.setattr("streams.kafka.shared_consumer.start_consumer", beginning)
    feed = Feed.of(own, VALUATIONS, SystemClock())
    for _ in range(3):
        with pytest.raises(TopicMissing, match=feed.topic):
            await feed.start()
    # A consumer would wait 40 s for the topic.
    assert ["which topics there are"] * 3 == asked

    await create_all(own)
    try:
        async with changelogs(own) as rows:
            await rows.put(VALUATIONS, "main:0x1", 1, {"status": "valued"})
            await feed.start()
            await eventually(lambda: list(feed.rows) == [b"main:0x1"])
    finally:
        await feed.stop()
    assert ["which topics there are", "for records"] == asked[3:]


async def test_a_start_that_failed_leaves_nothing_open(settings: Callable[..., Settings]) -> None:
    own = settings()
    assert own.kafka is not None
    before = asyncio.all_tasks()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for bootstrap, error in ((own.bootstrap.servers, TopicMissing), ("127.0.0.1:1", KafkaConnectionError)):
            with pytest.raises(error):
                await Feed(
                    Bootstrap(bootstrap), changelog_name(own, VALUATIONS), SystemClock(), table=VALUATIONS
                ).start()
        gc.collect()

    assert [] == [str(warning.message) for warning in warned]
    assert before == asyncio.all_tasks()
