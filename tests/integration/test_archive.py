"""A cluster made of an archive: each record where it was, and the same tables after a worker ran."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from click.testing import CliRunner

from models.chain_records import encode_chain_record
from models.engine.tables import MARKS
from models.symmio.topics import CHAIN_BLOCKS
from streams.archive import restoring, segment_file
from streams.archive.archive_store import opened_store
from streams.archive.archived_log import ArchivedLog
from streams.archive.archiving import archive_due, find_due
from streams.kafka.fenced_writer import Written, opened_fenced_writer
from streams.kafka.topics import FIGURE_SETTINGS, PRICE_TICKS, SERVED, served_name, topic_name
from streams.process.clock import SystemClock
from streams.replay.bounded_log import Held, Place
from streams.replay.kafka_log import KafkaLog
from streams.replay.named_topics import find_topic
from tests.support.eventually import eventually
from tests.support.golden import CHAIN_TABLES, DEPLOYMENT, SYMBOL, comparable, golden_chain, golden_deployment, ticks
from tests.support.listed_log import ListedLog, record
from tests.support.pipeline import feed_rows, producer, worker, write_ticks
from tests.support.records import create_all
from tests.support.standing_records import all_folded, standing
from tidemark import cli as command_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest
    from click.testing import Result

    from streams.settings import Settings

CLOCK = SystemClock()
# As many ticks are deleted before anything is archived.
GONE = 5


async def write_in_transactions(settings: Settings) -> None:
    """Write the chain as ingest does, so that markers take offsets, and some transactions that are aborted."""
    topic, records = topic_name(settings, CHAIN_BLOCKS), golden_chain()[:250]
    name = f"{settings.topics.prefix}ingest"
    async with opened_fenced_writer(settings.bootstrap, name) as writer:
        at = 0
        for size in (1, 1, 2, 7, 1, 1, 40, len(records)):
            some = [Written(topic, DEPLOYMENT.encode(), encode_chain_record(one)) for one in records[at : at + size]]
            at += size
            await writer.write(some)
            await writer._producer.begin_transaction()
            await writer._producer.send_and_wait(topic, b"never read", key=DEPLOYMENT.encode())
            await writer._producer.abort_transaction()


async def write_with_headers(settings: Settings) -> None:
    async with producer(settings) as sender:
        topic = topic_name(settings, FIGURE_SETTINGS)
        for number in range(3):
            await sender.send_and_wait(
                topic,
                b"{}" if number else None,
                key=b"k%d" % number,
                partition=number % 2,
                headers=[("trace", b"\xff\0")],
            )


async def tables_of(settings: Settings) -> dict[tuple[str, bytes], str]:
    """Every row's body. How often a row changed on the way depends on what a worker folded at a time."""
    return {
        (table, key): json.dumps(body, sort_keys=True)
        for table in (*CHAIN_TABLES, MARKS)
        for key, (_, body) in comparable(table, await feed_rows(settings, table)).items()
    }


async def tables_of_a_worker(settings: Settings) -> dict[tuple[str, bytes], str]:
    async with worker(settings) as process:
        await process.ready()
        await eventually(lambda: all_folded(settings), 120)
    return await tables_of(settings)


async def delete_topics(settings: Settings) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        own = [name for name in await admin.list_topics() if name.startswith(settings.topics.prefix)]
        await admin.delete_topics(own)

        async def are_gone() -> bool:
            return not set(own) & set(await admin.list_topics())

        await eventually(are_gone, 60)
    finally:
        await admin.close()


async def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    monkeypatch.setattr("tidemark.local_stack.settings_here", lambda: settings)
    return await asyncio.to_thread(CliRunner().invoke, command_line.cli, ["archive", *arguments])


async def read_uncommitted(settings: Settings, topic: str) -> list[int]:
    """The offsets of all records in partition 0, also of those that nobody is to read."""
    tp = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([tp])
        await consumer.seek_to_beginning(tp)
        return [one.offset for one in (await consumer.getmany(tp, timeout_ms=5_000)).get(tp, [])]
    finally:
        await consumer.stop()


