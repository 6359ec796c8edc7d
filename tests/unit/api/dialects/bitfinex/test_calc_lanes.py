"""Calculations of one user on a clock that stands while anything works."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from api.dialects.bitfinex.calc_lanes import CalcLanes
from api.dialects.bitfinex.calc_queue import CalcQueue, Overflows
from api.dialects.bitfinex.calc_requests import Calculation
from streams.replicas.lease_holder import Leases
from streams.settings import Settings
from tests.support.clocks import LoopClock
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import Sequence


def keys(*numbers: int) -> list[Calculation]:
    return [Calculation("position", f"tS{number}") for number in numbers]


class Asker:
    """Notes what it was told to calculate, and when."""

    def __init__(self) -> None:
        self.done: list[tuple[float, Calculation]] = []

    def calculate(self, calculation: Calculation) -> None:
        self.done.append((asyncio.get_running_loop().time(), calculation))

    def order(self) -> list[Calculation]:
        return [one for _, one in self.done]


def lanes() -> CalcLanes:
    """Lanes of a replica that has no broker, so that it counts by itself."""
    leases = Leases(Settings(kafka="127.0.0.1:1"), LoopClock(0))
    return CalcLanes(leases, 8, 60, asyncio.get_running_loop().time)


def most_in_a_second(times_s: Sequence[float]) -> int:
    return max(sum(at <= other < at + 1 - 1e-6 for other in times_s) for at in times_s)


def test_eight_come_at_once_and_the_others_as_the_second_slides_in_the_order_of_their_first_asking() -> None:
    async def scene() -> None:
        made, asker = lanes(), Asker()
        made.enter("alice")
        assert 0 == made.ask("alice", asker, keys(*range(30)))
        assert 0 == made.ask("alice", asker, keys(*range(29, 40), 3))
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
        made.enter("alice")
        assert 0 == made.ask("alice", asker, keys(*range(30)))
        assert 0 == made.ask("alice", asker, keys(*range(30, 60)))
        assert 2 == made.ask("alice", asker, keys(*range(60, 70)))
        # What waits already needs no other place.
        assert 0 == made.ask("alice", asker, keys(*range(30)))
        await asyncio.sleep(30)
        assert keys(*range(68)) == asker.order()
        made.leave("alice", asker)

    run_in_no_time(scene(), 0.001)


def test_sockets_of_one_user_share_a_second_and_other_users_have_their_own() -> None:
    async def scene() -> None:
        made, one, two, other = lanes(), Asker(), Asker(), Asker()
        for user in ("alice", "alice", "bob"):
            made.enter(user)
        made.ask("alice", one, keys(*range(8)))
        made.ask("alice", two, keys(*range(4, 12)))
        made.ask("bob", other, keys(*range(8)))
        await asyncio.sleep(0.5)
        assert keys(*range(8)) == one.order()
        # Both asked for these: they are calculated once, and sent to both.
        assert keys(*range(4, 8)) == two.order()
        assert keys(*range(8)) == other.order()
        made.leave("alice", one)
        await asyncio.sleep(2)
        assert keys(*range(4, 12)) == two.order()
        made.leave("alice", two)
        made.leave("bob", other)

    run_in_no_time(scene(), 0.001)


def test_what_a_socket_waits_for_goes_with_it() -> None:
    queue: CalcQueue[str] = CalcQueue(60)
    queue.add("one", keys(1, 2), 0)
    queue.add("two", keys(2, 3), 0)
    queue.leave("one")
    assert [(keys(2)[0], ["two"]), (keys(3)[0], ["two"])] == queue.take(10)
    assert not queue


def test_the_third_overflow_within_ten_seconds_is_the_last_straw() -> None:
    counted = Overflows()
    told = [counted.is_last_straw(at) for at in (0.0, 4.0, 10.1, 13.9)]
    assert [False, False, False, True] == told
