"""Leases over a real broker: several replicas, of which some die, sleep, or are cut off."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaProducer

from models.leases import Limit
from streams.kafka.producer import start_producer
from streams.process.clock import SystemClock
from streams.replicas import lease_holder
from streams.replicas.lease_holder import Lease, Leases, Undecided
from streams.replicas.lease_log import LedgerReader
from tests.support.broker import new_broker, settings_of_a_test
from tests.support.eventually import eventually
from tests.support.leaseholder import leaseholder
from tests.support.records import create_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from streams.settings import Settings
    from streams.settings.kafka_client import Bootstrap

CONNECTIONS = Limit("connections", 10)
# Long enough for holds on a busy machine, short enough to wait for its end.
SHORT = Limit("connections", 3, ttl_ms=2_000)
OFTEN_S = 0.25


class Lost:
    """Counts the leases that were lost."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


@asynccontextmanager
async def replica(settings: Settings, every_s: float = OFTEN_S, decide_within_s: float = 5.0) -> AsyncIterator[Leases]:
    """A replica whose claims are decided by the log."""
    leases = Leases(settings, SystemClock(), every_s, decide_within_s)
    leases.start()
    try:
        await eventually(lambda: leases.is_up)
        yield leases
    finally:
        await leases.stop()
        with suppress(asyncio.CancelledError):
            await leases.closed()


async def kill(leases: Leases) -> None:
    """End a replica before it can give anything back."""
    assert leases._running is not None
    leases._running.cancel()
    await asyncio.wait([leases._running])


async def held(leases: Leases, limit: Limit, owner: str, times: int, lost: Callable[[], None]) -> list[Lease]:
    """What a replica gets when it asks for so many leases at once."""
    asked = await asyncio.gather(*(leases.hold(limit, owner, lost) for _ in range(times)))
    return [lease for lease in asked if lease is not None]


async def test_replicas_that_race_for_the_last_slots_get_all_of_them_and_no_more(
    settings: Callable[..., Settings],
) -> None:
    own, lost = settings(), Lost()
    await create_all(own)
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(replica(own)) for _ in range(4)]
        for owner in ("desk-1", "desk-2"):
            got = await asyncio.gather(*(held(one, CONNECTIONS, owner, 8, lost) for one in replicas))
            assert CONNECTIONS.capacity == sum(map(len, got))
            assert not any(lease.is_local for leases in got for lease in leases)
            # Whoever has none frees none; whoever frees one lets another in, wherever that is.
            next(lease for leases in got for lease in leases).release()

            async def is_let_in(owner: str = owner) -> bool:
                return await replicas[-1].hold(CONNECTIONS, owner, lost) is not None

            await eventually(is_let_in)
            assert [] == await held(replicas[0], CONNECTIONS, owner, 3, lost)
    assert 0 == lost.times


async def test_a_slot_that_is_given_back_is_free_at_once_for_the_same_replica(
    settings: Callable[..., Settings],
) -> None:
    own, lost = settings(), Lost()
    await create_all(own)
    async with replica(own) as one:
        for _ in range(5):
            leases = await held(one, CONNECTIONS, "desk-1", 11, lost)
            assert CONNECTIONS.capacity == len(leases)
            for lease in leases:
                lease.release()
                lease.release()


async def test_a_replica_that_starts_later_and_one_whose_request_was_given_up_keep_to_the_limit(
    settings: Callable[..., Settings],
) -> None:
    own, lost = settings(), Lost()
    await create_all(own)
    async with replica(own) as first:
        leases = await held(first, CONNECTIONS, "desk-1", 9, lost)
        given_up = asyncio.create_task(first.hold(CONNECTIONS, "desk-1", lost))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait([given_up])
        async with replica(own) as later:

            async def gets_the_last() -> bool:
                return 1 == len(await held(later, CONNECTIONS, "desk-1", 3, lost))

            await eventually(gets_the_last)
            assert [] == await held(later, CONNECTIONS, "desk-1", 1, lost)
        leases[0].release()

        async def gets_both() -> bool:
            leases.extend(await held(first, CONNECTIONS, "desk-1", 5, lost))
            return 11 == len(leases)

        await eventually(gets_both)


async def test_leases_of_a_killed_replica_end_by_themselves_and_those_of_others_do_not(
    settings: Callable[..., Settings],
) -> None:
    own, lost = settings(), Lost()
    await create_all(own)
    async with replica(own) as killed, replica(own) as living:
        assert 2 == len(await held(killed, SHORT, "desk-1", 2, lost))
        assert 1 == len(await held(living, SHORT, "desk-1", 3, lost))
        await kill(killed)

        async def takes_its_place() -> bool:
            return await living.hold(SHORT, "desk-1", lost) is not None

        await eventually(takes_its_place)
        await eventually(takes_its_place)
        assert [] == await held(living, SHORT, "desk-1", 1, lost)
    assert 0 == lost.times


