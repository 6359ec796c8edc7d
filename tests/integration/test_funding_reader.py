"""Records of funding over a real broker: what an executor put on record is handed out, and what was aborted is not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from api.dialects.symmio.funding_reader import FundingReader, FundingRecords
from models.symmio.funding_records import Epoch, Missed, decode_record
from streams.funder.funding_journal import opened_journal
from streams.kafka.topics import FUNDING, create_topics, registry, topic_name
from streams.process.clock import SystemClock
from streams.process.supervision import ended
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import Settings


async def test_a_replica_hears_what_is_on_record_and_nothing_that_was_aborted(
    settings: Callable[..., Settings],
) -> None:
    mine = settings(topics={"partitions": 1})
    await create_topics(mine.bootstrap, registry(mine))
    records, heard = FundingRecords(), list[int]()

    def hear(_: bytes, value: bytes) -> None:
        record = decode_record(value)
        if isinstance(record, Missed):
            heard.append(record.epoch.pays_s)

    records.listen(hear)
    assert records.is_read()
    async with opened_journal(mine, "main", SystemClock()) as journal:
        writing = asyncio.create_task(journal.run())
        await journal.write([Missed(Epoch(100, 10, 100), 100, 110)])
        producer = journal._writer._producer
        await producer.begin_transaction()
        await producer.send_and_wait(topic_name(mine, FUNDING), b"never", key=b"main:epoch:1")
        await producer.abort_transaction()
        reader = FundingReader(mine, records, SystemClock())
        assert not records.is_read()
        await reader.start()
        try:
            await reader.wait_ready()
            assert [100] == heard
            await journal.write([Missed(Epoch(100, 10, 200), 200, 210)])
            await eventually(lambda: heard == [100, 200])
        finally:
            await reader.stop()
            await ended(writing)
