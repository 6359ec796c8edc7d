"""What can be read of topics now, and whether workers have folded all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from models.symmio.topics import CHAIN_BLOCKS
from models.symmio.venue import SYMMIO
from streams.kafka.topics import PRICE_TICKS, routed_name, topic_name
from streams.process.clock import SystemClock
from streams.replay.bounded_log import Held, LogRecord, Place, Span
from streams.replay.kafka_log import KafkaLog
from streams.replay.merging import read_merged

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from streams.replay.bounded_log import Log
    from streams.settings import Settings


async def standing(log: Log, topics: Collection[str]) -> tuple[list[LogRecord], dict[Place, int]]:
    """Every record of these topics, and where each partition begins."""
    held: Mapping[Place, Held] = await log.held(topics)
    vector = {place: Span(one.begin, one.end) for place, one in held.items()}
    return [one async for one in read_merged(log, vector)], {place: one.begin for place, one in held.items()}


async def all_folded(settings: Settings) -> bool:
    """Whether a worker has committed every record that can be read."""
    topics = [topic_name(settings, one) for one in (PRICE_TICKS, CHAIN_BLOCKS)]
    log = KafkaLog(settings.bootstrap, {}, SystemClock())
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        for topic in (*topics, routed_name(settings, SYMMIO.routed)):
            committed = await admin.list_consumer_group_offsets(settings.app_id)
            last: dict[TopicPartition, int] = {}
            for one in (await standing(log, [topic]))[0]:
                last[TopicPartition(*one.place)] = one.offset
            if any(tp not in committed or committed[tp].offset <= offset for tp, offset in last.items()):
                return False
    finally:
        await admin.close()
    return True


def by_key(records: Iterable[LogRecord]) -> dict[bytes | None, list[tuple[bytes | None, int, object]]]:
    """The value, time and headers of each record, by key, in the order that they have."""
    found: dict[bytes | None, list[tuple[bytes | None, int, object]]] = {}
    for one in records:
        found.setdefault(one.key, []).append((one.value, one.time_ms, one.headers))
    return found
