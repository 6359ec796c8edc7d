"""Limits over all replicas of the api: leases that are claimed on a topic, held, and given back.

In normal operation no more than a limit's capacity is ever let in. A replica that is paused, or cut off from the
broker, for longer than its leases last keeps what it holds: until it is back, an owner may have that much more, and no
replica lets in more than the capacity by itself. When it is back, what others were given meanwhile goes before.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, assert_never

from aiokafka.errors import KafkaError
from prometheus_client import Counter, Gauge

from models.errors import TidemarkError
from models.leases import (
    LEASE_EVERY_S,
    Claim,
    Hold,
    LeaseRecord,
    Release,
    Verdict,
    encode_lease,
    lease_key,
)
from streams.kafka.partitions import partition_of
from streams.kafka.producer import start_producer
from streams.kafka.shared_consumer import TopicMissing
from streams.kafka.topics import LEASES, BadTopic, require_topic, topic_name
from streams.process.supervision import waited_out
from streams.replicas.lease_log import LedgerReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from aiokafka import AIOKafkaProducer

    from models.leases import Limit
    from streams.process.clock import Clock
    from streams.settings import Settings

_log = logging.getLogger(__name__)

# A claim is decided in milliseconds; who waits longer than this is better served by a choice made without the log.
DECIDE_WITHIN_S = 1.0
# A broker is back within seconds; asking more often only fills the log.
_RETRY_S = 1.0
# Everything ends within 5 s of a Ctrl-C; what is not given back by then ends by itself.
_STOP_WITHIN_S = 1.0
# What is not written by then is no longer waited for; the next hold says it again.
_GIVEN_UP_AFTER_MS = 3_000


class Undecided(TidemarkError):
    """The broker did not say in time whether a claim is granted. It may have been; refuse what it would let in."""


class Room(NamedTuple):
    """How many units of a limit are free, and in how many s the next ones come back; 0 where none is taken."""

    units: int
    next_s: float


class Lease:
    """Units of a limit that are held here until they are released, or lost.

    Args:
        leases: Takes them back.
        limit: The limit that they count against.
        key: The limit and its owner, as records name them.
        units: How many, at least 1.
        on_lost: Called in the loop where others have taken its place.
    """

    def __init__(self, leases: Leases, limit: Limit, key: bytes, units: int, on_lost: Callable[[], None]) -> None:
        self.limit = limit
        self.key = key
        self.units = units
        self.on_lost = on_lost
        self.number = -1
        self.is_local = True
        """Whether it is held without the log's word: it is claimed again until the log has spoken."""
        self._leases = leases

    def release(self) -> None:
        """Give it back; a second time, or after it was lost, changes nothing."""
        self._leases.give_back(self)


