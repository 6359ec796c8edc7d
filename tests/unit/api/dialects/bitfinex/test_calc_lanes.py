"""Calculations of one user on a clock that stands while anything works."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from api.dialects.bitfinex.calc_lanes import CalcLanes
from api.dialects.bitfinex.calc_requests import Calculation
from streams.replicas.lease_holder import Leases
from streams.settings import Settings
from tests.support.clocks import LoopClock
from tests.support.lease_log import LeaseLog
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import Sequence

PER_S = 8
WAITING = 60
# The nearer replica has a whole ms of advantage in each race, in the log's own unit of time.
NEAR_S, FAR_S = 0.001, 0.004


def keys(*numbers: int) -> list[Calculation]:
    return [Calculation("position", f"tS{number}") for number in numbers]


class Asker:
    """Notes what it was told to calculate, and when."""

    def __init__(self) -> None:
        self.done: list[tuple[float, Calculation]] = []
        self.left_out = 0

    def calculate(self, calculation: Calculation) -> None:
        self.done.append((asyncio.get_running_loop().time(), calculation))

    def tell_left_out(self) -> None:
        self.left_out += 1

    def order(self) -> list[Calculation]:
        return [one for _, one in self.done]


def lanes(leases: Leases | None = None) -> CalcLanes:
    """Lanes of a replica; without leases of one that has no broker, so that it counts by itself."""
    alone = Leases(Settings(kafka="127.0.0.1:1"), LoopClock(0))
    return CalcLanes(leases or alone, PER_S, WAITING, asyncio.get_running_loop().time)


def most_in_a_second(times_s: Sequence[float]) -> int:
    return max(sum(at <= other < at + 1 - 1e-6 for other in times_s) for at in times_s)


def test_eight_come_at_once_and_the_others_as_the_second_slides_in_the_order_of_their_first_asking() -> None:
    async def scene() -> None:
        made, asker = lanes(), Asker()
        made.enter("alice", asker)
        assert 0 == await made.ask("alice", asker, keys(*range(30)))
        assert 0 == await made.ask("alice", asker, keys(*range(29, 40), 3))
        await asyncio.sleep(0.5)
        assert keys(*range(8)) == asker.order()
        await asyncio.sleep(10)
        assert keys(*range(40)) == asker.order()
        assert 8 == most_in_a_second([at for at, _ in asker.done])
        assert asker.done[-1][0] <= 4.2
        made.leave("alice", asker)

    run_in_no_time(scene(), 0.001)


def test_60_wait_beyond_those_of_this_second_and_no_more() -> None:
    async def scene() -> None:
        made, asker = lanes(), Asker()
        made.enter("alice", asker)
        assert 0 == await made.ask("alice", asker, keys(*range(30)))
        assert 0 == await made.ask("alice", asker, keys(*range(30, 60)))
        assert 2 == await made.ask("alice", asker, keys(*range(60, 70)))
        # What waits already needs no other place.
        assert 0 == await made.ask("alice", asker, keys(*range(30)))
        await asyncio.sleep(30)
        assert keys(*range(68)) == asker.order()
        made.leave("alice", asker)

    run_in_no_time(scene(), 0.001)


def test_sockets_of_one_user_share_a_second_and_other_users_have_their_own() -> None:
    async def scene() -> None:
        made, one, two, other = lanes(), Asker(), Asker(), Asker()
        for user, asker in (("alice", one), ("alice", two), ("bob", other)):
            made.enter(user, asker)
        await asyncio.gather(
            made.ask("alice", one, keys(*range(6))),
            made.ask("alice", two, keys(*range(4, 12))),
            made.ask("bob", other, keys(*range(8))),
        )
        await asyncio.sleep(0.5)
        # Both asked for 4 and 5: these are calculated once, and sent to both.
        assert PER_S == len(set(one.order() + two.order()))
        assert keys(*range(8)) == other.order()
        await asyncio.sleep(2)
        assert keys(*range(6)) == sorted(one.order())
        assert set(keys(*range(4, 12))) == set(two.order())
        made.leave("alice", two)
        made.leave("alice", one)
        made.leave("bob", other)

    run_in_no_time(scene(), 0.001)


def test_a_socket_that_floods_leaves_his_other_sockets_their_part_and_is_told_what_it_lost() -> None:
    async def scene() -> None:
        made, flood, calm = lanes(), Asker(), Asker()
        made.enter("alice", flood)
        made.enter("alice", calm)
        for first in range(0, 90, 30):
            await made.ask("alice", flood, keys(*range(first, first + 30)))
        assert 0 == await made.ask("alice", calm, keys(*range(100, 130)))
        assert 1 == flood.left_out
        await asyncio.sleep(0.5)
        # Half of the second's eight are the calm one's.
        assert keys(*range(100, 104)) == calm.order()
        await asyncio.sleep(30)
        assert keys(*range(100, 130)) == calm.order()
        made.leave("alice", calm)
        made.leave("alice", flood)

    run_in_no_time(scene(), 0.001)


def test_a_user_has_eight_in_any_second_over_two_replicas_and_all_that_was_let_in_is_answered() -> None:
    async def scene() -> None:
        log = LeaseLog()
        here, there = lanes(log.replica(NEAR_S)), lanes(log.replica(FAR_S))
        one, two, other = Asker(), Asker(), Asker()
        here.enter("alice", one)
        there.enter("alice", two)
        there.enter("bob", other)
        asked = await asyncio.gather(
            here.ask("alice", one, keys(*range(24))),
            there.ask("alice", two, keys(*range(30, 54))),
            there.ask("bob", other, keys(*range(8))),
        )
        assert not any(asked)
        await asyncio.sleep(0.2)
        assert keys(*range(8)) == other.order()
        await asyncio.sleep(20)
        assert keys(*range(24)) == one.order()
        assert keys(*range(30, 54)) == two.order()
        times_s = sorted(at for asker in (one, two) for at, _ in asker.done)
        # Each hears of its grant as late as it is away, and the log counts.
        later_s = [later - earlier for earlier, later in zip(times_s, times_s[PER_S:], strict=False)]
        assert min(later_s) >= 1 - FAR_S
        # A full second is followed by the next within what racing for it takes.
        assert times_s[-1] < 6.3
        here.leave("alice", one)
        there.leave("alice", two)
        there.leave("bob", other)

    run_in_no_time(scene(), 0.001)


def test_what_another_replica_takes_of_the_second_while_a_message_is_let_in_costs_it_no_place() -> None:
    async def scene() -> None:
        log = LeaseLog()
        near, far = lanes(log.replica(NEAR_S)), lanes(log.replica(10 * FAR_S))
        one, two = Asker(), Asker()
        near.enter("alice", one)
        far.enter("alice", two)
        asked = await asyncio.gather(
            far.ask("alice", two, keys(*range(30, 54))), near.ask("alice", one, keys(*range(PER_S)))
        )
        assert not any(asked)
        await asyncio.sleep(20)
        assert keys(*range(30, 54)) == two.order()
        near.leave("alice", one)
        far.leave("alice", two)

    run_in_no_time(scene(), 0.001)


def test_places_to_wait_are_counted_over_replicas_but_each_has_a_seconds_worth_of_its_own() -> None:
    async def scene() -> None:
        log = LeaseLog()
        here, there = lanes(log.replica(NEAR_S)), lanes(log.replica(FAR_S))
        flood, calm = Asker(), Asker()
        here.enter("alice", flood)
        there.enter("alice", calm)
        left_out = [await here.ask("alice", flood, keys(*range(first, first + 30))) for first in (0, 30, 60)]
        assert [0, 0, 90 - PER_S - WAITING] == left_out
        assert 12 == await there.ask("alice", calm, keys(*range(100, 100 + PER_S + 12)))
        await asyncio.sleep(20)
        assert keys(*range(68)) == flood.order()
        # Once nothing waits, the places are the other's.
        assert 0 == await there.ask("alice", calm, keys(*range(200, 230)))
        assert 0 == await there.ask("alice", calm, keys(*range(230, 260)))
        here.leave("alice", flood)
        there.leave("alice", calm)
        # Those who went have given theirs back.
        await asyncio.sleep(2)
        here.enter("alice", flood)
        assert 0 == await here.ask("alice", flood, keys(*range(68)))
        here.leave("alice", flood)

    run_in_no_time(scene(), 0.001)


def test_a_flood_at_the_replica_next_to_the_broker_leaves_a_socket_at_a_far_one_its_part_of_each_second() -> None:
    async def scene() -> None:
        log = LeaseLog()
        near, far = lanes(log.replica(NEAR_S)), lanes(log.replica(FAR_S))
        flood, calm = Asker(), Asker()
        near.enter("alice", flood)
        far.enter("alice", calm)
        answered = []
        for second in range(12):
            await near.ask("alice", flood, keys(*range(30)))
            before = len(calm.done)
            await far.ask("alice", calm, keys(100 + 2 * second, 101 + 2 * second))
            await asyncio.sleep(1.2)
            answered.append(len(calm.done) - before)
        assert [2] * 12 == answered
        near.leave("alice", flood)
        far.leave("alice", calm)

    run_in_no_time(scene(), 0.001)


def test_a_socket_that_left_while_it_was_let_in_is_calculated_nothing_and_keeps_no_place() -> None:
    async def scene() -> None:
        log = LeaseLog()
        made, gone, other = lanes(log.replica(FAR_S)), Asker(), Asker()
        made.enter("alice", gone)
        asking = asyncio.create_task(made.ask("alice", gone, keys(*range(40))))
        await asyncio.sleep(FAR_S / 2)
        made.leave("alice", gone)
        assert 0 == await asking
        await asyncio.sleep(2)
        assert not gone.done
        made.enter("alice", other)
        assert 0 == await made.ask("alice", other, keys(*range(68)))
        made.leave("alice", other)

    run_in_no_time(scene(), 0.001)


def test_places_that_were_taken_for_who_is_turned_out_meanwhile_are_free_again() -> None:
    async def scene() -> None:
        log = LeaseLog()
        slow, other = lanes(log.replica(0.05)), lanes(log.replica(0.05))
        turned_out, asker = Asker(), Asker()
        slow.enter("alice", turned_out)
        asking = asyncio.create_task(slow.ask("alice", turned_out, keys(*range(PER_S + WAITING))))
        await asyncio.sleep(0.25)
        slow.leave("alice", turned_out)
        asking.cancel()
        await asyncio.sleep(1)
        other.enter("alice", asker)
        assert 0 == await other.ask("alice", asker, keys(*range(PER_S + WAITING)))
        other.leave("alice", asker)

    run_in_no_time(scene(), 0.001)
