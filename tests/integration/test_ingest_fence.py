"""One ingest of a deployment writes, however many there are, and whatever becomes of them."""

from __future__ import annotations

import asyncio
import copy
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiokafka.errors import ProducerFenced

from models.chain_records import Watermark, encode_chain_record
from models.symmio.topics import CHAIN_BLOCKS
from streams.ingest.symmio.chain_journal import Journal, opened_writer
from streams.ingest.symmio.resume import read_tail
from streams.ingest.symmio.tail import Tail
from streams.kafka.topics import topic_name
from streams.process.clock import SystemClock
from streams.process.faults import EXIT_SUPERSEDED
from streams.replicas.turns import turn
from streams.settings import TopicSettings
from tests.support.chain import DIAMOND, Chain
from tests.support.eventually import eventually
from tests.support.node import FakeNode
from tests.support.records import chain_records, create_all, surviving_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.settings import Settings

ROOT = Path(__file__).parents[2]


class Ingests:
    """Ingests of one deployment as processes, each with a node of its own."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self._settings = settings
        self._directory = directory
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, node: FakeNode) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TIDEMARK_KAFKA": str(self._settings.kafka),
            "TIDEMARK_TOPICS__PREFIX": self._settings.topics.prefix,
            "TIDEMARK_TOPICS__PARTITIONS": str(self._settings.topics.partitions),
            "TIDEMARK_INGEST__ADMIN_PORT": "0",
            "TIDEMARK_DEPLOYMENTS": (
                f'{{"d": {{"chain_id": 31337, "diamond": "{DIAMOND}", "rpc": ["{node.url}"], "start_block": 1, '
                '"finality_depth": 6, "poll_interval_ms": 10}}'
            ),
        }
        command = [sys.executable, "-m", "tidemark.cli", "ingest", "chain", "d"]
        log = self._directory / f"ingest-{len(self._running)}.log"
        with log.open("wb") as said:
            process = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=said)
        self._running.append(process)
        return process

    def said(self, number: int) -> str:
        return (self._directory / f"ingest-{number}.log").read_text()

    def end(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()


@pytest.fixture
def own(settings: Callable[..., Settings]) -> Settings:
    # One partition, so that deployments share it.
    return settings(topics=TopicSettings(partitions=1))


@pytest.fixture
def ingests(own: Settings, tmp_path: Path) -> Iterator[Ingests]:
    running = Ingests(own, tmp_path)
    yield running
    running.end()


async def head_of(settings: Settings) -> str | None:
    blocks = surviving_blocks(await chain_records(settings, "d"))
    return blocks[max(blocks)].hash if blocks else None


async def test_a_paused_ingest_that_wakes_after_its_spare_took_over_writes_nothing_more(
    own: Settings, ingests: Ingests
) -> None:
    await create_all(own)
    ours = Chain()
    ours.mine(30)
    theirs = copy.deepcopy(ours)
    theirs.reorganise(3, 8)
    async with FakeNode(ours) as one, FakeNode(theirs) as other:
        paused = ingests.start(one)

        async def follows(chain: Chain) -> bool:
            return await head_of(own) == chain.head.hash

        await eventually(lambda: follows(ours), timeout_s=30)
        ingests.start(other)
        await eventually(lambda: "waiting for another one to end" in ingests.said(1), timeout_s=30)
        assert [] == other.requests
        os.kill(paused.pid, signal.SIGSTOP)
        await eventually(lambda: follows(theirs), timeout_s=30)
        ours.mine(12)
        before = await chain_records(own, "d")
        os.kill(paused.pid, signal.SIGCONT)
        assert EXIT_SUPERSEDED == await asyncio.to_thread(paused.wait, 60)
        theirs.mine(3)
        await eventually(lambda: follows(theirs), timeout_s=30)
    after = await chain_records(own, "d")
    assert before == after[: len(before)]
    hashes = {block.hash for block in theirs.blocks}
    added = surviving_blocks(after)
    assert {block.hash for block in added.values()} <= hashes
    # What the Kafka client leaves behind may be said after it.
    assert "expected to be the only" in ingests.said(0)


async def test_a_spare_goes_on_when_the_ingest_was_killed(own: Settings, ingests: Ingests) -> None:
    await create_all(own)
    chain = Chain()
    chain.mine(20)
    async with FakeNode(chain) as one, FakeNode(chain) as other:

        async def follows() -> bool:
            return await head_of(own) == chain.head.hash

        first = ingests.start(one)
        await eventually(follows, timeout_s=30)
        ingests.start(other)
        await eventually(lambda: "waiting for another one to end" in ingests.said(1), timeout_s=30)
        first.kill()
        chain.mine(5)
        await eventually(follows, timeout_s=30)
    blocks = surviving_blocks(await chain_records(own, "d"))
    assert [(block.number, block.hash) for block in chain.blocks[1:]] == [(n, b.hash) for n, b in blocks.items()]


async def test_what_a_killed_ingest_had_begun_to_write_is_read_by_nobody(own: Settings) -> None:
    await create_all(own)
    whole, half = Watermark(head=5, head_time_s=1, final=5), Watermark(head=9, head_time_s=2, final=9)
    async with opened_writer(own, "d") as killed:
        await Journal(own, "d", killed, Tail()).write([whole])
        producer = killed._producer
        await producer.begin_transaction()
        await producer.send_and_wait(topic_name(own, CHAIN_BLOCKS), encode_chain_record(half), key=b"d")
        # It is killed here: the transaction is neither committed nor aborted.
        async with opened_writer(own, "d") as successor:
            assert 5 == (await read_tail(own, own.bootstrap, "d")).covered
            assert [whole] == await chain_records(own, "d")
            await Journal(own, "d", successor, Tail()).write([half])
            # It was paused and not killed, and wakes up.
            with pytest.raises(ProducerFenced):
                await producer.commit_transaction()
        assert [whole, half] == await chain_records(own, "d")


async def test_a_tail_is_read_whole_behind_an_open_transaction_of_another_deployment(own: Settings) -> None:
    await create_all(own)
    mark = Watermark(head=5, head_time_s=1, final=5)
    async with opened_writer(own, "other") as other:
        await other._producer.begin_transaction()
        await other._producer.send_and_wait(topic_name(own, CHAIN_BLOCKS), encode_chain_record(mark), key=b"other")
        async with opened_writer(own, "d") as writer:
            await Journal(own, "d", writer, Tail()).write([mark])
        assert [] == await chain_records(own, "d")
        reading = asyncio.create_task(read_tail(own, own.bootstrap, "d"))
        done, _ = await asyncio.wait([reading], timeout=1.0)
        assert not done
        await other._producer.commit_transaction()
        assert 5 == (await reading).covered


async def test_a_turn_goes_to_the_next_one_at_once_when_it_is_given_back(own: Settings) -> None:
    await create_all(own)
    clock, order = SystemClock(), []
    is_first_in, may_end = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with turn(own, "work", "w", clock):
            order.append("first in")
            is_first_in.set()
            await may_end.wait()
            order.append("first out")

    async def second() -> None:
        await is_first_in.wait()
        async with turn(own, "work", "w", clock, ttl_ms=300_000):
            order.append("second in")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(first())
        waiting = tasks.create_task(second())
        await is_first_in.wait()
        done, _ = await asyncio.wait([waiting], timeout=1.0)
        assert not done
        may_end.set()
    assert ["first in", "first out", "second in"] == order


async def test_errors_and_cancellation_pass_through_a_turn(own: Settings) -> None:
    await create_all(own)
    with pytest.raises(ValueError, match="mine"):
        async with turn(own, "work", "w", SystemClock()):
            int("mine")
    is_in = asyncio.Event()

    async def work() -> None:
        async with turn(own, "work", "w", SystemClock()):
            is_in.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await is_in.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