async def test_a_replica_that_slept_past_its_leases_loses_those_that_others_took(
    settings: Callable[..., Settings],
) -> None:
    own, lost = settings(), Lost()
    await create_all(own)
    async with leaseholder(own, SHORT, OFTEN_S) as sleeper, replica(own) as other:
        assert 2 == await sleeper.hold("desk-1", 2)
        assert 1 == len(await held(other, SHORT, "desk-1", 3, lost))
        sleeper.process.send_signal(signal.SIGSTOP)

        async def takes_a_place() -> bool:
            return await other.hold(SHORT, "desk-1", lost) is not None

        await eventually(takes_a_place)
        assert 0 == sleeper.lost
        sleeper.process.send_signal(signal.SIGCONT)

        # One place was taken meanwhile, the other one it gets again.
        await eventually(lambda: sleeper.lost == 1)
        assert 0 == await sleeper.hold("desk-1", 1)
        assert [] == await held(other, SHORT, "desk-1", 1, lost)
    assert 0 == lost.times


async def test_of_a_nonce_one_replica_is_first(settings: Callable[..., Settings]) -> None:
    own, nonce = settings(), Limit("nonce", 1, ttl_ms=60_000)
    await create_all(own)
    async with replica(own) as one, replica(own) as two:
        for owner in ("0xa", "0xb", "x" * 1_000):
            told = await asyncio.gather(*(some.spend(nonce, owner) for some in (one, two, one, two)))
            assert [False, False, False, True] == sorted(told)
        assert not await two.spend(nonce, "0xa")


async def test_units_within_a_second_are_bounded_over_replicas_and_come_back(
    settings: Callable[..., Settings],
) -> None:
    own, calculations = settings(), Limit("calculations", 10, ttl_ms=1_000)
    await create_all(own)
    async with replica(own) as one, replica(own) as two:
        told = await asyncio.gather(*(some.spend(calculations, "desk-1", 3) for some in (one, two) * 5))
        assert 3 == sum(told)

        async def is_let_in() -> bool:
            return await two.spend(calculations, "desk-1", 10)

        await eventually(is_let_in)


async def test_without_a_broker_connections_are_let_in_up_to_the_limit_of_a_replica_and_nonces_are_not(
    tmp_path: Path,
) -> None:
    broker, lost, nonce = new_broker(tmp_path), Lost(), Limit("nonce", 1)
    try:
        own = settings_of_a_test(broker.start(), tmp_path)
        await create_all(own)
        async with (
            replica(own, decide_within_s=0.3) as one,
            replica(own, decide_within_s=0.3) as two,
        ):
            granted = await held(one, SHORT, "desk-1", 1, lost)
            assert broker.pid is not None
            os.kill(broker.pid, signal.SIGSTOP)
            for some in (one, two):
                with pytest.raises(Undecided):
                    await some.spend(nonce, "0xa")
            granted += await held(one, SHORT, "desk-1", 5, lost) + await held(two, SHORT, "desk-1", 5, lost)

            assert 2 * SHORT.capacity == len(granted)
            os.kill(broker.pid, signal.SIGCONT)
            await eventually(lambda: lost.times == SHORT.capacity)
            await eventually(lambda: one.is_up and two.is_up)
            assert [] == await held(one, SHORT, "desk-1", 1, lost) + await held(two, SHORT, "desk-1", 1, lost)
            assert SHORT.capacity == lost.times
            assert await one.spend(nonce, "0xb")
    finally:
        broker.kill()


async def test_before_the_broker_was_ever_there_the_same_holds(tmp_path: Path) -> None:
    own, lost = settings_of_a_test("127.0.0.1:1", tmp_path), Lost()
    leases = Leases(own, SystemClock())
    leases.start()
    got = await held(leases, SHORT, "desk-1", 5, lost)
    assert [True] * SHORT.capacity == [lease.is_local for lease in got]
    got[0].release()
    assert 1 == len(await held(leases, SHORT, "desk-1", 5, lost))
    with pytest.raises(Undecided):
        await leases.spend(Limit("nonce", 1), "0xa")
    await leases.stop()
    with suppress(asyncio.CancelledError):
        await leases.closed()


async def test_a_replica_that_is_cut_off_while_it_stops_leaves_no_connection_open(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, producers = settings(), list[AIOKafkaProducer]()
    await create_all(own)

    async def noted(bootstrap: Bootstrap, *, given_up_after_ms: int) -> AIOKafkaProducer:
        producers.append(await start_producer(bootstrap, given_up_after_ms=given_up_after_ms))
        return producers[-1]

    stop_reading, begins_to_stop = LedgerReader.stop, asyncio.Event()

    async def stopped_too_late(reader: LedgerReader) -> None:
        begins_to_stop.set()
        try:
            await asyncio.Event().wait()
        finally:
            await stop_reading(reader)

    monkeypatch.setattr(lease_holder, "start_producer", noted)
    monkeypatch.setattr(LedgerReader, "stop", stopped_too_late)
    async with replica(own) as leases:
        ending = asyncio.create_task(leases.stop())
        await begins_to_stop.wait()
        await ending
        assert leases._running is not None
        await asyncio.wait([leases._running])

    assert [True] == [producer._closed for producer in producers]
