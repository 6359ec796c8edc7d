"""The only writer of valuations, alerts and subtotals, in rounds through all owned partitions."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, assert_never

import prometheus_client

from models.engine.schedule import Schedule, Task, Wait
from models.engine.tables import ALERTS
from streams.process.overload import Waits
from streams.valuing.sums import Sums

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from models.engine.pace import Pace
    from models.engine.step import Served, Write
    from models.engine.valuing import Valuing
    from streams.process.cadence import Pacing
    from streams.process.clock import Clock
    from streams.settings import Settings
    from streams.transport.publisher import Charge
    from streams.valuing.engines import Engines

_log = logging.getLogger(__name__)
_VALUED = prometheus_client.Counter(
    "tidemark_valuations_total", "Accounts valued, by whether the row changed.", ("outcome",)
)
_changed, _unchanged = (_VALUED.labels(outcome) for outcome in ("changed", "unchanged"))
_FLUSH = prometheus_client.Histogram("tidemark_flush_seconds", "Time one flush of a partition took.")
# An account with ten positions is read, valued and written in about 100 µs; the loop is given back every 5 ms.
_YIELD_EVERY = 50
# A row's alarms are read in about 2 µs; the loop is given back every millisecond.
_ALARMS_BETWEEN_YIELDS = 500
# Accounts that can wait are valued for so long at a time: what is urgent in one of eight partitions then waits 8 ms at
# the very most for the others.
_DEFERRED_TURN_S = 0.001
# And, where what is urgent takes long, for this share of its time in each partition: else rows would grow old without
# a bound.
_DEFERRED_SHARE = 0.25
# Where fewer accounts wait, it is measured only so often what they take: to read the thread's processor time twice
# takes 9 µs where a row takes 100.
_MEASURED_ACCOUNTS = 8
_MEASURED_AGAIN_S = 0.1
# They leave in batches of so many rows: a request for each turn would cost more than the rows.
_DEFERRED_BATCH = 500
# Rows on their way beyond this hold the next flush back, so a slow broker makes valuations conflate, not queue.
_UNACKED_MAX = 20_000
_URGENT = frozenset({Task.LOOK, Task.PRESS, Task.FLUSH})


class ValuedRows(Protocol):
    """What flush tasks read and write the tables through."""

    @property
    def unsent(self) -> int:
        """Records written that no ``flush`` has let leave yet."""

    @property
    def unacked(self) -> int:
        """Records written and not acknowledged yet."""

    def items(self, table: str, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Every key and row of a partition."""

    def put(self, partition: int, write: Write, charge: Charge = ..., /) -> None:
        """Write a row.

        Args:
            partition: The key's partition.
            write: The row.
            charge: What is not complete before the broker has it.
        """

    def put_shown(self, partition: int, write: Write, /) -> None:
        """Write a row that is shown, and keep what it says for a time.

        Args:
            partition: The key's partition.
            write: The row.
        """

    def put_served(self, partition: int, served: Served, /) -> None:
        """Keep something for a time that is shown and is no row of its own.

        Args:
            partition: The partition whose owner says it.
            served: The record.
        """

    def flush(self) -> None:
        """Let what was written leave."""

    async def drain(self) -> None:
        """Wait until everything written is acknowledged."""


