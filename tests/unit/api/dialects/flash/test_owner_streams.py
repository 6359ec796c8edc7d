"""What sockets of owners are sent and when, on a clock that stands while anything works."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

from api.delivery.hub import Hub
from api.delivery.outbox import Outbox
from api.dialects.flash.owner_streams import GRACE_S, BasketFrame, OwnerId, OwnerStreams
from api.dialects.native.socket import NATIVE
from tests.support.replica import Wire
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from api.dialects.flash.owner_streams import OwnerSocket

ONE_BY_ONE = replace(NATIVE, batches=False)
OWNER = OwnerId("owner", is_hidden=False)


class Frames:
    """Baskets that the test says: the names of markets with a position; None while nothing is known."""

    def __init__(self, *markets: str) -> None:
        self.markets: tuple[str, ...] | None = markets
        self.is_absent = False
        self.is_whole = True
        self.made: Counter[str] = Counter()
        self._loop = asyncio.get_running_loop()

    def basket(self, of: OwnerId) -> BasketFrame | None:  # noqa: ARG002 - it knows one owner
        self.made["basket"] += 1
        if self.markets is None:
            return None
        figures = self._figures()
        return BasketFrame(
            json.dumps({"type": "basket", "data": {"positionMetrics": figures}}).encode(),
            (self.markets, self.is_whole),
            self.is_whole,
        )

    def metrics(self, of: OwnerId) -> bytes | None:  # noqa: ARG002 - it knows one owner
        self.made["metrics"] += 1
        if self.markets is None or self.is_absent:
            return None
        return json.dumps({"type": "metrics", "data": self._figures()}).encode()

    def _figures(self) -> dict[str, float]:
        return dict.fromkeys(self.markets or (), round(self._loop.time(), 3))


class Stage:
    """Streams, and clients whose frames are kept with their times."""

    def __init__(self, *markets: str) -> None:
        self.frames = Frames(*markets)
        self.hub = Hub()
        self.working: list[str] = []
        self.late_s: list[float] = []
        self.streams = OwnerStreams(
            self.frames,
            self.hub,
            watch=self.working.append,
            unwatch=self.working.remove,
            on_late=self.late_s.append,
        )

    def join(self, interval_s: float = 1.0, of: OwnerId = OWNER) -> tuple[Wire, OwnerSocket]:
        wire = Wire()
        wire.dialect = ONE_BY_ONE
        return wire, self.streams.join(of, Outbox(wire), interval_s)

    def change(self, *markets: str) -> None:
        self.frames.markets = markets
        self.streams.basket_changed(OWNER.owner)


def heard(wire: Wire) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in wire.frames]


def kinds(wire: Wire) -> list[str]:
    return [frame["type"] for frame in heard(wire)]


def virtually(scene: Coroutine[Any, Any, None]) -> None:
    run_in_no_time(scene, 0.001)


def test_the_basket_comes_first_and_then_all_metrics_each_interval_whether_they_differ_or_not() -> None:
    async def scene() -> None:
        stage = Stage("SOL")
        wire, _ = stage.join()
        await asyncio.sleep(3.5)
        assert ["basket", "metrics", "metrics", "metrics"] == kinds(wire)
        assert [1, 2, 3] == [round(frame["data"]["SOL"]) for frame in heard(wire)[1:]]

    virtually(scene())


def test_nothing_is_sent_before_a_basket_is_known_and_it_is_sent_once_it_is() -> None:
    async def scene() -> None:
        stage = Stage()
        stage.frames.markets = None
        wire, _ = stage.join()
        await asyncio.sleep(2.5)
        assert [] == kinds(wire)
        stage.frames.markets = ("SOL",)
        stage.streams.show_all()
        await asyncio.sleep(0.05)
        assert ["basket"] == kinds(wire)

    virtually(scene())


def test_who_joins_while_a_basket_cannot_be_read_is_not_sent_the_one_of_before() -> None:
    async def scene() -> None:
        stage = Stage("SOL")
        first, _ = stage.join(0.5)
        await asyncio.sleep(1.2)
        assert ["basket", "metrics", "metrics"] == kinds(first)
        stage.frames.markets = None
        stage.streams.basket_changed(OWNER.owner)
        second, _ = stage.join(0.5)
        await asyncio.sleep(5)
        assert [] == kinds(second)
        assert ["basket", "metrics", "metrics"] == kinds(first)
        # The same basket is read again: who has it needs no other, and goes on.
        stage.change("SOL")
        await asyncio.sleep(1.2)
        assert ["basket", "metrics", "metrics"] == kinds(second)
        assert ["basket", *["metrics"] * 4] == kinds(first)

    virtually(scene())


def test_a_basket_that_cannot_be_read_for_a_while_is_sent_anew_where_it_is_another_by_then() -> None:
    async def scene() -> None:
        stage = Stage("SOL")
        wire, _ = stage.join(0.5)
        await asyncio.sleep(0.7)
        stage.frames.markets = None
        stage.streams.basket_changed(OWNER.owner)
        await asyncio.sleep(2)
        stage.change("BTC")
        await asyncio.sleep(0.7)
        assert ["basket", "metrics", "basket", "metrics"] == kinds(wire)
        assert ["BTC"] == list(heard(wire)[-1]["data"])

    virtually(scene())


def test_an_owner_without_a_basket_has_one_frame_and_no_metrics_until_there_is_one() -> None:
    async def scene() -> None:
        stage = Stage()
        stage.frames.is_absent = True
        wire, _ = stage.join()
        await asyncio.sleep(5.5)
        assert ["basket"] == kinds(wire)
        stage.frames.is_absent = False
        stage.change("SOL")
        await asyncio.sleep(1)
        assert ["basket", "basket", "metrics"] == kinds(wire)

    virtually(scene())


def test_all_sockets_of_an_owner_share_one_calculation_at_the_pace_of_the_fastest() -> None:
    async def scene() -> None:
        stage = Stage("SOL")
        slow, _ = stage.join(10.0)
        await asyncio.sleep(0.5)
        fast, leaving = stage.join(0.1)
        others = [stage.join(1.0)[0] for _ in range(3)]
        await asyncio.sleep(2.05)
        made = stage.frames.made["metrics"]
        assert made in {19, 20, 21}
        for wire in (slow, fast, *others):
            assert made == kinds(wire).count("metrics")
        # Without the fastest, the pace is that of the next.
        stage.streams.leave(leaving)
        await asyncio.sleep(5.0)
        assert made + 4 <= stage.frames.made["metrics"] <= made + 6
        assert ["owner"] == stage.working

    virtually(scene())


def test_a_basket_that_changes_all_the_time_is_calculated_ten_times_a_second_and_its_last_state_is_sent() -> None:
    async def scene() -> None:
        stage = Stage("M0")
        wires = [stage.join(10.0)[0] for _ in range(5)]
        began_s = asyncio.get_running_loop().time()
        for number in range(1, 1_000):
            stage.change(f"M{number}")
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.2)
        took_s = asyncio.get_running_loop().time() - began_s
        # Each of those who joined made none of its own.
        assert stage.frames.made["basket"] <= took_s / 0.1 + 2
        for wire in wires:
            assert ["M999"] == list(heard(wire)[-1]["data"]["positionMetrics"])

    virtually(scene())


def test_who_joins_later_is_sent_figures_of_now_and_nobody_else_is_sent_the_basket_again() -> None:
    async def scene() -> None:
        stage = Stage("SOL")
        first, _ = stage.join(10.0)
        await asyncio.sleep(7)
        second, _ = stage.join(10.0)
        await asyncio.sleep(0.2)
        (frame,) = heard(second)
        assert 7 == round(frame["data"]["positionMetrics"]["SOL"])
        assert ["basket"] == kinds(first)

    virtually(scene())


def test_metrics_never_name_a_market_that_the_basket_before_them_did_not_for_random_clients_and_changes() -> None:
    async def scene() -> None:
        for seed in range(8):
            rng, stage = Random(seed), Stage("M0")
            open_: dict[OwnerSocket, Wire] = {}
            ended: list[Wire] = []
            for _ in range(200):
                action = rng.random()
                if action < 0.15 and len(open_) < 5:
                    wire, socket = stage.join(rng.choice((0.1, 0.15, 1.0)))
                    open_[socket] = wire
                elif action < 0.2 and open_:
                    socket = rng.choice(list(open_))
                    stage.streams.leave(socket)
                    ended.append(open_.pop(socket))
                elif action < 0.6:
                    stage.change(*rng.sample(["M0", "M1", "M2", "M3"], rng.randrange(5)))
                elif open_:
                    wire = rng.choice(list(open_.values()))
                    wire.reads = not wire.reads
                await asyncio.sleep(rng.choice((0.0, 0.01, 0.09, 0.2)))
            for wire in (*ended, *open_.values()):
                known: list[str] | None = None
                for frame in heard(wire):
                    if frame["type"] == "basket":
                        known = sorted(frame["data"]["positionMetrics"])
                    else:
                        assert known == sorted(frame["data"])

    virtually(scene())


def test_work_ends_some_seconds_after_the_last_socket_and_goes_on_for_one_that_comes_back() -> None:
    async def scene() -> None:
        stage = Stage("SOL")
        _, socket = stage.join()
        await asyncio.sleep(1.5)
        stage.streams.leave(socket)
        await asyncio.sleep(GRACE_S - 0.1)
        assert ["owner"] == stage.working
        wire, socket = stage.join()
        await asyncio.sleep(2 * GRACE_S)
        assert ["owner"] == stage.working
        assert ["basket", "metrics"] == kinds(wire)[:2]
        stage.streams.leave(socket)
        await asyncio.sleep(GRACE_S + 0.1)
        assert [] == stage.working
        made = stage.frames.made.total()
        await asyncio.sleep(60)
        assert made == stage.frames.made.total()
        assert not stage.streams.owners

    virtually(scene())


def test_what_was_left_out_for_want_of_a_price_is_sent_when_it_has_one() -> None:
    async def scene() -> None:
        stage = Stage("SOL")
        stage.frames.is_whole = False
        wire, _ = stage.join()
        await asyncio.sleep(2.5)
        assert 1 == kinds(wire).count("basket")
        stage.frames.is_whole = True
        await asyncio.sleep(1)
        assert 2 == kinds(wire).count("basket")
        made = stage.frames.made["basket"]
        await asyncio.sleep(5)
        assert made == stage.frames.made["basket"]

    virtually(scene())


def test_what_was_left_out_for_want_of_a_price_keeps_no_metrics_of_other_markets_back() -> None:
    async def scene() -> None:
        stage = Stage("SOL")
        stage.frames.is_whole = False
        stage.join(10.0)
        # From now on a basket is due a little after each tick.
        await asyncio.sleep(0.09)
        wire, _ = stage.join(0.1)
        await asyncio.sleep(3)
        assert kinds(wire).count("metrics") >= 29
        assert stage.frames.made["basket"] <= 35

    virtually(scene())


def test_an_owner_who_may_not_be_read_is_not_worked_on_and_not_told_of_changes() -> None:
    async def scene() -> None:
        stage = Stage()
        stage.frames.is_absent = True
        hidden, socket = stage.join(of=OwnerId("owner", is_hidden=True))
        await asyncio.sleep(0.5)
        assert [] == stage.working == list(stage.streams.owners)
        stage.change("SOL")
        await asyncio.sleep(0.05)
        assert ["basket"] == kinds(hidden)
        stage.streams.leave(socket)
        await asyncio.sleep(GRACE_S + 1)

    virtually(scene())


def test_a_client_that_does_not_read_misses_old_metrics_and_goes_on_with_new_ones() -> None:
    async def scene() -> None:
        stage = Stage("SOL")
        wire, _ = stage.join(0.1)
        await asyncio.sleep(1)
        wire.reads = False
        before = len(wire.frames)
        await asyncio.sleep(5)
        assert before == len(wire.frames)
        wire.reads = True
        await asyncio.sleep(0.1)
        assert 1 <= len(wire.frames) - before <= 3
        assert heard(wire)[-1]["data"]["SOL"] > 5.9

    virtually(scene())
