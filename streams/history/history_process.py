"""The process that keeps history. Any number of them may run: each has a file of its own, and the same bars in it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streams.history.bar_store import BarStore
from streams.history.booking_reader import BookingReader
from streams.history.booking_store import BookingStore
from streams.history.history_beats import HistoryBeats
from streams.history.history_requests import HistoryRequests, Kept, answer_requests
from streams.history.hours import restore_hours, say_hours
from streams.history.keeper import Keeper
from streams.history.refusals import Refusals
from streams.history.served_reader import ServedReader
from streams.kafka.producer import start_producer
from streams.kafka.topics import BOOKINGS, DEAD_LETTERS, HISTORY, HISTORY_ANSWERS, HISTORY_REQUESTS, require_topic
from streams.process.supervision import waited_out
from streams.replicas.heartbeat_writer import HeartbeatWriter

if TYPE_CHECKING:
    from streams.kafka.reader import TopicReader
    from streams.process.clock import Clock
    from streams.settings import Settings

FILE = "history.sqlite"
BOOKINGS_FILE = "bookings.sqlite"


async def run(settings: Settings, clock: Clock) -> None:
    """Keep history in the data directory and answer who asks for it, until cancelled.

    Raises:
        BadTopic: A topic is missing.
        BadStore: A file cannot be used.
        KafkaError: The broker cannot be reached any more; started again, it goes on where it was.
    """
    bookings_topic = f"{BOOKINGS}-{settings.epoch}"
    await require_topic(settings, HISTORY, HISTORY_REQUESTS, HISTORY_ANSWERS, bookings_topic, DEAD_LETTERS)
    store = BarStore(settings.data_dir / FILE)
    try:
        store.begin_epoch(settings.epoch)
        bookings = BookingStore(settings.data_dir / BOOKINGS_FILE, settings.epoch)
        try:
            refusals = Refusals(settings, clock)
            await restore_hours(settings, store, refusals, clock)
            await _keep(settings, store, bookings, refusals, clock)
        finally:
            bookings.close()
    finally:
        store.close()


async def _keep(settings: Settings, store: BarStore, bookings: BookingStore, refusals: Refusals, clock: Clock) -> None:
    producer = await start_producer(settings.bootstrap)
    try:
        requests, booking_reader = HistoryRequests(settings, clock), BookingReader(settings, bookings, refusals, clock)
        served_reader = ServedReader(settings, Keeper(store), refusals, clock)
        beats = HistoryBeats((served_reader, booking_reader))
        kept = Kept(store, bookings, booking_reader)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_follow(served_reader), name="what was shown")
            tasks.create_task(_follow(booking_reader), name="bookings")
            tasks.create_task(_follow(requests), name="requests for history")
            tasks.create_task(answer_requests(requests, settings, kept, producer, clock), name="answers")
            tasks.create_task(refusals.write(producer), name="dead letters")
            tasks.create_task(say_hours(settings, store, producer, clock), name="hours")
            tasks.create_task(HeartbeatWriter(settings, clock, beats.at).run(), name="heartbeats")
    finally:
        await waited_out(producer.stop())


async def _follow(reader: TopicReader) -> None:
    try:
        await reader.start()
        await reader.closed()
    finally:
        await reader.stop()
