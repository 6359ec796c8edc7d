"""Topics copied into others of more partitions: each record once and in order, and the same tables made of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from models.engine.tables import MARKS
from models.heartbeats import ChainBeat, chain_key, encode_beat
from models.symmio.topics import CHAIN_BLOCKS
from streams.kafka.partitions import partition_of
from streams.kafka.topics import (
    HEARTBEATS,
    HISTORY,
    PRICE_TICKS,
    WHITELIST,
    create_topics,
    registry,
    topic_name,
    topic_names,
)
from streams.process.clock import SystemClock
from streams.repartition import copying
from streams.repartition.copied_topics import CopiedTopic, copied_topics
from streams.repartition.copying import copy_left, find_left, opened_target
from streams.replay.kafka_log import KafkaLog
from streams.settings import WorkerSettings
from tests.support.eventually import eventually
from tests.support.golden import CHAIN_TABLES, FORKS, Oracle, forked_chain, forked_deployment, ticks
from tests.support.pipeline import feed_rows, producer, worker, write_chain, write_ticks
from tests.support.records import create_all, delete_topics_of
from tests.support.standing_records import all_folded, by_key, standing
from tidemark import cli as command_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from streams.replay.bounded_log import LogRecord
    from streams.settings import Settings

CLOCK = SystemClock()
SYMBOLS = [f"S{number}USDT" for number in range(1, 30)]


def widened(before: Settings, partitions: int) -> Settings:
    """The configuration that goes on, on the same volumes: so many partitions under another prefix, the next epoch."""
    prefix = f"{before.topics.prefix}wide-"
    topics = before.topics.model_copy(update={"prefix": prefix, "partitions": partitions})
    return before.model_copy(update={"topics": topics, "epoch": before.epoch + 1})


async def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, former: str) -> Result:
    monkeypatch.setattr("tidemark.commands.repartition.settings_here", lambda: settings)
    return await asyncio.to_thread(CliRunner().invoke, command_line.cli, ["repartition", "--from-prefix", former])


async def expect_same(before: Settings, after: Settings, topic: str) -> None:
    """Every record stands in both, where its key belongs, in the order of its key."""
    log = KafkaLog(after.bootstrap, {}, CLOCK)
    former, copied = [(await standing(log, [topic_name(one, topic)]))[0] for one in (before, after)]
    assert by_key(former) == by_key(copied)
    assert all(one.partition == partition_of(one.key or b"", after.topics.partitions) for one in copied)


async def write_whitelist(settings: Settings, count: int) -> None:
    """Records as they may be in a compacted topic: of a time of long ago, with headers, and one that deletes."""
    async with producer(settings) as sender:
        for number in range(count):
            await sender.send_and_wait(
                topic_name(settings, WHITELIST),
                b"{}" if number % 3 else None,
                key=b"k%d" % (number % 7),
                headers=[("trace", b"\xff\0")],
            )


async def write_prices(settings: Settings, count: int, *, start: int = 0) -> None:
    await write_ticks(settings, [one for symbol in SYMBOLS for one in ticks(symbol, count, start=start)])


async def one_partition_and_two(settings: Callable[..., Settings]) -> tuple[Settings, Settings]:
    """A deployment of one partition that has prices, and one of two that is to go on from it."""
    before = settings(topics={"partitions": 1})
    after = widened(before, 2)
    await create_all(before)
    await create_all(after)
    await write_prices(before, 1)
    return before, after


@pytest.mark.timeout(240)
async def test_twice_as_many_partitions_have_what_is_written_meanwhile_and_a_worker_makes_the_same_tables(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_MOST_RECORDS", 200)
    rocks = WorkerSettings(store="rocksdb")
    before = settings(deployments=forked_deployment(), topics={"partitions": 2}, worker=rocks)
    after = widened(before, 4)
    await create_all(before)
    await write_chain(before, FORKS, forked_chain())
    await write_prices(before, 20)
    await write_whitelist(before, 20)
    async with worker(before) as process:
        await process.ready(60)
        await eventually(lambda: all_folded(before), 120)
    await create_all(after)
    async with worker(after) as process:
        await process.ready(60)

        first = await run(after, monkeypatch, before.topics.prefix)
        await write_prices(before, 5, start=20)
        last = await run(after, monkeypatch, before.topics.prefix)
        again = await run(after, monkeypatch, before.topics.prefix)
        await eventually(lambda: all_folded(after), 120)

    assert [0, 0, 0] == [one.exit_code for one in (first, last, again)], (first.output, last.output, again.output)
    assert f"{topic_name(after, PRICE_TICKS)}: {5 * len(SYMBOLS)} records copied" in last.output
    assert f"{topic_name(after, PRICE_TICKS)}: 0 records copied" in again.output
    for topic in (PRICE_TICKS, CHAIN_BLOCKS, WHITELIST):
        await expect_same(before, after, topic)
    # Ends of transactions take offsets, so records stand at others than before.
    oracle = Oracle(after.deployments, [])
    for one in (await standing(KafkaLog(after.bootstrap, {}, CLOCK), [topic_name(after, CHAIN_BLOCKS)]))[0]:
        assert one.value is not None
        oracle.engine.raw_value(FORKS, one.value, one.offset, CLOCK.now_ms())
    for table in CHAIN_TABLES:
        assert [] == oracle.differences(table, 4, await feed_rows(after, table))
    marks = await feed_rows(after, MARKS)
    assert {f"binance-futures:{symbol}".encode() for symbol in SYMBOLS} == marks.keys()


async def test_a_copy_that_breaks_off_within_a_transaction_is_gone_on_with_and_no_record_stands_twice(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_MOST_RECORDS", 7)
    before = settings(topics={"partitions": 3})
    after = widened(before, 16)
    for one in (before, after):
        name = topic_name(one, PRICE_TICKS)
        await create_topics(one.bootstrap, tuple(topic for topic in registry(one) if topic.name == name))
    await write_prices(before, 4)
    log, written = KafkaLog(after.bootstrap, {}, CLOCK), 0
    existing = {topic_name(one, PRICE_TICKS) for one in (before, after)}
    (copied,) = copied_topics(after, before.topics.prefix, existing)

    def count(_: LogRecord) -> None:
        nonlocal written
        written += 1

    async def copy(copied: CopiedTopic, transactions: int | None) -> None:
        async with opened_target(after) as target:
            commit, calls = target.producer.send_offsets_to_transaction, 0

            async def fail_at_last(*arguments: object) -> None:
                nonlocal calls
                calls += 1
                if calls == transactions:
                    raise InterruptedError
                await commit(*arguments)

            monkeypatch.setattr(target.producer, "send_offsets_to_transaction", fail_at_last)
            await copy_left(target, log, copied, await find_left(target, log, copied), count)

    # The first of a run copies nothing.
    for transactions in (2, 4, 3, 5):
        with pytest.raises(InterruptedError):
            await copy(copied, transactions)
    await copy(copied, None)

    assert 4 * len(SYMBOLS) == written
    await expect_same(before, after, PRICE_TICKS)


async def test_who_still_works_is_named_and_nothing_is_written_behind_what_others_wrote(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = await one_partition_and_two(settings)
    async with producer(before) as sender:
        now_ms = CLOCK.now_ms()
        beat = encode_beat(ChainBeat("ingest-0", now_ms, now_ms, 7, now_ms // 1_000))
        await sender.send_and_wait(topic_name(before, HEARTBEATS), beat, key=chain_key("main").encode())

    found = await run(after, monkeypatch, before.topics.prefix)
    assert 1 == found.exit_code, found.output
    assert "still at work" in found.output
    assert "chain:main" in found.output

    async with producer(after) as sender:
        await sender.send_and_wait(topic_name(after, HISTORY), b"{}", key=b"k")
    refused = await run(after, monkeypatch, before.topics.prefix)
    assert isinstance(refused.exception, copying.WrittenByOthers)
    assert topic_name(after, HISTORY) in str(refused.exception)


async def test_topics_that_were_deleted_and_created_again_are_copied_from_the_beginning(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = await one_partition_and_two(settings)
    assert 0 == (await run(after, monkeypatch, before.topics.prefix)).exit_code
    await delete_topics_of([after])

    async def are_gone() -> bool:
        return not any(name.startswith(after.topics.prefix) for name in await topic_names(after.bootstrap))

    await eventually(are_gone, 60)
    await create_all(after)
    again = await run(after, monkeypatch, before.topics.prefix)

    assert 0 == again.exit_code, again.output
    await expect_same(before, after, PRICE_TICKS)
