"""Sockets of a user at several replicas ask as they like: no second has too many, nothing that was let in is lost."""

from __future__ import annotations

import asyncio
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from api.dialects.bitfinex.calc_lanes import CalcLanes
from api.dialects.bitfinex.calc_requests import Calculation
from tests.support.lease_log import LeaseLog
from tests.support.virtual_loop import run_in_no_time

PER_S, WAITING = 8, 60
AWAY_S = (0.001, 0.007, 0.03)
STEPS = 30
SUBJECTS = 40
PAUSES_S = (0.0, 0.0, 0.001, 0.02, 0.3, 1.0, 1.1)
USER = "alice"


class Socket:
    """One that asks, and counts what was let in of it and what was answered; ``gave_up`` where it lost some later."""

    def __init__(self, lanes: CalcLanes, done_s: list[float]) -> None:
        self.lanes = lanes
        self.answered = 0
        self.owed = 0
        self.gave_up = False
        self._done_s = done_s

    def calculate(self, _: Calculation) -> None:
        self.answered += 1
        self._done_s.append(asyncio.get_running_loop().time())

    def tell_left_out(self) -> None:
        self.gave_up = True


async def scene(seed: int) -> None:
    random, log = Random(seed), LeaseLog()
    clock_s = asyncio.get_running_loop().time
    replicas = [CalcLanes(log.replica(away_s), PER_S, WAITING, clock_s) for away_s in AWAY_S]
    done_s: list[float] = []
    subjects = 0
    sockets: list[Socket] = []

    async def ask(socket: Socket, many: int) -> None:
        nonlocal subjects
        # All are different, so that each is calculated for one socket.
        asked = [Calculation("position", f"tS{number}") for number in range(subjects, subjects + many)]
        subjects += many
        socket.owed += many
        left_out = await socket.lanes.ask(USER, socket, asked)
        socket.owed -= left_out

    asking: list[asyncio.Task[None]] = []
    for _ in range(STEPS):
        match random.choice(("enter", "ask", "ask", "ask", "ask", "leave")):
            case "enter":
                sockets.append(Socket(random.choice(replicas), done_s))
                sockets[-1].lanes.enter(USER, sockets[-1])
            case "ask" if sockets:
                asking.append(asyncio.create_task(ask(random.choice(sockets), random.randint(1, 30))))
            case "leave" if sockets:
                gone = sockets.pop(random.randrange(len(sockets)))
                gone.lanes.leave(USER, gone)
            case _:
                pass
        await asyncio.sleep(random.choice(PAUSES_S))
    await asyncio.gather(*asking)
    # Each replica may have all of its places taken, and a second is shared by all.
    await asyncio.sleep(60)
    for socket in sockets:
        assert socket.owed == socket.answered or (socket.gave_up and socket.answered < socket.owed)
    # Replicas hear of what the log grants as late as they are away.
    for earlier_s, later_s in zip(done_s, done_s[PER_S:], strict=False):
        assert later_s - earlier_s >= 1 - max(AWAY_S)
    for socket in sockets:
        socket.lanes.leave(USER, socket)
    await asyncio.sleep(1)
    # All places are free again.
    last = Socket(replicas[0], done_s)
    last.lanes.enter(USER, last)
    await ask(last, 2 * 30)
    await ask(last, PER_S)
    assert PER_S + WAITING == last.owed
    last.lanes.leave(USER, last)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_however_sockets_come_ask_and_go_no_second_has_too_many_and_nothing_that_was_let_in_is_lost(seed: int) -> None:
    run_in_no_time(scene(seed), 0.001)
