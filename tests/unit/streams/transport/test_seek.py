"""What is fetched around a rebalance: nothing that the group has not committed is passed over."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from faust.types import TP
from mode import Service

from streams.settings import Settings, WorkerSettings
from streams.transport.slice_consumer import SliceConsumer
from streams.transport.slices import Slice, SliceMisused
from streams.worker.faust_app import create_app
from tests.support.eventually import eventually
from tests.support.fetched import Fetched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

EVENTS = TP("events", 0)


def records(first: int, end: int) -> list[Fetched]:
    return [Fetched(b"key", b"value", offset) for offset in range(first, end)]


class FakeMembership(Service):  # type: ignore[misc]
    """The group's consumer as aiokafka makes it: a fetch takes what lies at the position, and moves that."""

    def __init__(self) -> None:
        super().__init__()
        self.committed = 0
        self.end = 0
        self.generation = 0
        self.fetching = 0
        self.arrives_at_seek = 0
        self._position = 0
        self._arrived = asyncio.Event()

    def assignment(self) -> set[TP]:
        return {EVENTS}

    def highwater(self, tp: TP) -> int:
        del tp
        return self.end

    async def start_offsets(self, tps: list[TP]) -> dict[TP, int]:
        return dict.fromkeys(tps, self.committed)

    async def seek_wait(self, offsets: dict[TP, int]) -> None:
        self._position = offsets[EVENTS]
        self.arrive(self.arrives_at_seek)
        # A fetch that is on its way takes what has arrived before the seek is told of.
        await eventually(lambda: not self.fetching or self._position == self.end)

    def arrive(self, count: int) -> None:
        self.end += count
        self._arrived.set()

    async def getmany(
        self,
        tps: set[TP],
        timeout: float,  # noqa: ASYNC109 - as Faust's
    ) -> dict[TP, list[Fetched]]:
        del tps
        self.fetching += 1
        try:
            async with asyncio.timeout(timeout):
                while self._position == self.end:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return {}
        finally:
            self.fetching -= 1
        first, self._position = self._position, self.end
        return {EVENTS: records(first, self.end)}


class UnconnectedConsumer(SliceConsumer):
    """The consumer with a membership of no group."""

    def _new_consumer_thread(self) -> FakeMembership:
        return FakeMembership()


class Worker:
    """A consumer with the agent's side of it: ``handed`` are the slices that an agent would get."""

    def __init__(self, data_dir: Path) -> None:
        settings = Settings(kafka="127.0.0.1:9", data_dir=data_dir, worker=WorkerSettings(slice_records=2))
        self.app = create_app(settings)
        self.app.terms.hold({0: 1})
        self.handed: list[Slice] = []
        self.consumer = UnconnectedConsumer(self.app.transport, self._hand, self._revoked, self._assigned)
        self.membership: FakeMembership = self.consumer._thread
        self.consumer.stop_flow()

    async def _hand(self, message: Any) -> None:  # noqa: ANN401 - Faust's message
        self.handed.append(message.value)

    async def _revoked(self, revoked: set[TP]) -> None:
        del revoked
        self.consumer.stop_flow()

    async def _assigned(self, assigned: set[TP], generation_id: int) -> None:
        """The app's part is not looked at."""

    async def recover(self) -> None:
        """What Faust's recovery does at its end."""
        self.consumer.resume_partitions({EVENTS})
        await self.consumer.perform_seek()
        self.consumer.resume_flow()

    async def rebalance(self) -> None:
        await self.consumer.on_partitions_revoked({EVENTS})
        await self.consumer.on_partitions_assigned({EVENTS}, 1)

    @asynccontextmanager
    async def fetching(self) -> AsyncIterator[None]:
        async def fetch() -> None:
            while True:
                await self.consumer._deliver_next()

        task = asyncio.create_task(fetch())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    @property
    def offsets(self) -> list[tuple[int, int]]:
        return [(part.first_offset, part.last_offset) for part in self.handed]


@pytest.fixture
async def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


async def test_records_that_arrive_while_their_partition_is_sought_are_not_passed_over(worker: Worker) -> None:
    async with worker.fetching():
        await worker.recover()
        await eventually(lambda: worker.membership.fetching == 1)
        await worker.rebalance()
        worker.membership.arrives_at_seek = 3
        await worker.recover()
        worker.membership.arrive(1)
        await eventually(lambda: len(worker.handed) >= 2 and worker.handed[-1].last_offset == 3)

    assert [offset for first, last in worker.offsets for offset in range(first, last + 1)] == [0, 1, 2, 3]


async def test_what_was_revoked_since_it_was_sought_is_not_fetched(worker: Worker) -> None:
    await worker.consumer.perform_seek()
    await worker.consumer.on_partitions_revoked({EVENTS})
    worker.consumer.resume_flow()

    assert not worker.consumer.flow_active


async def test_a_slice_cannot_be_begun_before_the_one_that_it_follows(worker: Worker) -> None:
    async with worker.fetching():
        await worker.recover()
        worker.membership.arrive(4)
        await eventually(lambda: len(worker.handed) == 2)

    with pytest.raises(SliceMisused, match=r"expected what follows offset 0 to be begun before .* 2\.\.3"):
        worker.handed[1].begin()
    assert worker.handed[0].begin()


async def test_slices_of_before_a_rebalance_are_left_alone(worker: Worker) -> None:
    async with worker.fetching():
        await worker.recover()
        worker.membership.arrive(2)
        await eventually(lambda: len(worker.handed) == 1)
        await worker.rebalance()
        await worker.recover()
        await eventually(lambda: len(worker.handed) == 2)

    assert worker.offsets == [(0, 1), (0, 1)]
    assert not worker.handed[0].begin()
    assert worker.handed[1].begin()