class Leases:
    """What this replica holds of the limits that all replicas share.

    While the broker does not answer, ``hold`` lets in what the limit's capacity allows on this replica alone, and
    ``spend`` lets in nothing.

    Args:
        settings: Name the topic and the broker.
        clock: Tells when the log last failed.
        every_s: How long until what is held has been said again, in s.
        decide_within_s: How long a claim may take, in s.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        every_s: float = LEASE_EVERY_S,
        decide_within_s: float = DECIDE_WITHIN_S,
    ) -> None:
        self.holder = uuid.uuid4().hex
        self._settings = settings
        self._clock = clock
        self._partitions = settings.topics.partitions
        self._every_s = every_s
        self._decide_within_s = decide_within_s
        self._reader: LedgerReader | None = None
        self._failed_ms = 0
        self._number = 0
        self._held: dict[bytes, dict[int, Lease]] = {}
        # Of one key there may be ten thousand leases, which no claim should have to count.
        self._units: dict[bytes, int] = {}
        self._asked: dict[int, asyncio.Future[Verdict]] = {}
        self._outbox: deque[tuple[bytes, LeaseRecord]] = deque()
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._claims = Counter(
            "tidemark_lease_claims", "Claims of leases by what became of them.", ("limit", "verdict"), registry=None
        )
        self._lost = Counter(
            "tidemark_lease_lost", "Leases that had ended and went to others.", ("limit",), registry=None
        )
        held = Gauge("tidemark_lease_units", "Units that are held here.", registry=None)
        held.set_function(lambda: sum(map(self._units_here, self._held)))
        self.collectors = (self._claims, self._lost, held)
        """Metrics, to be registered where they are served."""

    def start(self) -> None:
        """Begin to read and write; a broker that does not answer is asked again."""
        self._running = asyncio.create_task(self._run(), name="leases")

    async def stop(self) -> None:
        """Give everything back, as far as that goes within a second."""
        if self._running is None:
            return
        self._stopping.set()
        self._changed.set()
        _, late = await asyncio.wait([self._running], timeout=_STOP_WITHIN_S)
        for task in late:
            task.cancel()

    async def closed(self) -> None:
        """Wait for the end, which comes by ``stop``, or by an error of our own, and raise that."""
        if self._running is not None:
            await asyncio.shield(self._running)

    @property
    def is_up(self) -> bool:
        """Whether claims are decided by the log: it has been read, and the broker has answered since it last failed."""
        return self._reader is not None and self._reader.is_ready and self._reader.answered_ms > self._failed_ms

    async def hold(self, limit: Limit, owner: str, on_lost: Callable[[], None], units: int = 1) -> Lease | None:
        """Take units of a limit until they are released.

        Args:
            limit: Which, and how many in all.
            owner: Whose.
            on_lost: Called in the loop where the lease had ended, since this replica could not say that it holds it,
                and others have taken its place. It is not held any more then.
            units: How many.

        Returns:
            None where no room is left.
        """
        key = lease_key(limit, owner)
        if self._units_here(key) + units > limit.capacity:
            self._count(limit, Verdict.REFUSED)
            return None
        lease = Lease(self, limit, key, units, on_lost)
        # It counts here from now on: whoever asks meanwhile sees it.
        self._keep(lease)
        verdict = None
        try:
            claim = self._claim_of(lease)
            verdict = await self._decide(limit, key, claim, others_than=self.holder, units=self._units_here(key))
        finally:
            if verdict is None:
                lease.release()
        match verdict:
            case Verdict.GRANTED:
                lease.is_local = False
            case Verdict.REFUSED:
                self._drop(lease)
                return None
            case Verdict.UNSURE:
                # It is claimed again until the log has spoken.
                pass
            case _:
                assert_never(verdict)
        return lease

    async def spend(self, limit: Limit, owner: str, units: int = 1) -> bool:
        """Take units of a limit for its ``ttl_ms``; they cannot be given back.

        Args:
            limit: Which limit, and how many units there are in all.
            owner: Whose units they are.
            units: How many, at least 1.

        Returns:
            False where no room is left: of a limit of 1, somebody else was first.

        Raises:
            Undecided: The broker did not say so in time.
        """
        self._number += 1
        claim = Claim(self.holder, self._number, units, limit.capacity, limit.ttl_ms)
        verdict = await self._decide(limit, lease_key(limit, owner), claim, others_than="", units=units)
        if verdict is Verdict.UNSURE:
            msg = f"expected the broker to decide on {limit.name} within {self._decide_within_s} s, found no answer"
            raise Undecided(msg)
        return verdict is Verdict.GRANTED

    def room(self, limit: Limit, owner: str) -> Room | None:
        """How much ``spend`` would let in now, as far as the log has been read; None while the log decides nothing."""
        if self._reader is None or not self.is_up:
            return None
        key = lease_key(limit, owner)
        units = limit.capacity - self._reader.units(key, "")
        return Room(max(0, units), self._reader.next_end_s(key))

    async def _decide(self, limit: Limit, key: bytes, claim: Claim, *, others_than: str, units: int) -> Verdict:
        verdict = Verdict.UNSURE
        if self._reader is not None and self.is_up:
            # What the log would refuse anyway is refused without a record of it.
            if self._reader.units(key, others_than) + units > limit.capacity:
                verdict = Verdict.REFUSED
            else:
                verdict = await self._ask(key, claim)
        self._count(limit, verdict)
        return verdict

    async def _ask(self, key: bytes, claim: Claim) -> Verdict:
        asked: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._asked[claim.number] = asked
        self._send(key, claim)
        try:
            async with asyncio.timeout(self._decide_within_s):
                return await asked
        except TimeoutError:
            self._fail(TimeoutError("claim is not decided"))
            return Verdict.UNSURE
        finally:
            del self._asked[claim.number]

    def give_back(self, lease: Lease) -> None:
        """Do what ``lease.release`` says."""
        if self._drop(lease):
            self._send(lease.key, Release(self.holder, lease.number))

    def _keep(self, lease: Lease) -> None:
        self._number += 1
        lease.number = self._number
        self._held.setdefault(lease.key, {})[lease.number] = lease
        self._units[lease.key] = self._units_here(lease.key) + lease.units

    def _drop(self, lease: Lease) -> bool:
        """Hold a lease no longer; False where it was not held."""
        held = self._held.get(lease.key, {})
        if held.pop(lease.number, None) is None:
            return False
        self._units[lease.key] -= lease.units
        if not held:
            del self._held[lease.key], self._units[lease.key]
        return True

    def _units_here(self, key: bytes) -> int:
        return self._units.get(key, 0)

    def _count(self, limit: Limit, verdict: Verdict) -> None:
        self._claims.labels(limit.name, verdict.value).inc()

    def _on_verdict(self, key: bytes, claim: Claim, verdict: Verdict) -> None:
        """What the log says of a claim of ours."""
        asked = self._asked.get(claim.number)
        if asked is not None:
            if not asked.done():
                asked.set_result(verdict)
            return
        lease = self._held.get(key, {}).get(claim.number)
        if lease is None or not lease.is_local:
            return
        match verdict:
            case Verdict.GRANTED:
                lease.is_local = False
            case Verdict.REFUSED:
                self._drop(lease)
                self._lost.labels(lease.limit.name).inc()
                # An error of the one who is told must not end the reader.
                asyncio.get_running_loop().call_soon(lease.on_lost)
            case Verdict.UNSURE:
                # It is claimed again when holds are due.
                pass
            case _:
                assert_never(verdict)

    def _on_ended(self, key: bytes, numbers: Sequence[int]) -> None:
        """What we thought to hold had ended."""
        for number in numbers:
            lease = self._held.get(key, {}).get(number)
            if lease is not None:
                lease.is_local = True
                self._claim_again(lease)

    def _claim_again(self, lease: Lease) -> None:
        self._drop(lease)
        self._send(lease.key, Release(self.holder, lease.number))
        self._keep(lease)
        self._send(lease.key, self._claim_of(lease))

    def _claim_of(self, lease: Lease) -> Claim:
        return Claim(self.holder, lease.number, lease.units, lease.limit.capacity, lease.limit.ttl_ms)

    def _send(self, key: bytes, record: LeaseRecord) -> None:
        # While nobody is there to send it, what is held is said when somebody is.
        if self._reader is not None:
            self._outbox.append((key, record))
            self._changed.set()

    def _fail(self, error: BaseException) -> None:
        if self.is_up:
            _log.warning("leases are not decided by the log error=%r", error)
        self._failed_ms = self._clock.now_ms()

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                async with self._connected() as (producer, reader):
                    await self._tell(producer, reader)
            except (KafkaError, BadTopic, TopicMissing, TimeoutError) as error:
                _log.warning("leases are held without the log, trying again error=%r", error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_RETRY_S):
                        await self._stopping.wait()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[AIOKafkaProducer, LedgerReader]]:
        await require_topic(self._settings, LEASES)
        # A claim counts when it is read back, which it is once the replicas of the partition have it.
        producer = await start_producer(self._settings.bootstrap, given_up_after_ms=_GIVEN_UP_AFTER_MS)
        reader = LedgerReader(self._settings, self._clock, self.holder, self._on_verdict, self._on_ended)
        try:
            try:
                await reader.start()
                self._outbox.clear()
                self._reader = reader
                yield producer, reader
            finally:
                self._reader = None
                await reader.stop()
        finally:
            await waited_out(producer.stop())

    async def _tell(self, producer: AIOKafkaProducer, reader: LedgerReader) -> None:
        clock_s = asyncio.get_running_loop().time
        reading = asyncio.create_task(reader.closed(), name="closed leases")
        try:
            due_s = clock_s()
            reading.add_done_callback(lambda _: self._changed.set())
            while not self._stopping.is_set() and not reading.done():
                if clock_s() >= due_s:
                    self._hold_all()
                    due_s = clock_s() + self._every_s
                await self._write(producer)
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(due_s):
                        await self._changed.wait()
                self._changed.clear()
            if reading.done():
                reading.result()
            for lease in [lease for held in self._held.values() for lease in held.values()]:
                lease.release()
            await self._write(producer)
            await producer.flush()
        finally:
            reading.cancel()

    def _hold_all(self) -> None:
        for key, held in list(self._held.items()):
            granted = [lease for lease in held.values() if not lease.is_local]
            if granted:
                leases = tuple((lease.number, lease.units) for lease in granted)
                self._send(key, Hold(self.holder, leases, granted[0].limit.ttl_ms))
            for lease in [lease for lease in held.values() if lease.is_local and lease.number not in self._asked]:
                self._claim_again(lease)

    async def _write(self, producer: AIOKafkaProducer) -> None:
        name = topic_name(self._settings, LEASES)
        while self._outbox:
            key, record = self._outbox.popleft()
            partition = partition_of(key, self._partitions)
            try:
                sent = await producer.send(name, encode_lease(record), key=key, partition=partition)
            except KafkaError as error:
                self._fail(error)
            else:
                sent.add_done_callback(self._on_sent)

    def _on_sent(self, sent: asyncio.Future[object]) -> None:
        if not sent.cancelled() and (error := sent.exception()) is not None:
            self._fail(error)
