"""Readers that share a consumer, over a real broker: each has its own topic's records, and none waits for another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from models.engine.tables import MARKETS, MARKS, VALUATIONS
from streams.kafka.feed import Feed
from streams.kafka.shared_consumer import QUIET_WAIT_MS, SharedConsumer, TopicMissing
from streams.kafka.topics import changelog_name, create_topics, registry
from streams.process.clock import SystemClock
from tests.support.changelog import changelogs
from tests.support.eventually import eventually
from tests.support.records import create_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import Settings


def sharing(own: Settings, *tables: str) -> list[Feed]:
    """A feed of each table, all through one consumer."""
    consumer = SharedConsumer(own.bootstrap, QUIET_WAIT_MS)
    feeds = [Feed.of(own, table, SystemClock()) for table in tables]
    for feed in feeds:
        feed.read_through(consumer)
    return feeds


async def stop(feeds: list[Feed]) -> None:
    for feed in feeds:
        await feed.stop()


async def test_each_reader_has_its_own_topics_records_and_one_that_stops_takes_nothing_from_the_others(
    settings: Callable[..., Settings],
) -> None:
    own = settings()
    await create_all(own)
    marks, markets = feeds = sharing(own, MARKS, MARKETS)
    async with changelogs(own) as rows:
        await rows.put(MARKS, "binance:BTC", 1, {})
        await rows.put(MARKETS, "main:1", 1, {})
        try:
            await asyncio.gather(*(feed.start() for feed in feeds))
            for feed in feeds:
                await feed.wait_ready()
            assert [[b"binance:BTC"], [b"main:1"]] == [list(feed.rows) for feed in feeds]

            await markets.stop()
            await rows.put(MARKETS, "main:2", 1, {})
            await rows.put(MARKS, "binance:ETH", 1, {})
            await eventually(lambda: b"binance:ETH" in marks.rows)
            assert [b"main:1"] == list(markets.rows)

            await markets.start()
            await eventually(lambda: b"main:2" in markets.rows)
        finally:
            await stop(feeds)


async def test_a_topic_that_is_missing_keeps_no_other_from_being_read_and_is_read_once_it_is_there(
    settings: Callable[..., Settings],
) -> None:
    own = settings()
    missing = changelog_name(own, VALUATIONS)
    await create_topics(own.bootstrap, tuple(topic for topic in registry(own) if topic.name != missing))
    marks, valuations = feeds = sharing(own, MARKS, VALUATIONS)
    async with changelogs(own) as rows:
        await rows.put(MARKS, "binance:BTC", 1, {})
        try:
            await marks.start()
            with pytest.raises(TopicMissing, match=missing):
                await valuations.start()
            await eventually(lambda: b"binance:BTC" in marks.rows)

            await create_all(own)
            await rows.put(VALUATIONS, "main:0x1", 1, {})
            await rows.put(MARKS, "binance:ETH", 1, {})
            await valuations.start()
            await valuations.wait_ready()
            assert [b"main:0x1"] == list(valuations.rows)
            await eventually(lambda: b"binance:ETH" in marks.rows)
        finally:
            await stop(feeds)


async def test_the_last_reader_that_stops_leaves_nothing_open(settings: Callable[..., Settings]) -> None:
    own = settings()
    await create_all(own)
    before = asyncio.all_tasks()
    feeds = sharing(own, MARKS, MARKETS)
    await asyncio.gather(*(feed.start() for feed in feeds))
    await feeds[0].stop()
    assert before != asyncio.all_tasks()
    await feeds[1].stop()

    assert before == asyncio.all_tasks()
