from __future__ import annotations

import asyncio

from api.delivery.liveness import Liveness
from tests.support.virtual_loop import run_in_no_time


class Peer:
    """A client that answers pings after a time, or never."""

    def __init__(self, answers_after_s: float | None) -> None:
        self.answers_after_s = answers_after_s
        self.pinged_s: list[float] = []
        self.cut_s: list[float] = []
        self._loop = asyncio.get_running_loop()
        self.liveness = Liveness(self._ping, self._cut, ping_s=30.0, pong_s=10.0)

    def _ping(self) -> None:
        self.pinged_s.append(self._loop.time())
        if self.answers_after_s is not None:
            self._loop.call_later(self.answers_after_s, self.liveness.heard)

    def _cut(self) -> None:
        self.cut_s.append(self._loop.time())


def test_who_never_answers_is_cut_40_seconds_after_it_came() -> None:
    async def scene() -> None:
        peer = Peer(None)
        await asyncio.sleep(1_000)
        assert ([30.0], [40.0]) == (peer.pinged_s, peer.cut_s)

    run_in_no_time(scene())


def test_who_answers_in_time_is_pinged_every_30_seconds_however_late_it_answers() -> None:
    async def scene() -> None:
        peer = Peer(9.0)
        await asyncio.sleep(130)
        assert ([30.0, 60.0, 90.0, 120.0], []) == (peer.pinged_s, peer.cut_s)
        peer.liveness.stop()
        await asyncio.sleep(1_000)
        assert not peer.cut_s

    run_in_no_time(scene())


def test_who_stops_to_answer_is_cut_10_seconds_after_the_ping() -> None:
    async def scene() -> None:
        peer = Peer(1.0)
        await asyncio.sleep(70)
        peer.answers_after_s = None
        await asyncio.sleep(1_000)
        assert ([30.0, 60.0, 90.0], [100.0]) == (peer.pinged_s, peer.cut_s)

    run_in_no_time(scene())


def test_a_pong_that_nobody_asked_for_changes_nothing() -> None:
    async def scene() -> None:
        peer = Peer(None)
        peer.liveness.heard()
        await asyncio.sleep(35)
        peer.liveness.stop()
        peer.liveness.heard()
        assert [30.0] == peer.pinged_s

    run_in_no_time(scene())
