"""Worker processes on a real broker, and what they leave behind."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from models.chain_records import encode_chain_record
from models.codec import decode_row
from models.ids import mark_key
from models.prices import encode_tick
from models.symmio.topics import CHAIN_BLOCKS
from models.symmio.venue import SYMMIO
from streams.kafka.feed import Feed
from streams.kafka.topics import PRICE_TICKS, changelog_name, routed_name, topic_name
from streams.process.clock import SystemClock
from streams.process.http_bodies import WITHOUT_END
from tests.support.eventually import eventually
from tests.support.faulty_worker import FAULT_MARK
from tests.support.forked_programs import ROOT, ForkedProcess, Program, start
from tidemark.ports import any_free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from models.chain_records import ChainRecord
    from models.codec import Row
    from models.prices import PriceTick
    from streams.settings import Settings

_WORKER = Program("tests.support.faulty_worker", ["tests.support.faulty_worker"])


def free_port() -> int:
    """A port that nobody listens on, and that no connection out of this machine is given meanwhile."""
    return any_free_port("127.0.0.1")


class WorkerProcess:
    """One worker as a process of its own; its log is kept beside its data.

    A ``static`` member of the group takes its partitions over again when it comes back; another one leaves when it is
    told to stop. It is forked of a process that has imported what it needs, unless a ``python`` is said, that of the
    environment it runs in: then it starts as a shell would start it, and all its memory is its own.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        instance: str = "worker-0",
        fault: str = "none",
        static: bool = True,
        python: str | Path | None = None,
    ) -> None:
        self.instance = instance
        self.admin_port = free_port()
        data_dir = settings.data_dir / instance
        data_dir.mkdir(parents=True, exist_ok=True)
        own = {"instance_id": instance if static else None, "admin_port": self.admin_port}
        mine = settings.model_copy(update={"data_dir": data_dir, "worker": settings.worker.model_copy(update=own)})
        self.log = data_dir / "worker.log"
        environment = {name: text for name, text in os.environ.items() if not name.startswith("TIDEMARK_")}
        sections = mine.model_dump(mode="json", exclude_none=True)
        environment |= {
            f"TIDEMARK_{name.upper()}": text if isinstance(text, str) else json.dumps(text)
            for name, text in sections.items()
        }
        with self.log.open("ab") as log:
            self.process: ForkedProcess | subprocess.Popen[bytes] = (
                start(_WORKER, [fault], environment, log.fileno(), log.fileno())
                if python is None
                else subprocess.Popen(
                    [python, "-m", _WORKER.module, fault], cwd=ROOT, env=environment, stdout=log, stderr=log
                )
            )

    def kill(self) -> None:
        """End it as the kernel would: -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)

    def pause(self) -> None:
        """Let it sleep: SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on: SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    async def exit_code(self, timeout_s: float = 20) -> int:
        """Wait for it to end by itself."""
        await eventually(lambda: self.process.poll() is not None, timeout_s)
        code = self.process.poll()
        assert code is not None
        return code

    async def terminate(self, timeout_s: float = 10) -> tuple[int, float]:
        """SIGTERM; return the exit code and the seconds it took."""
        started_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return await self.exit_code(timeout_s), time.monotonic() - started_s

    async def is_ready(self) -> bool:
        """Whether it has recovered and owns its partitions."""
        return (await self._get("/readyz"))[0] == 200

    async def ready(self, timeout_s: float = 30) -> None:
        """Wait until it is ready; an end before that is a failure."""

        async def ready() -> bool:
            if self.process.poll() is not None:
                msg = (
                    f"worker ended with {self.process.returncode} before it was ready:\n{self.log.read_text()[-3000:]}"
                )
                raise AssertionError(msg)
            return await self.is_ready()

        await eventually(ready, timeout_s)

    def at_fault(self) -> bool:
        """Whether the fault that was put into it has come."""
        return FAULT_MARK in self.log.read_text()

    async def folding(self) -> bool:
        """Whether any account has been folded."""
        _, status = await self._get("/status")
        return bool(status and status["accounts"])

    async def status(self) -> dict[str, Any]:
        """What it says of itself."""
        _, status = await self._get("/status")
        return dict(status)

    async def rows(self, table: str) -> dict[bytes, Row]:
        """A table's rows as the worker itself holds them."""
        _, rows = await self._get(f"/rows/{table}")
        return {key.encode(): decode_row(base64.b64decode(row)) for key, row in rows.items()}

    async def slices(self) -> dict[str, int]:
        """How many slices it has begun, and how many offsets of such Faust keeps."""
        _, slices = await self._get("/slices")
        return dict(slices)

    async def _get(self, path: str) -> tuple[int, Any]:
        try:
            async with (
                asyncio.timeout(20),
                aiohttp.ClientSession(timeout=WITHOUT_END) as session,
                session.get(f"http://127.0.0.1:{self.admin_port}{path}") as answer,
            ):
                return answer.status, await answer.json()
        except (aiohttp.ClientError, TimeoutError):
            return 0, None


