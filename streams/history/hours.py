"""Bars of hours on the topic ``history``: a file that is lost is made anew from it, and from what is still kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from models.errors import BadRecord
from models.history import HOUR_S
from models.history_records import decode_hour, encode_hour
from models.prices import FUTURE_MAX_MS
from streams.kafka.reader import TopicReader
from streams.kafka.topics import HISTORY, topic_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka import AIOKafkaProducer, TopicPartition

    from models.history import Bar
    from streams.history.bar_store import BarId, BarStore
    from streams.history.refusals import Refusals
    from streams.kafka.record import Record
    from streams.process.clock import Clock
    from streams.settings import Settings

_SAY_EVERY_S = 5.0
_AT_ONCE = 1_000
# What was shown in an hour's last second is in its bar by then. What comes later changes the bar, and it is said again.
_SETTLED_S = 60


class HoursReader(TopicReader):
    """Reads every bar of an hour into the store.

    Args:
        settings: Name the broker and the topic.
        store: Takes the bars.
        refusals: Take the records that cannot be read.
        clock: Tells which bars cannot be yet.
    """

    def __init__(self, settings: Settings, store: BarStore, refusals: Refusals, clock: Clock) -> None:
        super().__init__(settings.bootstrap, topic_name(settings, HISTORY), clock)
        self._store = store
        self._refusals = refusals

    def _take(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        bars: dict[BarId, Bar] = {}
        latest_s = (self._clock.now_ms() + FUTURE_MAX_MS) // 1_000
        for tp, records in fetched.items():
            for record in records:
                try:
                    series, bar = _hour_by(latest_s, record.value)
                except BadRecord as error:
                    self._refusals.refuse(self.topic, tp.partition, record, error)
                else:
                    bars[series, HOUR_S, bar.start_s] = bar
        with self._store.transaction():
            self._store.put_bars(bars, is_said=True)


def _hour_by(latest_s: int, value: bytes | None) -> tuple[str, Bar]:
    series, bar = decode_hour(value)
    if bar.start_s > latest_s:
        msg = f"expected a bar of an hour that began by {latest_s} s, found {bar.start_s}: compare the clocks"
        raise BadRecord(msg)
    return series, bar


async def restore_hours(settings: Settings, store: BarStore, refusals: Refusals, clock: Clock) -> None:
    """Read what the topic has, where the store never did.

    Args:
        settings: Name the broker and the topic.
        store: The bars.
        refusals: Take the records that cannot be read.
        clock: Tells which bars cannot be yet.

    Raises:
        TopicMissing: There is no such topic.
        KafkaError: The broker cannot be reached.
    """
    if store.is_restored:
        return
    reader = HoursReader(settings, store, refusals, clock)
    await reader.start()
    try:
        await reader.wait_ready()
    finally:
        await reader.stop()
    store.restored()


async def say_hours(settings: Settings, store: BarStore, producer: AIOKafkaProducer, clock: Clock) -> None:
    """Write the bars of hours that are over to the topic, until cancelled.

    Args:
        settings: Name the topic.
        store: The bars.
        producer: Started.
        clock: Tells which hours are over.

    Raises:
        KafkaError: The broker did not take one.
    """
    topic = topic_name(settings, HISTORY)
    while True:
        over_s = clock.now_ms() // 1_000 - _SETTLED_S - HOUR_S
        hours = store.unsaid_hours(over_s + 1, _AT_ONCE)
        sent = []
        for series, bar in hours:
            key, value = encode_hour(series, bar)
            sent.append(await producer.send(topic, value, key=key))
        await asyncio.gather(*sent)
        with store.transaction():
            store.said(hours)
        if len(hours) < _AT_ONCE:
            await asyncio.sleep(_SAY_EVERY_S)
