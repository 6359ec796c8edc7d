"""A worker's membership of its consumer group: aiokafka's consumer, which runs in the worker's own loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiokafka.errors import CommitFailedError
from faust.transport.drivers import aiokafka as driver
from mode.utils.futures import maybe_async

from models.errors import TidemarkError
from streams.kafka.fetch_rounds import fetch_in_rounds
from streams.kafka.fetch_sessions import fetch_in_sessions
from streams.kafka.first_connection import close_first_connection
from streams.kafka.record import hand_out_plain_records
from streams.kafka.requests import count_requests
from streams.kafka.topics import INSTRUMENT_FACTS, PRICE_TICKS, topic_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from aiokafka import TopicPartition
    from faust.types import TP

# Faust hard-codes 1,500 ms, and one idle partition's long poll then delays the busy ones of the same node (p50 795 ms).
_FETCH_MAX_WAIT_MS = 50


class RecordsLost(TidemarkError):
    """Records have left their topic before they were folded: retention was shorter than the worker's absence."""


def take_what_is_subscribed(state: Any) -> None:
    """Pass over partitions of topics that this worker does not read, since it lacks the package of their venue.

    They are assigned to it all the same, as the owner of their number; aiokafka ends a consumer at the first of them.

    Args:
        state: The subscription state of aiokafka's consumer.
    """
    assign = state.assign_from_subscribed

    def assign_subscribed(assigned: Iterable[TopicPartition]) -> None:
        assign([tp for tp in assigned if tp.topic in state.subscription.topics])

    state.assign_from_subscribed = assign_subscribed


class Membership(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Aiokafka's consumer, which Faust runs in a thread of its own, in the worker's loop.

    With a thread, each fetch wakes it and is woken by it, and the interpreter's lock is passed each time: that took 3.5
    of the 17 ms from a tick to its frame. Without one, a worker whose loop is stuck sends no heartbeats, so its
    partitions go to others when its session is over; with one, they would be stuck for good.

    Args:
        consumer: Faust's consumer.
        loop: The worker's loop.
        **kwargs: What else Faust hands to the consumer's thread.

    Attributes:
        generation: The generation in which the partitions that are worked on were assigned; -1 before the first.
    """

    generation = -1

    def __init__(self, consumer: Any, *, loop: asyncio.AbstractEventLoop, **kwargs: Any) -> None:
        super().__init__(consumer, loop=loop, thread_loop=loop, **kwargs)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Join the group and serve it in this loop.

        Raises:
            Exception: The error that kept the consumer from starting.
        """
        self._thread_started.set()
        self._thread_running = self.parent_loop.create_future()
        self._serving = asyncio.create_task(self._serve(), name="group membership")
        await self._thread_running

    async def call_thread(self, fun: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """Call a function of aiokafka's consumer, which runs in this loop.

        Args:
            fun: The function.
            *args: Its arguments.
            **kwargs: Its keyword arguments.
        """
        return await maybe_async(fun(*args, **kwargs))

    async def on_thread_started(self) -> None:
        """Does nothing: there is no other thread whose calls would be served."""

    async def _gather_remaining_tasks(self) -> None:
        """Does nothing: Faust's own cancels every task of the thread's loop, and this loop is the worker's."""

    async def on_start(self) -> None:
        """Connect, and let the consumer fetch in sessions and hand out plain records."""
        await super().on_start()
        consumer = self._ensure_consumer()
        hand_out_plain_records(consumer)
        fetch_in_sessions(consumer)
        count_requests(consumer)
        fetch_in_rounds(consumer, self.app.cadence)
        self.guard_commits()
        take_what_is_subscribed(consumer._subscription)

    def guard_commits(self) -> None:
        """Let a commit through only in the generation in which its partitions were assigned."""
        # aiokafka puts its current generation into each request, also into a retried one. A member whose session is
        # over has generation -1, and while the group is empty Kafka takes a commit of generation -1 from anybody.
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
        close_first_connection(consumer)
        consumer._fetch_max_wait_ms = _FETCH_MAX_WAIT_MS
        # Faust's own consumer reads aborted transactions, unless the app is exactly_once itself.
        consumer._isolation_level = "read_committed"
        consumer._client_rack = self.app.settings.kafka_client.rack
        return consumer

    @property
    def coordinator(self) -> Any:
        """Aiokafka's group coordinator, None before the start."""
        return None if self._consumer is None else self._consumer._coordinator

    @property
    def is_member(self) -> bool:
        """Whether the group is still in the generation in which our partitions were assigned."""
        coordinator = self.coordinator
        return coordinator is not None and 0 < coordinator.generation == self.generation

    def position(self, tp: TP) -> int | None:
        """Find where the next fetch of a partition begins: behind the last record and any transaction markers."""
        assignment = None if self._consumer is None else self._consumer._subscription.subscription.assignment
        state = None if assignment is None else assignment.state_value(driver.ensure_aiokafka_TP(tp))
        return state.position if state is not None and state.has_valid_position else None

    async def start_offsets(self, tps: list[TP]) -> dict[TP, int]:
        """Find where each partition goes on: at the committed offset, else at the first one.

        Raises:
            RecordsLost: The committed offset is no longer in a topic whose records are not repeated.
        """
        consumer = self._ensure_consumer()
        keys = [driver.ensure_aiokafka_TP(tp) for tp in tps]
        first = await consumer.beginning_offsets(keys)
        committed = await asyncio.gather(*(consumer.committed(key) for key in keys))
        repeated = {topic_name(self.app.settings, topic) for topic in (PRICE_TICKS, INSTRUMENT_FACTS)}
        for key, offset in zip(keys, committed, strict=True):
            if offset is not None and offset < first[key] and key.topic not in repeated:
                msg = f"expected {key} to hold offset {offset}, found it begins at {first[key]}: start a new epoch"
                raise RecordsLost(msg)
        return {tp: max(first[key], offset or 0) for tp, key, offset in zip(tps, keys, committed, strict=True)}