@asynccontextmanager
async def worker(settings: Settings, **arguments: Any) -> AsyncIterator[WorkerProcess]:  # noqa: ANN401
    """A worker that is gone when the block is left."""
    process = WorkerProcess(settings, **arguments)
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.kill()


async def write_chain(settings: Settings, deployment: str, records: Iterable[ChainRecord]) -> None:
    """Write records to chain-blocks as ingest does."""
    async with producer(settings) as sender:
        for record in records:
            await sender.send(topic_name(settings, CHAIN_BLOCKS), encode_chain_record(record), key=deployment.encode())


async def write_ticks(settings: Settings, ticks: Iterable[PriceTick]) -> None:
    """Write ticks to price-ticks as ingest does."""
    async with producer(settings) as sender:
        for tick in ticks:
            await sender.send(
                topic_name(settings, PRICE_TICKS), encode_tick(tick), key=mark_key(tick.source, tick.symbol)
            )


@asynccontextmanager
async def producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """An idempotent producer, flushed at the end."""
    sender = AIOKafkaProducer(
        bootstrap_servers=settings.kafka,
        acks="all",
        enable_idempotence=True,
        compression_type="lz4",
        max_request_size=8_000_000,
    )
    await sender.start()
    try:
        yield sender
    finally:
        await sender.stop()


async def all_committed(settings: Settings, timeout_s: float = 60) -> None:
    """Wait until the group has committed the end of every source topic, the router's output included."""
    topics = [
        topic_name(settings, PRICE_TICKS),
        topic_name(settings, CHAIN_BLOCKS),
        routed_name(settings, SYMMIO.routed),
    ]
    tps = [TopicPartition(topic, partition) for topic in topics for partition in range(settings.topics.partitions)]
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    reader = AIOKafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False)
    await admin.start()
    await reader.start()

    async def at_end() -> bool:
        try:
            committed = await admin.list_consumer_group_offsets(settings.app_id)
        except GroupCoordinatorNotAvailableError:
            # A broker that got no turn for two seconds is taken for dead for a moment, and coordinates no group.
            return False
        ends = await reader.end_offsets(tps)
        return all(ends[tp] == 0 or (tp in committed and committed[tp].offset == ends[tp]) for tp in tps)

    try:
        await eventually(at_end, timeout_s)
    finally:
        await reader.stop()
        await admin.close()


async def end_offset(settings: Settings, topic: str) -> int:
    """Records ever written to a topic."""
    reader = AIOKafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False)
    await reader.start()
    try:
        tps = [TopicPartition(topic, partition) for partition in range(settings.topics.partitions)]
        return sum((await reader.end_offsets(tps)).values())
    finally:
        await reader.stop()


async def feed_rows(settings: Settings, table: str) -> dict[bytes, Row]:
    """A table's rows as a replica of the api sees them."""
    feed = Feed.of(settings, table, SystemClock())
    await feed.start()
    try:
        await feed.wait_ready()
        return {key: decode_row(row) for key, row in feed.rows.items()}
    finally:
        await feed.stop()


async def records_of(settings: Settings, topic: str) -> list[tuple[bytes, bytes]]:
    """Key and value of every record of a topic, in the order of each partition."""
    reader = AIOKafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False)
    await reader.start()
    try:
        tps = [TopicPartition(topic, partition) for partition in range(settings.topics.partitions)]
        reader.assign(tps)
        await reader.seek_to_beginning(*tps)
        ends = await reader.end_offsets(tps)
        found: list[tuple[bytes, bytes]] = []
        left = {tp for tp in tps if ends[tp]}
        while left:
            for records in (await reader.getmany(*left, timeout_ms=200)).values():
                found += [(record.key, record.value) for record in records]
            left = {tp for tp in left if await reader.position(tp) < ends[tp]}
        return found
    finally:
        await reader.stop()


async def changelog(settings: Settings, table: str) -> list[tuple[bytes, Row]]:
    """Every record of a table's changelog, in the order of each partition."""
    return await rows_of(settings, changelog_name(settings, table))


async def rows_of(settings: Settings, topic: str) -> list[tuple[bytes, Row]]:
    """Every record of a topic of rows, by its full name, in the order of each partition."""
    return [(key, decode_row(row)) for key, row in await records_of(settings, topic)]
