"""What every Python peer shares: the job it is given, the clock of its figures, and the work on one event.

Imports nothing that is not in the standard library: peers run in environments of their own.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from dataclasses import dataclass
from typing import Any, NoReturn

# A row of ``table`` is the newest price with its time; one of ``accounts`` is quantity and cost of each symbol.
Row = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One run of one peer, given as JSON in the only argument.

    ``topic`` holds exactly ``warm_up`` + ``count`` events in ``partitions`` partitions; ``changelog`` is a compacted
    topic for peers that do not make their own; ``directory`` is empty and the run's alone. ``workload`` is ``decode``,
    ``table``, ``accounts`` or ``recovery``; in the last ``count`` rows are in the changelog already.
    """

    bootstrap: str
    topic: str
    changelog: str
    group: str
    count: int
    workload: str
    directory: str
    partitions: int
    warm_up: int
    store: str

    @classmethod
    def from_arguments(cls) -> Job:
        """Read the job this process was started for."""
        return cls(**json.loads(sys.argv[1]))


class Clock:
    """Wall and processor time of the events after the warm-up, to the last one's end.

    Without a warm-up what the first fetch brought would be decoded before the clock begins.
    """

    def __init__(self, job: Job) -> None:
        self._warm_up = job.warm_up
        self._all = job.warm_up + job.count
        self._done = 0
        self._began: tuple[int, float, float] | None = None

    def begin(self) -> None:
        """An event, or a batch, has reached the handler."""
        if self._began is None and self._done >= self._warm_up:
            self._began = (self._done, time.monotonic(), _cpu_s())

    def did(self, events: int = 1) -> bool:
        """So many events are done; whether all are."""
        self._done += events
        return self._done >= self._all

    def end(self, changelog: str | None = None) -> NoReturn:
        """All is done and acknowledged: print the figures and end the process, whose topics nobody uses again."""
        if self._began is None or self._done < self._all:
            sys.exit(f"expected {self._all} events, found an end after {self._done}")
        before, began_s, began_cpu_s = self._began
        figures = {
            "events": self._done - before,
            "seconds": time.monotonic() - began_s,
            "cpu_seconds": _cpu_s() - began_cpu_s,
            "changelog": changelog,
        }
        print(json.dumps(figures), flush=True)
        os._exit(0)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def key_of(job: Job, event: dict[str, Any]) -> str:
    """Key of the row an event belongs to."""
    return str(event["symbol" if job.workload == "table" else "account"])


def folder(job: Job) -> Any:  # noqa: ANN401 - a function of (row or None, event) to row
    """The function that folds an event into its row, which it may change in place."""
    return newest_price if job.workload == "table" else holdings


def newest_price(row: Row | None, tick: dict[str, Any]) -> Row:
    """The newest price by event time."""
    if row is not None and tick["event_ms"] <= row["event_ms"]:
        return row
    return {"mark": tick["mark"], "event_ms": tick["event_ms"]}


def holdings(row: Row | None, event: dict[str, Any]) -> Row:
    """Sum of quantity and cost of each symbol."""
    if row is None:
        row = {}
    quantity = event["quantity"]
    sums = row.get(event["symbol"])
    if sums is None:
        row[event["symbol"]] = [quantity, quantity * event["price"]]
    else:
        sums[0] += quantity
        sums[1] += quantity * event["price"]
    return row
