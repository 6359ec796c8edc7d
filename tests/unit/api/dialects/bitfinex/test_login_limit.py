"""Logins of a minute, on a clock that stands while anything works."""

from __future__ import annotations

import asyncio

from api.dialects.bitfinex.login_limit import LoginLimit
from streams.replicas.lease_holder import Leases
from streams.settings import Settings
from tests.support.clocks import LoopClock
from tests.support.lease_log import LeaseLog
from tests.support.virtual_loop import run_in_no_time

PER_MINUTE = 5


def limit(leases: Leases) -> LoginLimit:
    return LoginLimit(leases, "login", PER_MINUTE, asyncio.get_running_loop().time)


def test_a_minute_is_one_over_all_replicas_and_each_owner_has_his_own() -> None:
    async def scene() -> None:
        log = LeaseLog()
        here, there = limit(log.replica(0.001)), limit(log.replica(0.004))
        told = [await one.take("k1") for _ in range(4) for one in (here, there)]
        assert [True] * PER_MINUTE + [False] * 3 == told
        assert await there.take("k2")
        await asyncio.sleep(60)
        assert await here.take("k1")

    run_in_no_time(scene(), 0.001)


def test_who_is_at_his_limit_is_refused_without_a_record() -> None:
    async def scene() -> None:
        log = LeaseLog()
        here = limit(log.replica(0.001))
        told = [await here.take("k1") for _ in range(1_000)]
        assert (PER_MINUTE, PER_MINUTE) == (sum(told), log.records)

    run_in_no_time(scene(), 0.001)


def test_without_a_broker_each_replica_counts_by_itself() -> None:
    async def scene() -> None:
        alone = limit(Leases(Settings(kafka="127.0.0.1:1"), LoopClock(0)))
        told = [await alone.take("k1") for _ in range(PER_MINUTE + 2)]
        assert PER_MINUTE == sum(told)

    run_in_no_time(scene(), 0.001)
