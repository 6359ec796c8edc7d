"""What the transport does with topics as Kafka may hold them: transactions, tombstones, rows of fenced owners."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer

from models.codec import decode_row, encode_row
from models.engine.tables import ACCOUNTS, MARKS
from models.ids import mark_key
from models.prices import encode_tick
from streams.kafka.partitions import partition_of
from streams.kafka.topics import DEAD_LETTERS, PRICE_TICKS, changelog_name, create_topics, registry, topic_name
from streams.settings import WorkerSettings
from tests.support.eventually import eventually
from tests.support.golden import DEPLOYMENT, SYMBOL, golden_chain, golden_deployment, ticks
from tests.support.pipeline import (
    all_committed,
    end_offset,
    feed_rows,
    producer,
    records_of,
    worker,
    write_chain,
    write_ticks,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.prices import MarkTick
    from streams.settings import Settings
    from tests.support.pipeline import WorkerProcess

KEY = mark_key("binance-futures", SYMBOL)


async def write_in_transaction(settings: Settings, written: list[MarkTick], *, commit: bool) -> None:
    sender = AIOKafkaProducer(bootstrap_servers=settings.kafka, transactional_id="ticks")
    await sender.start()
    try:
        await sender.begin_transaction()
        for tick in written:
            await sender.send_and_wait(topic_name(settings, PRICE_TICKS), encode_tick(tick), key=KEY)
        if commit:
            await sender.commit_transaction()
        else:
            await sender.abort_transaction()
    finally:
        await sender.stop()


async def last_mark(settings: Settings) -> int:
    rows = await feed_rows(settings, MARKS)
    return int(rows[KEY].body["event_ms"]) if KEY in rows else 0


async def test_an_aborted_transaction_is_never_folded_and_its_markers_are_no_lag(
    settings: Callable[..., Settings],
) -> None:
    mine = settings(deployments=golden_deployment())
    await create_topics(mine.bootstrap, registry(mine))
    await write_in_transaction(mine, ticks(SYMBOL, 5), commit=True)
    await write_in_transaction(mine, ticks(SYMBOL, 5, start=5), commit=False)
    async with worker(mine) as process:
        await process.ready()

        async def caught_up() -> bool:
            return await last_mark(mine) == 5 and set((await process.status())["lag_records"].values()) == {0}

        await eventually(caught_up)
        await write_in_transaction(mine, ticks(SYMBOL, 3, start=10), commit=True)

        async def went_on() -> bool:
            return await last_mark(mine) == 13 and set((await process.status())["lag_records"].values()) == {0}

        await eventually(went_on)
        assert 0 == (await process.terminate())[0]


async def test_a_tombstone_in_a_source_topic_is_a_dead_letter_and_stops_nothing(
    settings: Callable[..., Settings],
) -> None:
    mine = settings(deployments=golden_deployment())
    await create_topics(mine.bootstrap, registry(mine))
    await write_ticks(mine, ticks(SYMBOL, 3))
    async with producer(mine) as sender:
        await sender.send_and_wait(topic_name(mine, PRICE_TICKS), None, key=KEY)
    await write_ticks(mine, ticks(SYMBOL, 3, start=3))
    async with worker(mine) as process:
        await process.ready()
        await all_committed(mine)

    assert 6 == await last_mark(mine)
    assert 1 == await end_offset(mine, topic_name(mine, DEAD_LETTERS))


async def write_row(settings: Settings, key: bytes, row: bytes | None) -> None:
    async with producer(settings) as sender:
        await sender.send_and_wait(
            changelog_name(settings, ACCOUNTS), row, key=key, partition=partition_of(key, settings.topics.partitions)
        )


async def test_an_owner_writes_its_row_again_behind_what_a_fenced_owner_writes_late(
    settings: Callable[..., Settings],
) -> None:
    mine = settings(deployments=golden_deployment())
    await create_topics(mine.bootstrap, registry(mine))
    async with worker(mine) as former:
        await former.ready()
        await former.terminate()
    await write_chain(mine, DEPLOYMENT, golden_chain())
    async with worker(mine) as process:
        await process.ready()
        await all_committed(mine)
        held = await process.rows(ACCOUNTS)
        late, erased = sorted(held)[:2]
        await write_row(mine, late, encode_row(0, held[late].version + 7, {"of": "a fenced owner"}))
        await write_row(mine, erased, None)

        async def mended() -> bool:
            last = dict(await records_of(mine, changelog_name(mine, ACCOUNTS)))
            return all(last[key] is not None and decode_row(last[key]) == held[key] for key in (late, erased))

        await eventually(mended, 20)
        assert held == await feed_rows(mine, ACCOUNTS)
        assert held == await process.rows(ACCOUNTS)


async def test_a_worker_that_hears_a_later_owner_in_its_partition_ends_without_a_commit(
    settings: Callable[..., Settings],
) -> None:
    mine = settings(deployments=golden_deployment())
    await create_topics(mine.bootstrap, registry(mine))
    await write_chain(mine, DEPLOYMENT, golden_chain())
    async with worker(mine) as process:
        await process.ready()
        await all_committed(mine)
        key = min(await process.rows(ACCOUNTS))
        await write_row(mine, key, encode_row(10**6, 1, {"of": "a later owner"}))

        assert 70 == await process.exit_code()


def records_recovered(process: WorkerProcess) -> int:
    """Changelog records that its last recovery read."""
    return int(re.findall(r"recovered partitions=.* records=(\d+)", process.log.read_text())[-1])


async def test_a_standby_has_the_rows_when_the_owner_is_killed(settings: Callable[..., Settings]) -> None:
    mine = settings(deployments=golden_deployment(), worker=WorkerSettings(store="rocksdb"))
    everything = list(range(mine.topics.partitions))
    await create_topics(mine.bootstrap, registry(mine))
    async with worker(mine, instance="worker-0") as first, worker(mine, instance="worker-1") as second:
        await first.ready()
        await second.ready()

        async def each_stands_by_for_the_other() -> bool:
            one, other = await first.status(), await second.status()
            held, stood_by = (one["partitions"], other["partitions"]), (other["standbys"], one["standbys"])
            return held == stood_by and [] not in held

        await eventually(each_stands_by_for_the_other, 30)
        await write_chain(mine, DEPLOYMENT, golden_chain())
        await all_committed(mine)

        async def standby_has_all() -> bool:
            return int((await second.status())["standby_lag_records"]) == 0

        await eventually(standby_has_all)
        accounts = await feed_rows(mine, ACCOUNTS)
        first.kill()

        async def took_over() -> bool:
            return await second.is_ready() and everything == list((await second.status())["partitions"])

        await eventually(took_over, 30)
        assert accounts == await second.rows(ACCOUNTS)
        assert records_recovered(second) < len(accounts)
