"""Faust's consumer, changed to hand out slices and to commit only complete ones."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from streams.transport.membership import Membership
from streams.transport.slice_worker import crash
from streams.transport.slices import Slice, SliceMisused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streams.kafka.record import Record


# Bounds the slices that are handed out and not complete. 8 MiB are 40,000 records of 200 B, some 100 ms of work: enough
# to keep agents busy while acknowledgements are on their way. More would only lengthen a stop, a revocation and the
# repetition after a kill.
_OPEN_BYTES_MAX = 8 << 20
# A worker that is asked to stop has 3 s in all. A revocation has the session timeout, of which agents may take so much.
_STOP_WAIT_S = 1.0
_REVOKE_WAIT_S = 4.0
# A seek, and with it a takeover, waits for a fetch that is under way.
_POLL_S = 0.1


class SliceConsumer(driver.Consumer):  # type: ignore[misc]
    """Delivers slices, and commits those that are complete.

    Every topic that an agent reads is delivered in slices. Changelogs are not: they are not in the group's assignment
    (``SliceAssignor``), and recovery reads them with a consumer of its own.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.dead: BaseException | None = None
        self._handed: defaultdict[TP, deque[Slice]] = defaultdict(deque)
        self._open: set[Slice] = set()
        self._open_bytes = 0
        self._latest: dict[TP, Slice] = {}
        self._next: dict[TP, int] = {}
        self._committed: dict[TP, int] = {}
        self._epoch = 0
        self._sought = -1
        self._fetching = asyncio.Lock()
        self._room = asyncio.Event()
        self._progress = asyncio.Event()
        super().__init__(*args, **kwargs)
        self.slice_records: int = self.app.settings.worker.slice_records

    def _new_consumer_thread(self) -> Membership:
        return Membership(self, loop=self.loop, beacon=self.beacon)

    @property
    def membership(self) -> Membership:
        """Our membership of the group, which Faust calls a thread."""
        return self._thread  # type: ignore[no-any-return]

    # -- delivering

    async def _drain_messages(self, fetcher: Any) -> None:
        # Faust's own consumer awaits four tasks for each record here.
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                await self._deliver_next()
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            if not self.app.should_stop:
                raise
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise
        except Exception as error:
            crash(self, error)
            raise

    async def _deliver_next(self) -> None:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        if self._is_full:
            # The bound is on all partitions together: aiokafka skips the whole node of one that getmany() leaves out.
            self._room.clear()
            await self.wait(self._room, timeout=_POLL_S)
            return
        active = self._get_active_partitions()
        if not active:
            await self.wait(self.suspend_flow, timeout=0.05)
            return
        # In aiokafka a fetch outlives a rebalance. One that is under way during a seek could take the records that are
        # sought; they would be dropped as records of the last generation, and never be fetched again.
        async with self._fetching:
            epoch = self._epoch
            fetched = await self._getmany(active, _POLL_S) or {}
        for tp, records in fetched.items():
            await self._deliver(TP(*tp), records, epoch)

    async def _deliver(self, tp: TP, records: list[Record[bytes | None]], epoch: int) -> None:
        generation = self.app.consumer_generation_id
        self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
        for start in range(0, len(records), self.slice_records):
            # The partition is being given up, or was. Its next owner, which may be this worker, seeks.
            if not self.flow_active or epoch != self._epoch:
                return
            taken = records[start : start + self.slice_records]
            part = Slice(taken, tp, self, self._next[tp])
            message = ConsumerMessage(
                tp.topic, tp.partition, part.last_offset, taken[-1].timestamp / 1000, None,
                None, None, part, None, 0, 0, tp, generation_id=generation,
            )  # fmt: skip
            self._handed[tp].append(part)
            self._open.add(part)
            self._open_bytes += part.size
            self._next[tp] = part.last_offset + 1
            await self.wait_first(self.callback(message), self.suspend_flow.wait())

    # -- slices

    def begin(self, part: Slice) -> bool:
        """Begin a slice; return False where it is no longer ours (see ``Slice.begin``)."""
        if self.dead is not None or part not in self._open or not self.app.terms.owns(part.partition):
            return False
        earlier = self._latest.get(part.tp)
        if earlier is not None and not earlier.closed:
            msg = f"expected {earlier} to be done before {part} is begun"
            raise SliceMisused(msg)
        # Where no slice is begun yet, none was committed since the seek either.
        expected = self._committed[part.tp] if earlier is None else earlier.last_offset + 1
        if part.follows != expected:
            msg = f"expected what follows offset {expected} to be begun before {part}, which follows {part.follows}"
            raise SliceMisused(msg)
        self._latest[part.tp] = part
        part.begun = True
        return True

    def slice_done(self, part: Slice) -> None:
        """Send the slice's rows and outputs; it is complete when they are acknowledged."""
        if part.pending:
            self.app.publisher.flush()
        else:
            self.slice_complete(part)

    def slice_complete(self, part: Slice) -> None:
        """Make room for another slice."""
        if part in self._open:
            self._open.remove(part)
            self._open_bytes -= part.size
        self._room.set()
        self._progress.set()

    def _begun(self) -> list[Slice]:
        return [part for part in self._open if part.begun]

    @property
    def settled(self) -> bool:
        """Whether no slice is half done, so that a stop now repeats only slices that are not begun."""
        return self.dead is None and not self._begun()

    def _drop(self) -> None:
        self._epoch += 1
        self._handed.clear()
        self._open.clear()
        self._open_bytes = 0
        self._latest.clear()
        self._next.clear()
        self._committed.clear()
        self._room.set()

    # -- seeking

    async def perform_seek(self) -> None:
        """Seek each partition to the committed offset, or to its first record where there is none."""
        # Faust's own leaves a partition without a commit wherever the fetcher was before the rebalance.
        async with self._fetching:
            self._drop()
            epoch = self._epoch
            wanted = await self.membership.start_offsets([TP(*tp) for tp in self.assignment()])
            await self._thread.seek_wait(wanted)
            if epoch == self._epoch:
                self._sought = epoch
                self._next.update(wanted)
                self._committed.update(wanted)

    def resume_flow(self) -> None:
        """Fetch again, unless the partitions that were sought have been revoked meanwhile."""
        # Faust's own recovery also resumes where the next rebalance has already begun.
        if self._sought == self._epoch:
            super().resume_flow()

    async def fence(self) -> bool:
        """Find out whether this is still the group's generation, by a commit that changes nothing.

        Returns:
            False where the group has rebalanced meanwhile.
        """
        tps = [TP(*tp) for tp in self.assignment()]
        return bool(tps) and bool(await self._commit(await self.membership.start_offsets(tps)))

    # -- rebalancing

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let agents finish the slices that they have begun, commit these, and drop the others."""
        self._epoch += 1
        await super().on_partitions_revoked(revoked)
        self._drop()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Forget the last generation's slices; recovery seeks and resumes."""
        self._drop()
        self.membership.generation = generation_id
        await super().on_partitions_assigned(assigned, generation_id)

    async def wait_empty(self) -> None:
        """Stop flush tasks, let begun slices and sends finish, and commit what is complete; all within a bound."""
        # Faust's own waits without a bound, and for acks that say nothing of our rows.
        if not self.app.connected:
            return
        stopping = self.app.should_stop
        deadline = time.monotonic() + (_STOP_WAIT_S if stopping else _REVOKE_WAIT_S)
        await self.app.ownership.stop_writers()
        while self._begun() and time.monotonic() < deadline and self.dead is None:
            self._progress.clear()
            await self._within(self._progress.wait(), deadline)
        while self._committable() and self.dead is None and time.monotonic() < deadline:
            if not await self.commit():
                if not self.membership.is_member:
                    break
                await asyncio.sleep(0.01)
        if self._begun() and not stopping:
            left = self._begun()
            crash(self, SliceMisused(f"expected every slice to be done {_REVOKE_WAIT_S} s after revocation: {left}"))
        is_clean = await self.app.ownership.release(max(0.0, deadline - time.monotonic()))
        if not (is_clean or stopping):
            # Such rows may still arrive, and rows under a later term of ours would then have been made without them.
            crash(self, SliceMisused("expected every row to be acknowledged before its partition is given up"))

    async def _within(self, work: Any, deadline: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(work, max(0.0, deadline - time.monotonic()))

    # -- committing

    def _committable(self) -> dict[TP, int]:
        offsets = {}
        for tp, parts in self._handed.items():
            for part in parts:
                if not part.complete:
                    break
                offsets[tp] = part.last_offset + 1
        return {tp: offset for tp, offset in offsets.items() if offset > self._committed.get(tp, -1)}

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: FBT001, FBT002
        """Commit up to the last complete slice of each partition."""
        # Faust's own commits what was acked, whatever became of its rows, and takes a failed commit for a done one.
        del topics, start_new_transaction
        offsets = {} if self.dead is not None else self._committable()
        if not offsets:
            return False
        epoch = self._epoch
        committed = bool(await self._commit(offsets))
        if self._thread.crashed:
            crash(self, self._thread.crash_reason or RuntimeError("commit failed"))
            return False
        if committed and epoch == self._epoch:
            self._committed.update(offsets)
            for tp, offset in offsets.items():
                parts = self._handed[tp]
                while parts and parts[0].last_offset < offset:
                    parts.popleft()
            self.app.monitor.on_tp_commit(offsets)
        return committed

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        del topics
        return iter(())

    def ack(self, message: Any) -> bool:
        """Take note of nothing: what may be committed is said by slices, and streams do not acknowledge them."""
        message.acked = True
        return True

    async def on_task_error(self, exc: BaseException) -> None:
        """End the process, because an agent raised an error."""
        # Faust's own commits here, and its supervisor restarts the agent on the next slice.
        crash(self, exc)
        await asyncio.Event().wait()

    async def on_stop(self) -> None:
        """Stop within the bound."""
        await self.wait_empty()
        self.transport._topic_waiters.clear()

    @property
    def next_offsets(self) -> dict[TP, int] | None:
        """The next offset of each assigned partition; None while nothing is to be fetched."""
        is_held = not self.flow_active or self.app.rebalancing or self._is_full
        return None if is_held else self._offsets()

    @property
    def lag_records(self) -> Mapping[TP, int]:
        """How many records of each assigned partition were not handed to an agent yet."""
        return {tp: max(0, (self.highwater(tp) or 0) - offset) for tp, offset in self._offsets().items()}

    @property
    def _is_full(self) -> bool:
        return self._open_bytes >= _OPEN_BYTES_MAX

    def _offsets(self) -> dict[TP, int]:
        # Behind the last record there may be transaction markers, or the rest of a compacted batch: offsets without a
        # record.
        return {tp: max(offset, self.membership.position(tp) or 0) for tp, offset in self._next.items()}
