"""In which order a round goes through the partitions, and when what they wrote leaves."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from models.engine.pace import Pace
from models.engine.schedule import Task, Wait
from streams.settings import Settings
from streams.valuing.flush import Flush
from tests.support.clocks import LoopClock
from tests.support.pacing import Even
from tests.support.virtual_loop import run_in_no_time

LEFT = "what was written leaves"


class Part:
    """A partition with tasks that take no time but what the test says, in ms of the loop's clock."""

    def __init__(self, name: str, done: list[str], *tasks: Task) -> None:
        self.schedule = SimpleNamespace(flush_s=0.0)
        self.shares_s: list[float] = []
        self._name = name
        self._done = done
        self._tasks = deque(tasks)

    def next_task(self, _age_s: float) -> Task | Wait:
        return self._tasks.popleft() if self._tasks else Wait(10.0, or_touched=True)

    async def do(self, task: Task, _age_s: float, share_s: float = 0.0) -> None:
        self._done.append(f"{self._name} {task.name}")
        self.shares_s.append(share_s)


async def test_what_is_urgent_in_any_partition_leaves_before_anything_that_can_wait_is_valued() -> None:
    done: list[str] = []
    rows = SimpleNamespace(flush=lambda: done.append(LEFT), unacked=0)
    flush = Flush(
        Settings(kafka="nowhere:1", data_dir=Path("unused")),
        cast("Any", rows),
        cast("Any", SimpleNamespace(accounts=2)),
        pace=Pace(1.0),
        pacing=Even(0.02),
        clock=LoopClock(0),
        fatal=done.append,  # type: ignore[arg-type]
    )
    parts = [
        Part("first", done, Task.LOOK, Task.FLUSH, Task.SUM, Task.CATCH_UP),
        Part("second", done, Task.FLUSH, Task.CATCH_UP),
    ]
    flush._partitions = cast("Any", parts)

    waits = await flush._round()

    assert ["first LOOK", "first FLUSH", "second FLUSH", LEFT, "first SUM", "first CATCH_UP", "second CATCH_UP"] == done
    assert [Wait(10.0, or_touched=True)] * 2 == waits
    # The pacing is above the setting's 5 ms here.
    assert [0.02, 0.02] == [part.schedule.flush_s for part in parts]


def test_a_round_that_the_broker_holds_up_has_taken_as_long() -> None:
    async def held_up() -> float:
        async def drain() -> None:
            await asyncio.sleep(2)
            rows.unacked = 0

        rows = SimpleNamespace(flush=lambda: None, unacked=1_000_000, drain=drain)
        flush = Flush(
            Settings(kafka="nowhere:1", data_dir=Path("unused")),
            cast("Any", rows),
            cast("Any", SimpleNamespace(accounts=1)),
            pace=Pace(1.0),
            pacing=Even(0.02),
            clock=LoopClock(0),
            fatal=raised.append,
        )
        flush._partitions = cast("Any", [Part("only", [])])
        flush._begin(flush._go_round(), "flush")
        await asyncio.sleep(3)
        await flush.stop()
        return flush.rounds.take()

    raised: list[BaseException] = []
    assert run_in_no_time(held_up()) == pytest.approx(2.0)
    assert [] == raised
