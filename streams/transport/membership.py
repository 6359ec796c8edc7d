"""A worker's membership of its consumer group: aiokafka's consumer, run in the worker's own loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiokafka.errors import CommitFailedError
from faust.transport.drivers import aiokafka as driver
from mode.utils.futures import maybe_async

from models.errors import TidemarkError
from streams.kafka.fetch_sessions import fetch_in_sessions
from streams.kafka.record import hand_out_plain_records
from streams.kafka.topics import INSTRUMENT_FACTS, PRICE_TICKS, topic_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from faust.types import TP

# Faust hard-codes 1,500: one idle partition's long poll then delays the busy ones of the same node (p50 795 ms).
_FETCH_MAX_WAIT_MS = 50


class RecordsLost(TidemarkError):
    """Records that were not folded yet have left their topic: retention was shorter than the worker's absence."""


class Membership(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """What Faust runs in a thread, without the thread.

    Each fetch had to wake that thread and be woken by it, with the interpreter's lock to be passed each time: 3.5 of
    17 ms from a tick to the frame that shows it. A worker whose loop is stuck sends no heartbeats either, so that its
    partitions go to others when its session is over, instead of standing still for good.

    ``generation`` is that of the assignment that is worked on.
    """

    generation = -1

    def __init__(self, consumer: Any, *, loop: asyncio.AbstractEventLoop, **kwargs: Any) -> None:
        super().__init__(consumer, loop=loop, thread_loop=loop, **kwargs)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve in this loop.

        Raises:
            Exception: What kept the consumer from starting.
        """
        self._thread_started.set()
        self._thread_running = self.parent_loop.create_future()
        self._serving = asyncio.create_task(self._serve(), name="group membership")
        await self._thread_running

    async def call_thread(self, fun: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """Call it: it is in the same loop."""
        return await maybe_async(fun(*args, **kwargs))

    async def on_thread_started(self) -> None:
        """Nothing waits for calls of another thread."""

    async def _gather_remaining_tasks(self) -> None:
        """Stock cancels every task of the thread's loop, which would be the worker's."""

    async def on_start(self) -> None:
        """Connect."""
        await super().on_start()
        consumer = self._ensure_consumer()
        hand_out_plain_records(consumer)
        fetch_in_sessions(consumer)
        self.guard_commits()

    def guard_commits(self) -> None:
        """Let a commit through only in the generation in which what it commits was assigned."""
        # aiokafka reads its generation when it makes the request, anew at each retry. A member whose session is over
        # has -1, and Kafka takes a commit of -1 from anybody while the group is empty.
        coordinator = self.coordinator
        commit = coordinator._do_commit_offsets

        async def commit_as_member(assignment: Any, offsets: Any) -> None:
            if not self.is_member:
                msg = f"already rebalanced: expected generation {self.generation}, found {coordinator.generation}"
                raise CommitFailedError(msg)
            await commit(assignment, offsets)

        coordinator._do_commit_offsets = commit_as_member

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _FETCH_MAX_WAIT_MS
        # Stock reads what a transactional producer aborted, unless it is exactly_once itself.
        consumer._isolation_level = "read_committed"
        return consumer

    @property
    def coordinator(self) -> Any:
        """Aiokafka's group coordinator, None before the start."""
        return None if self._consumer is None else self._consumer._coordinator

    @property
    def is_member(self) -> bool:
        """Whether the group still stands as it did when what is worked on was assigned."""
        coordinator = self.coordinator
        return coordinator is not None and 0 < coordinator.generation == self.generation

    def position(self, tp: TP) -> int | None:
        """Where the next fetch of a partition begins: beyond the last record where transaction markers follow it."""
        assignment = None if self._consumer is None else self._consumer._subscription.subscription.assignment
        state = None if assignment is None else assignment.state_value(driver.ensure_aiokafka_TP(tp))
        return state.position if state is not None and state.has_valid_position else None

    async def start_offsets(self, tps: list[TP]) -> dict[TP, int]:
        """Where each partition goes on: what the group committed, else the first offset there is."""
        consumer = self._ensure_consumer()
        keys = [driver.ensure_aiokafka_TP(tp) for tp in tps]
        first = await consumer.beginning_offsets(keys)
        committed = await asyncio.gather(*(consumer.committed(key) for key in keys))
        said_again = {topic_name(self.app.settings, topic) for topic in (PRICE_TICKS, INSTRUMENT_FACTS)}
        for key, offset in zip(keys, committed, strict=True):
            if offset is not None and offset < first[key] and key.topic not in said_again:
                msg = f"expected {key} to hold offset {offset}, found it begins at {first[key]}: start a new epoch"
                raise RecordsLost(msg)
        return {tp: max(first[key], offset or 0) for tp, key, offset in zip(tps, keys, committed, strict=True)}
