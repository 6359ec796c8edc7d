"""What whoever charges next reads back of the topic, over a real broker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from aiokafka import AIOKafkaProducer

from models.symmio.funding_records import (
    Epoch,
    Frozen,
    Missed,
    Settled,
    Transaction,
    encode_record,
    record_key,
)
from streams.funder.funding_journal import opened_journal, read_journal
from streams.kafka.topics import FUNDING, create_topics, registry, topic_name
from streams.process.clock import SystemClock
from streams.process.supervision import ended
from tests.support.clocks import WallClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.symmio.funding_records import Record
    from streams.settings import Settings

NAME = "main"
DAY_MS = 86_400_000
STUCK = Transaction("0x05", 7, "0x0a", (), "sent", 1_000, "0x", ("0x1",))


def frozen(number: int, *, final: bool) -> Frozen:
    pays_s = number * 14_400
    return Frozen(Epoch(14_400, 420, pays_s), pays_s, pays_s + 420, pays_s, pays_s, {}, {}, 0, "0x0b", final)


async def write_days_ago(settings: Settings, records: Sequence[tuple[int, Record]]) -> None:
    """Write records that are so many days old."""
    now_ms = SystemClock().now_ms()
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka)
    await producer.start()
    try:
        for days, record in records:
            value, key = encode_record(record), record_key(NAME, record)
            at_ms = now_ms - days * DAY_MS
            await producer.send_and_wait(topic_name(settings, FUNDING), value, key=key, timestamp_ms=at_ms)
    finally:
        await producer.stop()


async def read_back(settings: Settings) -> list[Record]:
    async with opened_journal(settings, NAME, SystemClock()) as journal:
        return await journal.read_back(settings)


async def test_whatever_is_not_over_is_read_back_after_an_outage_of_weeks_and_nothing_of_before(
    settings: Callable[..., Settings],
) -> None:
    mine = settings(topics={"partitions": 3})
    await create_topics(mine.bootstrap, registry(mine))
    since_ms = SystemClock().now_ms() - 40 * DAY_MS
    old, open_still = frozen(1, final=True), frozen(2, final=False)
    await write_days_ago(mine, [(60, old), (40, STUCK), (40, open_still), (39, Settled(since_ms))])
    found = await read_back(mine)
    assert all(one in found for one in (STUCK, open_still))
    assert old not in found


async def test_without_a_record_of_what_is_settled_all_that_the_topic_keeps_is_read(
    settings: Callable[..., Settings],
) -> None:
    mine = settings(topics={"partitions": 3})
    await create_topics(mine.bootstrap, registry(mine))
    await write_days_ago(mine, [(60, frozen(1, final=True)), (20, STUCK)])
    assert [frozen(1, final=True), STUCK] == sorted(await read_back(mine), key=lambda one: isinstance(one, Transaction))


async def test_what_is_over_is_put_on_record_as_settled_with_what_ends_it(settings: Callable[..., Settings]) -> None:
    mine = settings(topics={"partitions": 3})
    await create_topics(mine.bootstrap, registry(mine))
    began_ms = at_ms = SystemClock().now_ms()
    async with opened_journal(mine, NAME, WallClock(lambda: at_ms)) as journal:
        assert [] == await journal.read_back(mine)
        writing = asyncio.create_task(journal.run())
        try:
            await journal.write([frozen(1, final=False), STUCK])
            at_ms = began_ms + 4 * 3_600_000
            await journal.write([Missed(Epoch(14_400, 420, 28_800), 28_800, 29_220, "0x0b")])
            await journal.write([frozen(1, final=True)])
            await journal.write([msgspec.structs.replace(STUCK, state="lost", final=True)])
        finally:
            await ended(writing)
    settled = [one.since_ms async for one in read_journal(mine, NAME, 0) if isinstance(one, Settled)]
    assert [began_ms, began_ms + 4 * 3_600_000] == settled