async def test_a_cluster_made_of_an_archive_has_each_record_at_its_place_and_a_worker_makes_the_same_tables(
    settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_file, "_MOST_RECORDS", 100)
    own = settings(deployments=golden_deployment(), topics={"partitions": 2})
    await create_all(own)
    await write_ticks(own, ticks(SYMBOL, 40))
    await write_with_headers(own)
    await write_in_transactions(own)
    before = await tables_of_a_worker(own)
    admin = AIOKafkaAdminClient(bootstrap_servers=own.kafka)
    await admin.start()
    log, priced = KafkaLog(own.bootstrap, {}, CLOCK), topic_name(own, PRICE_TICKS)
    place = max((await log.held([priced])).items(), key=lambda item: item[1].end)[0]
    await admin.delete_records({TopicPartition(*place): RecordsToDelete(before_offset=GONE)})
    await admin.close()
    url = str(tmp_path / "archive")

    kept = (PRICE_TICKS, CHAIN_BLOCKS, FIGURE_SETTINGS, SERVED)
    written = await run(own, monkeypatch, "write", url, *kept, "--older-than", "0s")
    # What retention took before is said.
    assert 1 == written.exit_code, written.output
    assert f"lost: {priced}:{place.partition}:0-{GONE}" in written.stderr
    topics = [find_topic(own, one) for one in kept]
    records, begins = await standing(log, topics)
    held, instants = await log.held(topics), sorted({one.time_ms for one in records})[::5]
    found = [await log.find(held, at_ms) for at_ms in instants]
    assert {GONE, 0} == set(begins.values())
    assert any(one.headers for one in records)
    offsets = [one.offset for one in records if one.topic == topic_name(own, CHAIN_BLOCKS)]
    assert len(offsets) < offsets[-1]

    await delete_topics(own)
    refused = await run(own, monkeypatch, "restore", url)
    assert f"{served_name(own)} archived: set epoch to 2" in str(refused.exception)
    fresh = own.model_copy(update={"epoch": 2, "data_dir": tmp_path / "fresh"})
    restored = await run(fresh, monkeypatch, "restore", url, "--json")

    assert 0 == restored.exit_code, restored.output
    assert set(topics) == {json.loads(line)["topic"] for line in restored.stdout.splitlines()}
    assert (records, begins) == await standing(log, topics)
    # Its markers are of today; a search by time finds records all the same.
    assert held == await log.held(topics)
    assert found == [await log.find(held, at_ms) for at_ms in instants]
    again = await run(fresh, monkeypatch, "restore", url, "--json")
    assert all(json.loads(line)["was_there"] for line in again.stdout.splitlines() if json.loads(line)["offsets"])
    await create_all(fresh)
    assert before == await tables_of_a_worker(fresh)
    # The archive goes on in the cluster that was made of it.
    assert 0 == (await run(fresh, monkeypatch, "write", url, PRICE_TICKS, CHAIN_BLOCKS, "--older-than", "0s")).exit_code
    raw = [topic_name(own, one) for one in (PRICE_TICKS, CHAIN_BLOCKS)]
    archived, _ = await standing(ArchivedLog(opened_store(url)), raw)
    assert [one for one in records if one.topic in raw] == archived


async def test_holes_of_a_single_offset_and_the_last_one_are_taken_exactly(
    settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_file, "_ROWS_AT_ONCE", 3)
    own = settings(topics={"partitions": 1})
    place, store = Place(topic_name(own, PRICE_TICKS), 0), opened_store(str(tmp_path / "archive"))
    # A transaction ends at the last hole of three records, and is nothing but its end where that is one offset.
    began_ms = CLOCK.now_ms() - 3_600_000
    written = [record(*place, one, began_ms + 1_000 * one) for one in (0, 2, 3, 5, 6, 7, 11, 13, 14, 16)]
    lost = ListedLog(written, {place: Held(0, 18, None)})
    due = await find_due(lost, store, place.topic, CLOCK.now_ms())
    await archive_due(lost, store, due, {}, code="test", on_record=lambda _: None)

    restored = await run(own, monkeypatch, "restore", str(store))

    assert 0 == restored.exit_code, restored.output
    log = KafkaLog(own.bootstrap, {}, CLOCK)
    held = await log.held([place.topic])
    assert {place: Held(0, 18, None)} == held
    assert written == (await standing(log, [place.topic]))[0]
    for at_ms in range(began_ms, began_ms + 18_000, 500):
        assert await lost.find(held, at_ms) == await log.find(held, at_ms)


async def test_a_topic_with_a_part_is_not_restored_over_and_another_writer_ends_it(
    settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = settings(topics={"partitions": 1})
    await create_all(own)
    await write_ticks(own, ticks(SYMBOL, 30))
    url, topic = str(tmp_path / "archive"), topic_name(own, PRICE_TICKS)
    assert 0 == (await run(own, monkeypatch, "write", url, PRICE_TICKS, "--older-than", "0s")).exit_code
    await delete_topics(own)
    await create_all(own)
    await write_ticks(own, ticks(SYMBOL, 2))

    refused = await run(own, monkeypatch, "restore", url, topic)
    assert f"expected {topic} to be empty, or to have been restored" in str(refused.exception)
    assert [0, 1] == await read_uncommitted(own, topic)

    await delete_topics(own)
    skip = restoring._PartitionWriter.skip

    async def beside(writer: restoring._PartitionWriter, count: int) -> None:
        await skip(writer, count)
        await write_ticks(own, ticks(SYMBOL, 1))

    monkeypatch.setattr(restoring._PartitionWriter, "skip", beside)
    broken = await run(own, monkeypatch, "restore", url, topic)
    assert 3 == broken.exit_code
    assert "another writes to it" in broken.output
