"""Recovery of the tables after an assignment: claim the partitions, fence, read the changelogs, then own."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from aiokafka import TopicPartition
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from mode import Service

from streams.kafka.consumer import start_consumer
from streams.process.supervision import waited_out
from streams.transport.slice_worker import crash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from faust.types import TP

    from streams.transport.tables import Rows

_FETCH_MAX_WAIT_MS = 50
_MAX_POLL_RECORDS = 5_000

_log = logging.getLogger(__name__)


class SliceRecovery(Recovery):  # type: ignore[misc]
    """Reads changelogs straight into the stores.

    Faust's own recovery sends every changelog record through the app's consumer as an event of its own (9,000 rows/s).
    It can skip records when its queue fills while the flow is stopped, and it does not compare rows.
    """

    @Service.task  # type: ignore[untyped-decorator]
    async def _restart_recovery(self) -> None:
        while not self.should_stop:
            if await self.wait_for_stopped(self.signal_recovery_start):
                return
            self.signal_recovery_start.clear()
            generation = self._generation_id
            try:
                await self._recover(generation)
            except RebalanceAgain:
                continue
            except ServiceStopped:
                return
            except Exception as error:
                crash(self.app._consumer, error)
                raise

    @Service.task  # type: ignore[untyped-decorator]
    async def _slurp_changelogs(self) -> None:
        """Does nothing: changelogs do not pass through the app's consumer."""

    async def _recover(self, generation: int) -> None:
        self._set_recovery_started()
        started_s = time.monotonic()
        actives, standbys = set(self.active_tps), set(self.standby_tps)
        partitions = sorted({tp.partition for tp in actives})
        # The follower must not restore a standby's partition at the same time as this recovery.
        await self.app.follower.stop()
        await self._wait(self.app.ownership.claim(partitions))
        # The claim's offset is the term. A process that slept since its assignment would claim a higher term than the
        # owner that came after it; the fence asks the coordinator whether that has happened.
        if partitions and not await self.app.consumer.fence():
            _log.warning("assignment is no longer ours generation=%s", generation)
            if self.app.consumer.membership.crashed:
                crash(self.app.consumer, self.app.consumer.membership.crash_reason)
            return
        ends: Mapping[TopicPartition, int] = {}
        rows = 0
        if actives:
            restoring = asyncio.ensure_future(self._restore(actives))
            try:
                await self._wait(asyncio.shield(restoring))
            finally:
                if not restoring.done():
                    restoring.cancel()
                    await asyncio.wait([restoring])
            ends, rows = restoring.result()
        if self.signal_recovery_start.is_set():
            return
        _log.info("recovered partitions=%s records=%d seconds=%.2f", partitions, rows, time.monotonic() - started_s)
        if await self.app.ownership.take(partitions, {tp.partition for tp in standbys}):
            await self.app.follower.start(ends, [TopicPartition(*tp) for tp in standbys])
            await self.on_recovery_completed(generation)

    async def _restore(self, actives: set[TP]) -> tuple[Mapping[TopicPartition, int], int]:
        consumer = await start_consumer(
            self.app.settings.bootstrap, wait_ms=_FETCH_MAX_WAIT_MS, most_records=_MAX_POLL_RECORDS
        )
        read = 0
        try:
            tps = [TopicPartition(*tp) for tp in sorted(actives)]
            consumer.assign(tps)
            first, end = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
            for tp in tps:
                consumer.seek(tp, self._rows.begin(tp.topic, tp.partition, first[tp], end[tp]))
            left = {tp for tp in tps if await consumer.position(tp) < end[tp]}
            while left:
                for tp, records in (await consumer.getmany(*left, timeout_ms=200)).items():
                    self.app.ownership.expect_latest(tp.partition, self._rows.newest_term(records))
                    self._rows.restore(tp.topic, tp.partition, records)
                    read += len(records)
                    await asyncio.sleep(0)
                # The consumer's position counts: the last record before the end may have been compacted away.
                left = {tp for tp in left if await consumer.position(tp) < end[tp]}
            for tp in tps:
                self._rows.restored(tp.topic, tp.partition, end[tp])
        finally:
            await waited_out(consumer.stop())
        return end, read

    @property
    def _rows(self) -> Rows:
        return self.app.rows  # type: ignore[no-any-return]


class SliceTableManager(TableManager):  # type: ignore[misc]
    """Faust's table manager with our recovery."""

    @property
    def recovery(self) -> SliceRecovery:
        """The recovery service."""
        recovery: SliceRecovery | None = vars(self).get("_recovery")
        if recovery is None:
            recovery = self._recovery = SliceRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return recovery
