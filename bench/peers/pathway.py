"""pathway: its Rust engine decodes and groups; the changelog is its stream of changes, written by its Kafka sink.

A minibatch is 100 ms. Rows are written as it writes them: the old one with diff -1, the new one with diff 1. The sink
does not tell when it is acknowledged: the clock ends when the topic has every record.
"""

from __future__ import annotations

import time
from threading import Thread
from typing import Any

import pathway as pw  # type: ignore[import-not-found]
from confluent_kafka import Consumer, TopicPartition  # type: ignore[import-not-found]

from bench.peers.job import Clock, Job

_COMMIT_MS = 100
_POLL_S = 0.005


class Tick(pw.Schema):  # type: ignore[misc]
    """What is read of a tick."""

    symbol: str
    mark: str
    event_ms: int


class Event(pw.Schema):  # type: ignore[misc]
    """An account's event."""

    account: str
    symbol: str
    quantity: int
    price: int


def run(job: Job) -> None:
    """Read the topic to its end."""
    clock = Clock(job)
    kafka = {"bootstrap.servers": job.bootstrap, "group.id": job.group, "auto.offset.reset": "earliest"}
    schema = Event if job.workload == "accounts" else Tick
    events = pw.io.kafka.read(kafka, job.topic, schema=schema, format="json", autocommit_duration_ms=_COMMIT_MS)

    changes = Changes(job, clock)
    if job.workload == "decode":
        pw.io.subscribe(events, on_change=changes.on_event, on_time_end=changes.on_time_end)
    else:
        rows = newest_prices(events) if job.workload == "table" else holdings(events)
        pw.io.kafka.write(rows, kafka, job.changelog, format="json", key=rows.key)
        pw.io.subscribe(rows, on_change=changes.on_row, on_time_end=changes.on_rows_end)
        total = events.reduce(events=pw.reducers.count())
        pw.io.subscribe(total, on_change=changes.on_total, on_time_end=changes.on_time_end)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)


def newest_prices(ticks: Any) -> Any:  # noqa: ANN401 - pathway tables
    """The newest price of each symbol by event time; its ``latest`` takes any one of a minibatch."""
    return ticks.groupby(ticks.symbol).reduce(
        key=ticks.symbol, row=pw.reducers.max(pw.make_tuple(ticks.event_ms, ticks.mark))
    )


def holdings(events: Any) -> Any:  # noqa: ANN401
    """Sum of quantity and cost of each symbol, all of an account in one row."""
    sums = events.groupby(events.account, events.symbol).reduce(
        events.account,
        events.symbol,
        quantity=pw.reducers.sum(events.quantity),
        cost=pw.reducers.sum(events.quantity * events.price),
    )
    return sums.groupby(sums.account).reduce(
        key=sums.account, row=pw.reducers.sorted_tuple(pw.make_tuple(sums.symbol, sums.quantity, sums.cost))
    )


class Changes:
    """Runs the clock by whole minibatches."""

    def __init__(self, job: Job, clock: Clock) -> None:
        self._job = job
        self._clock = clock
        self._events = self._counted = self._rows = 0
        self._rows_time = 0
        self._last_time: int | None = None
        # In a thread: the engine still has to let the sink write.
        self._ending = Thread(target=self._end)

    def on_event(self, **_: Any) -> None:  # noqa: ANN401
        """One event was decoded."""
        self._events += 1

    def on_total(self, row: dict[str, int], is_addition: bool, **_: Any) -> None:  # noqa: ANN401, FBT001
        """So many events were folded since the start."""
        if is_addition:
            self._events = row["events"]

    def on_row(self, **_: Any) -> None:  # noqa: ANN401
        """The sink gets one more record."""
        self._rows += 1

    def on_time_end(self, time: int) -> None:
        """A minibatch of events is done."""
        is_last = self._clock.did(self._events - self._counted)
        self._counted = self._events
        self._clock.begin()
        if is_last and self._job.workload == "decode":
            self._clock.end()
        if is_last:
            self._last_time = self._last_time or time
            self._end_if_all_done()

    def on_rows_end(self, time: int) -> None:
        """A minibatch of rows is done; whether before or after its events is not said."""
        self._rows_time = time
        self._end_if_all_done()

    def _end_if_all_done(self) -> None:
        if self._last_time is not None and self._rows_time >= self._last_time and not self._ending.is_alive():
            self._ending.start()

    def _end(self) -> None:
        reader = Consumer({"bootstrap.servers": self._job.bootstrap, "group.id": self._job.group})
        parts = [TopicPartition(self._job.changelog, partition) for partition in range(self._job.partitions)]
        while sum(reader.get_watermark_offsets(part)[1] for part in parts) < self._rows:
            time.sleep(_POLL_S)
        self._clock.end(self._job.changelog)


if __name__ == "__main__":
    run(Job.from_arguments())