class Flush:
    """Values the accounts that should be shown, and writes the rows that changed.

    At the next flush, ``worker.flush_ms`` after the last one at the earliest, and later where the worker is busy:
    accounts that were folded, watched ones whose markets moved, and those that may have become liquidatable or have
    recovered. In turns beside them: accounts whose uPnL moved by more than the deadband, and those whose row is older
    than ``Pace`` allows.

    One task goes round all partitions, so that what they write leaves together. In a round, what is urgent in any of
    them comes before what can wait in any other.

    Args:
        settings: Say how often partitions are flushed at the most.
        rows: The tables.
        engines: Value the accounts of each owned partition.
        pace: Says how old the rows of unwatched accounts may grow.
        pacing: Says how far apart rounds are.
        clock: Tells when what is due.
        fatal: Ends the process without a commit.

    Attributes:
        rounds: How long rounds take, with what they waited for the broker before.
    """

    def __init__(
        self,
        settings: Settings,
        rows: ValuedRows,
        engines: Engines,
        *,
        pace: Pace,
        pacing: Pacing,
        clock: Clock,
        fatal: Callable[[BaseException], None],
    ) -> None:
        self._flush_s = settings.worker.flush_ms / 1000
        self._rows = rows
        self._engines = engines
        self._pace = pace
        self._pacing = pacing
        self._clock = clock
        self._fatal = fatal
        self._touched = asyncio.Event()
        self._partitions: list[PartitionFlush] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.rounds = Waits()

    async def start(self, partition: int) -> None:
        """Value every account of a partition that is ours from now on, then follow."""
        valuing = self._engines[partition].valuing
        _log.info(
            "flush partition=%d accounts=%d unwatched_max_age_s=%.1f",
            partition,
            valuing.accounts,
            self._pace.age_s(self._engines.accounts),
        )
        flush = PartitionFlush(
            partition,
            valuing,
            engines=self._engines,
            rows=self._rows,
            pace=self._pace,
            schedule=Schedule(self._flush_s),
            clock=self._clock,
            touched=self._touched,
            partitions=lambda: len(self._partitions),
        )
        # It may be given up again while it is restored: then it has to end there.
        self._begin(self._take_in(flush), f"flush {partition} begins")

    async def stop(self) -> None:
        """Write nothing more, in any partition."""
        tasks, self._tasks = self._tasks, []
        self._partitions = []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    async def _take_in(self, flush: PartitionFlush) -> None:
        await flush.restore()
        self._partitions.append(flush)
        self._touched.set()
        if len(self._partitions) == 1:
            self._begin(self._go_round(), "flush")

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fatal(error)

    async def _go_round(self) -> None:
        while True:
            began_s = self._clock.monotonic_s()
            if self._rows.unacked > _UNACKED_MAX:
                await self._rows.drain()
            # Whoever touches a partition from here on does so before the wait, or ends it.
            self._touched.clear()
            waits = await self._round()
            self.rounds.note(self._clock.monotonic_s() - began_s)
            await self._wait(waits)

    async def _round(self) -> Sequence[Wait]:
        """Do what is due in each partition, and say for what each waits."""
        age_s = self._pace.age_s(self._engines.accounts)
        began_s = self._clock.monotonic_s()
        held: list[tuple[PartitionFlush, Task | Wait]] = []
        for flush in list(self._partitions):
            flush.schedule.flush_s = max(self._flush_s, self._pacing.interval_s)
            task = flush.next_task(age_s)
            while isinstance(task, Task) and task in _URGENT:
                await flush.do(task, age_s)
                task = flush.next_task(age_s)
            held.append((flush, task))
        self._rows.flush()
        share_s = (self._clock.monotonic_s() - began_s) * _DEFERRED_SHARE
        waits: list[Wait] = []
        for flush, first in held:
            task = first
            while isinstance(task, Task):
                await flush.do(task, age_s, share_s)
                task = flush.next_task(age_s)
            waits.append(task)
        return waits

    async def _wait(self, waits: Sequence[Wait]) -> None:
        left_s = min(wait.until_s for wait in waits) - self._clock.monotonic_s()
        if not all(wait.or_touched for wait in waits):
            if left_s > 0:
                await asyncio.sleep(left_s)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, left_s)):
                await self._touched.wait()


