"""Tidemark: its own app, transport and tables as a worker runs them, with an agent that does what the peers do."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from bench.peers.job import Clock, Job, Row, folder
from models.codec import encode_body
from models.engine.step import Write
from models.engine.tables import VALUATIONS
from streams.kafka.topics import changelog_name, create_topics, registry
from streams.settings import Settings, TopicSettings, WorkerSettings
from streams.transport.recovery import SliceRecovery
from streams.worker.faust_app import TidemarkApp, create_app
from streams.worker.run import run_app

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.transport.slices import Slice
    from streams.worker.faust_app import SliceAgent


class DecodeAgent:
    """Decodes each record."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def handle(self, part: Slice) -> None:
        """Decode a slice."""
        self._clock.begin()
        events = 0
        for record in part:
            orjson.loads(record.value or b"")
            events += 1
        if self._clock.did(events):
            self._clock.end()


class TableAgent:
    """Folds records into the rows of their keys, kept decoded as ``Accounts`` keeps its newest; one write a slice."""

    def __init__(self, job: Job, clock: Clock, settings: Settings, app: TidemarkApp) -> None:
        self._clock = clock
        self._fold = folder(job)
        self._app = app
        self._changelog = changelog_name(settings, VALUATIONS)
        self._decoded: dict[tuple[int, int], dict[bytes, tuple[int, Row]]] = {}

    async def handle(self, part: Slice) -> None:
        """Fold a slice."""
        self._clock.begin()
        rows, fold = self._rows_of(part.partition), self._fold
        changed: set[bytes] = set()
        events = 0
        for record in part:
            key = record.key or b""
            version, row = rows.get(key, (0, None))
            rows[key] = version + 1, fold(row, orjson.loads(record.value or b""))
            changed.add(key)
            events += 1
        for key in changed:
            version, row = rows[key]
            self._app.rows.put(part.partition, Write(VALUATIONS, key, version, encode_body(row)), part)
        if self._clock.did(events):
            self._ending = asyncio.create_task(self._end())

    def _rows_of(self, partition: int) -> dict[bytes, tuple[int, Row]]:
        # Rows are what this owner knows only as long as its term lasts.
        return self._decoded.setdefault((partition, self._app.terms.term(partition)), {})

    async def _end(self) -> None:
        await self._app.rows.drain()
        self._clock.end(self._changelog)


class RecoveredHandler(logging.Handler):
    """Ends the clock with the line by which recovery says that it is done."""

    def __init__(self, clock: Clock, changelog: str) -> None:
        super().__init__()
        self._clock = clock
        self._changelog = changelog

    def emit(self, record: logging.LogRecord) -> None:
        """Look at a line."""
        if record.msg.startswith("recovered ") and isinstance(record.args, tuple):
            _, records, _ = record.args
            self._clock.did(int(str(records)))
            self._clock.end(self._changelog)


def time_recovery(clock: Clock, changelog: str) -> None:
    """Let the clock run from where recovery begins to where it says that it is done."""
    recover = SliceRecovery._recover  # noqa: SLF001

    async def timed(self: SliceRecovery, *arguments: Any) -> None:  # noqa: ANN401 - as recovery takes
        clock.begin()
        await recover(self, *arguments)

    SliceRecovery._recover = timed  # type: ignore[assignment,method-assign] # noqa: SLF001
    logging.getLogger(SliceRecovery.__module__).addHandler(RecoveredHandler(clock, changelog))


def run(job: Job) -> None:
    """Run a worker for this job."""
    settings = Settings(
        kafka=job.bootstrap,
        data_dir=Path(job.directory),
        topics=TopicSettings(partitions=job.partitions, prefix=f"{job.group}-"),
        worker=WorkerSettings(store=job.store, admin_port=0),  # type: ignore[arg-type] # pydantic checks it
    )
    clock = Clock(job)

    def agents(settings: Settings, app: TidemarkApp) -> Sequence[tuple[SliceAgent, str]]:
        agent = DecodeAgent(clock) if job.workload == "decode" else TableAgent(job, clock, settings, app)
        return ((agent, job.topic),)

    asyncio.run(create_topics(settings.bootstrap, registry(settings)))
    if job.workload == "recovery":
        time_recovery(clock, changelog_name(settings, VALUATIONS))
    run_app(create_app(settings, agents))


if __name__ == "__main__":
    run(Job.from_arguments())
