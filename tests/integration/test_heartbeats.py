"""Heartbeats over a real broker: written once a second, read by every replica, lost without harm."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from models.heartbeats import FunderBeat, funder_key
from streams.kafka.topics import HEARTBEATS, create_topics, registry, topic_name
from streams.process.clock import SystemClock
from streams.process.supervision import ended
from streams.replicas.heartbeat_reader import HeartbeatReader, Heartbeats
from streams.replicas.heartbeat_writer import HeartbeatWriter
from tests.support.eventually import eventually
from tests.support.pipeline import producer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from models.heartbeats import Beat
    from streams.settings import Settings


def _beats(process: str, at_ms: int) -> dict[str, Beat]:
    return {funder_key("main"): FunderBeat(process, at_ms)}


@asynccontextmanager
async def _beating(settings: Settings) -> AsyncIterator[None]:
    task = asyncio.create_task(HeartbeatWriter(settings, SystemClock(), _beats).run())
    try:
        yield
        assert not task.done()
    finally:
        await ended(task)


@asynccontextmanager
async def _hearing(settings: Settings) -> AsyncIterator[Heartbeats]:
    heartbeats = Heartbeats()
    reader = HeartbeatReader(settings, heartbeats, SystemClock())
    await reader.start()
    try:
        await reader.wait_ready()
        yield heartbeats
    finally:
        await reader.stop()


async def test_who_listens_hears_one_heartbeat_after_another_and_the_last_one_later(
    settings: Callable[..., Settings],
) -> None:
    mine = settings()
    await create_topics(mine.bootstrap, registry(mine))
    async with _hearing(mine) as heartbeats:
        async with _beating(mine):
            await eventually(lambda: funder_key("main") in heartbeats.newest)
            first = heartbeats.newest[funder_key("main")]
            await eventually(lambda: heartbeats.newest[funder_key("main")].beat.at_ms > first.beat.at_ms)
        assert first.heard_ms >= first.beat.at_ms
    async with _hearing(mine) as later:
        assert later.newest[funder_key("main")].beat.at_ms > first.beat.at_ms


async def test_a_process_that_starts_before_its_topic_beats_when_it_is_there(settings: Callable[..., Settings]) -> None:
    mine = settings()
    async with _beating(mine):
        await create_topics(mine.bootstrap, registry(mine))
        async with _hearing(mine) as heartbeats:
            await eventually(lambda: funder_key("main") in heartbeats.newest)


async def test_what_is_no_heartbeat_is_passed_over(settings: Callable[..., Settings]) -> None:
    mine = settings()
    await create_topics(mine.bootstrap, registry(mine))
    async with producer(mine) as sender:
        await sender.send(topic_name(mine, HEARTBEATS), b"{}", key=b"funder:other")
    async with _beating(mine), _hearing(mine) as heartbeats:
        await eventually(lambda: {funder_key("main")} == heartbeats.newest.keys())
