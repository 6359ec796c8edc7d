"""What happens to an account of a package reaches its socket once and in order, whichever worker is killed meanwhile.

The socket is that of a package too: its dialect follows ``statements``, and no replica reads ``accounts``.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from tidemark_options import PACKAGE as INVERSE

from streams.kafka.partitions import partition_of
from streams.kafka.topics import topic_name
from streams.settings import ApiSettings, WorkerSettings
from tests.support.eventually import eventually
from tests.support.installing import announced
from tests.support.pipeline import WorkerProcess, free_port, producer
from tests.support.records import create_all
from tests.support.server import answers, api_process
from tests.support.venues import EXAMPLES, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from aiokafka import AIOKafkaProducer

    from streams.settings import Settings

ID = "7Np41oeYqPefeNQEHSv1UDhYrehxin3NStELsSKCT4K2"
KEY = f"coins:{ID}"
# A row keeps 256 events of before: a reader of the rows that stand would miss most of these.
BURST = 2_000
# So a burst is many slices, and many rows.
SLICE_RECORDS = 40
KILLED_AFTER = (1, 500, 1_200)


@pytest.fixture
def python(tmp_path: Path) -> Path:
    return environment(tmp_path / "environment", EXAMPLES / "options", EXAMPLES / "plaintext")


@pytest.fixture(autouse=True)
def _known_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    entries = (
        ("tidemark.venues", "inverse", "tidemark_options:PACKAGE"),
        ("tidemark.dialects", "plaintext", "tidemark_plaintext:PACKAGE"),
        ("tidemark.topics", "plaintext", "tidemark_plaintext.guest_book:TOPICS"),
    )
    with announced(tmp_path / "announced", monkeypatch, *entries):
        yield


async def burst(settings: Settings, sender: AIOKafkaProducer, first: int, count: int) -> None:
    """Write records, of which each pays in as many coins as its number says."""
    for number in range(first, first + count):
        record = {"kind": "paid", "time_ms": number, "wallet": "main", "amount": str(number)}
        await sender.send(topic_name(settings, "inverse-records"), json.dumps(record).encode(), key=KEY.encode())


def end(workers: Sequence[WorkerProcess]) -> None:
    for one in workers:
        if one.process.poll() is None:
            one.kill()


class Follower:
    """A client that reads what happens to the account. ``heard`` is the number and the amount of each event."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, int]] = []
        self.is_ready = False

    async def follow(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        await socket.send_str(KEY)
        async for message in socket:
            if message.data == "after 0":
                self.is_ready = True
                continue
            for line in str(message.data).splitlines():
                number, _, event = line.partition(" ")
                self.heard.append((int(number), int(json.loads(event)["amount"])))

    def heard_of(self, count: int) -> bool:
        return len(self.heard) >= count


@pytest.mark.timeout(600)
async def test_every_event_of_a_burst_is_told_once_and_in_order_through_the_kill_of_its_worker(
    settings: Callable[..., Settings], python: Path
) -> None:
    section: dict[str, Any] = {"kind": "plaintext", "deployments": ("coins",)}
    mine = settings(
        deployments={"coins": INVERSE.settings(kind="inverse")},
        dialects={"lines": section},
        # With standbys a worker that joins owns nothing at first.
        worker=WorkerSettings(slice_records=SLICE_RECORDS, standby_replicas=0),
        api=ApiSettings(port=free_port(), admin_port=free_port(), drain_s=0.1),
    )
    await create_all(mine)
    partition, follower = partition_of(KEY.encode(), mine.topics.partitions), Follower()
    async with AsyncExitStack() as running:
        workers = [WorkerProcess(mine, instance=f"worker-{one}", python=python) for one in range(2)]
        running.callback(end, workers)
        await running.enter_async_context(api_process(mine, python))
        sender = await running.enter_async_context(producer(mine))
        session = await running.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{mine.api.port}"))
        for one in workers:
            await one.ready(60)
        await eventually(lambda: answers(session, "/readyz", 200), 60)
        socket = await running.enter_async_context(session.ws_connect("/plain/happenings"))
        following = asyncio.create_task(follower.follow(socket))
        await eventually(lambda: follower.is_ready)

        async def owner() -> int | None:
            for at, one in enumerate(workers):
                if await one.is_ready() and partition in (await one.status())["partitions"]:
                    return at
            return None

        written = 0
        for killed_after in KILLED_AFTER:
            at = None
            while at is None:
                at = await owner()
            writing = asyncio.create_task(burst(mine, sender, written + 1, BURST))
            await eventually(lambda until=written + killed_after: follower.heard_of(until), 60)  # type: ignore[misc]
            workers[at].kill()
            workers[at] = WorkerProcess(mine, instance=f"worker-{at}", python=python)
            await writing
            written += BURST
            await eventually(lambda until=written: follower.heard_of(until), 120)  # type: ignore[misc]
        await socket.close()
        await following
    assert [(number, number) for number in range(1, len(KILLED_AFTER) * BURST + 1)] == follower.heard