class PartitionFlush:
    """The tasks of one partition, in the order that its schedule says.

    Args:
        partition: Its number.
        valuing: Values its accounts.
        engines: Those of all owned partitions, which share the pace.
        rows: The tables.
        pace: Says how old the rows of unwatched accounts may grow.
        schedule: Says what to do next.
        clock: Tells when what is due.
        touched: Set whenever anything becomes urgent in any partition.
        partitions: Tells how many partitions share the worker's time.
    """

    def __init__(
        self,
        partition: int,
        valuing: Valuing,
        *,
        engines: Engines,
        rows: ValuedRows,
        pace: Pace,
        schedule: Schedule,
        clock: Clock,
        touched: asyncio.Event,
        partitions: Callable[[], int],
    ) -> None:
        self._partition = partition
        self._valuing = valuing
        self._engines = engines
        self._rows = rows
        self._pace = pace
        self._clock = clock
        self._sums = Sums(partition, valuing.totals, rows, clock, partitions)
        self._touched = touched
        self._outcomes = _Outcomes()
        self._measure_again_s = 0.0
        self.schedule = schedule
        self.is_touched = False

    @property
    def accounts(self) -> int:
        """How many accounts the partition has."""
        return self._valuing.accounts

    @property
    def is_behind(self) -> bool:
        """Whether any account waits until nothing is urgent."""
        return self._valuing.is_behind

    @property
    def sums_due_s(self) -> float | None:
        """When subtotals are to be gone on with, None where nothing waits for it."""
        return self._sums.next_turn_s

    async def restore(self) -> None:
        """Read the alerts that stand, and have every account valued."""
        for at, (key, row) in enumerate(self._rows.items(ALERTS, self._partition)):
            self._valuing.alarms.restore(key, row)
            if at % _ALARMS_BETWEEN_YIELDS == 0:
                await asyncio.sleep(0)
        self._valuing.listen(self._touch)
        self._valuing.move_all()
        if self._valuing.urgent:
            self._touch()

    def _touch(self) -> None:
        self.is_touched = True
        self._touched.set()

    def next_task(self, age_s: float) -> Task | Wait:
        """Say what to do next.

        Args:
            age_s: How old the rows of unwatched accounts may grow, in s.
        """
        return self.schedule.next_task(self._clock.monotonic_s(), age_s, self)

    async def do(self, task: Task, age_s: float, share_s: float = 0.0) -> None:
        """Do what the schedule has said.

        Args:
            task: What to do.
            age_s: How old the rows of unwatched accounts may grow, in s.
            share_s: For how long to value what can wait, in s; a turn of it at least.
        """
        now_s = self._clock.monotonic_s()
        match task:
            case Task.LOOK:
                self._valuing.look(now_s - age_s + self.schedule.look_every_s)
            case Task.PRESS:
                self._valuing.press()
            case Task.FLUSH:
                with _FLUSH.time():
                    await self._value_urgent(now_s)
            case Task.SUM:
                self._sums.turn(_DEFERRED_TURN_S)
                await asyncio.sleep(0)
            case Task.CATCH_UP:
                await self._value_deferred(share_s)
            case _:
                assert_never(task)

    async def _value_urgent(self, now_s: float) -> None:
        self.is_touched = False
        for at, key in enumerate(self._valuing.take_urgent(now_s)):
            self._value(key, is_urgent=True)
            if at % _YIELD_EVERY == _YIELD_EVERY - 1:
                self._rows.flush()
                await asyncio.sleep(0)
        self._outcomes.count()

    async def _value_deferred(self, share_s: float) -> None:
        """Value what can wait, for one turn, and for its share beside what was urgent just now."""
        waiting, clock = self._valuing.deferred, self._clock
        began_s = ended_s = clock.monotonic_s()
        until_s = began_s + max(_DEFERRED_TURN_S, share_s)
        while waiting and ended_s < until_s:
            valued, turn_s = 0, ended_s
            is_measured = len(waiting) >= _MEASURED_ACCOUNTS or turn_s >= self._measure_again_s
            began_worked_s = clock.worked_s() if is_measured else None
            while waiting and ended_s < turn_s + _DEFERRED_TURN_S:
                self._value(waiting.popleft(), is_urgent=False)
                valued += 1
                ended_s = clock.monotonic_s()
            self._outcomes.count()
            worked_s = None if began_worked_s is None else clock.worked_s() - began_worked_s
            if is_measured:
                self._measure_again_s = ended_s + _MEASURED_AGAIN_S
            self._pace.valued(valued, worked_s, ended_s, do_more_wait=self._engines.are_behind)
            if not waiting or self._rows.unsent >= _DEFERRED_BATCH:
                self._rows.flush()
            await asyncio.sleep(0)
            ended_s = clock.monotonic_s()

    def _value(self, key: bytes, *, is_urgent: bool) -> None:
        write = self._valuing.value(key, self._clock.now_ms(), is_urgent=is_urgent)
        if write is None:
            self._outcomes.unchanged += 1
        elif write.table == ALERTS:
            acknowledged = partial(self._valuing.acknowledged, key, is_urgent=is_urgent)
            self._rows.put(self._partition, write, _Acknowledged(acknowledged))
        else:
            self._outcomes.changed += 1
            self._rows.put_shown(self._partition, write)


class _Outcomes:
    """What became of the accounts of a turn; to count each by itself takes a third of what encoding its row does."""

    def __init__(self) -> None:
        self.changed = self.unchanged = 0

    def count(self) -> None:
        """Count them, and begin another turn."""
        _changed.inc(self.changed)
        _unchanged.inc(self.unchanged)
        self.changed = self.unchanged = 0


class _Acknowledged:
    """The charge of one row that something waits for."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then

    def opened(self) -> None:
        """Does nothing: the row is on its way."""

    def acked(self, count: int) -> None:  # noqa: ARG002 - there is one
        """The broker has the row."""
        self._then()
