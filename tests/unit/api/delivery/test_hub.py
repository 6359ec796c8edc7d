from __future__ import annotations

import asyncio
import gc
import weakref
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from api.delivery.hub import Hub
from api.delivery.outbox import CONTROL_MAX, Outbox
from api.delivery.subscription import Subscription
from api.dialects.native.protocol import Close
from tests.support.replica import Wire
from tests.support.virtual_loop import VirtualLoop, run_in_no_time

if TYPE_CHECKING:
    from collections.abc import Callable

SLOW_AFTER_S = 10.0


class Paced(Subscription):
    """Says when it was sent, and is due again an interval later."""

    __slots__ = ("__weakref__", "interval_s", "sent_s", "size")

    def __init__(self, outbox: Outbox, interval_s: float = 0.0, size: int = 0) -> None:
        super().__init__(outbox)
        self.interval_s = interval_s
        self.size = size
        self.sent_s: list[float] = []

    def take(self, now_s: float) -> bytes | None:
        self.sent_s.append(now_s)
        self.due_s = now_s + self.interval_s
        return b'{"fill":"%b"}' % (b"x" * self.size)


class Repeating(Paced):
    """Is due again an interval later, whether anything changed or not."""

    __slots__ = ("hub",)

    def __init__(self, hub: Hub, outbox: Outbox, interval_s: float) -> None:
        super().__init__(outbox, interval_s)
        self.hub = hub

    def take(self, now_s: float) -> bytes | None:
        said = super().take(now_s)
        self.hub.at(self, now_s + self.interval_s)
        return said


class Faulty(Subscription):
    def take(self, now_s: float) -> bytes | None:  # noqa: ARG002 - the signature is the subscription's
        msg = "a fault of the test"
        raise ZeroDivisionError(msg)


def connect() -> tuple[Wire, Outbox]:
    wire = Wire()
    return wire, Outbox(wire)


async def turn() -> None:
    await asyncio.sleep(0)


def test_a_change_is_said_in_the_next_turn_where_nothing_was_said_before() -> None:
    async def run() -> None:
        hub = Hub()
        wire, outbox = connect()
        subscription = Paced(outbox, 60)
        hub.changed([subscription])
        assert not wire.frames
        await turn()

        assert [0.0] == subscription.sent_s
        assert (1, 1, 0) == (hub.messages, hub.turns, hub.conflated)

    run_in_no_time(run())


@pytest.mark.parametrize("interval_s", [0.0, 0.013, 0.1, 1.0])
def test_no_two_messages_are_nearer_than_the_interval_nor_later_than_a_tick_after_it(interval_s: float) -> None:
    async def run() -> None:
        hub = Hub()
        _, outbox = connect()
        subscription = Paced(outbox, interval_s)
        for _ in range(400):
            hub.changed([subscription])
            await asyncio.sleep(0.007)

        gaps_s = [later - sooner for sooner, later in zip(subscription.sent_s, subscription.sent_s[1:], strict=False)]
        assert min(gaps_s) >= interval_s - 1e-6
        assert max(gaps_s) <= interval_s + 0.01 + 0.007 + 1e-6

    run_in_no_time(run())


def test_a_hub_that_is_overloaded_writes_once_a_second_the_newest_and_as_before_when_it_no_longer_is() -> None:
    async def run() -> None:
        hub = Hub()
        _, outbox = connect()
        subscription = Paced(outbox, 0.0)
        is_overloaded = True
        hub.is_overloaded = lambda: is_overloaded
        for _ in range(400):
            hub.changed([subscription])
            await asyncio.sleep(0.01)
        sent_s = list(subscription.sent_s)
        assert len(sent_s) <= 5
        assert min(later - sooner for sooner, later in pairwise(sent_s)) >= 1 - 1e-6

        is_overloaded = False
        await asyncio.sleep(1)
        hub.changed([subscription])
        await turn()
        assert subscription.sent_s[-1] > sent_s[-1]

    run_in_no_time(run())


class Endless(Paced):
    """Takes a while to be said, and meanwhile another one has changed."""

    __slots__ = ("hub", "other", "takes_s")

    def __init__(self, hub: Hub, outbox: Outbox, takes_s: float) -> None:
        super().__init__(outbox)
        self.hub = hub
        self.other: Subscription = self
        self.takes_s = takes_s

    def take(self, now_s: float) -> bytes | None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.pass_by(self.takes_s)
        said = super().take(now_s)
        self.hub.changed([self.other])
        return said


def endless(hub: Hub, number: int, takes_s: float) -> list[Endless]:
    """Subscriptions of a connection each, of which some always have something to say."""
    made = [Endless(hub, connect()[1], takes_s) for _ in range(number)]
    for one, other in zip(made, made[1:] + made[:1], strict=True):
        one.other = other
    return made


def test_how_long_connections_wait_for_each_other_is_known_also_where_changes_never_end() -> None:
    async def run() -> float:
        hub = Hub()
        hub.changed(endless(hub, 250, takes_s=0.01))
        await asyncio.sleep(10)
        return hub.writes.take()

    assert run_in_no_time(run()) == pytest.approx(2.5, abs=1.1)


def test_a_hub_that_is_overloaded_writes_once_a_second_also_where_changes_never_end() -> None:
    async def run() -> list[float]:
        hub = Hub()
        hub.is_overloaded = lambda: True
        subscriptions = endless(hub, 10, takes_s=0.001)
        hub.changed(subscriptions)
        await asyncio.sleep(10.5)
        return sorted({sent_s for one in subscriptions for sent_s in one.sent_s})

    turns_s = run_in_no_time(run())
    assert 10 == len(turns_s)
    assert min(later - sooner for sooner, later in pairwise(turns_s)) >= 1 - 1e-6


def test_what_changes_within_the_interval_is_said_once() -> None:
    async def run() -> None:
        hub = Hub()
        _, outbox = connect()
        subscription = Paced(outbox, 0.1)
        for _ in range(50):
            hub.changed([subscription])
            await asyncio.sleep(0.001)
        await asyncio.sleep(1)

        assert 2 == len(subscription.sent_s)
        assert 48 == hub.conflated

    run_in_no_time(run())


def test_what_is_urgent_does_not_wait_and_is_not_said_again_when_its_time_comes() -> None:
    async def run() -> None:
        hub = Hub()
        _, outbox = connect()
        subscription = Paced(outbox, 60)
        hub.changed([subscription])
        await turn()
        hub.changed([subscription])
        await asyncio.sleep(1)
        hub.changed([subscription], urgent=True)
        await asyncio.sleep(200)

        assert [0.0, 1.0] == subscription.sent_s

    run_in_no_time(run())


def test_a_change_after_an_urgent_one_waits_its_whole_interval() -> None:
    async def run() -> None:
        hub = Hub()
        _, outbox = connect()
        subscription = Paced(outbox, 60)
        hub.changed([subscription])
        await turn()
        hub.changed([subscription])
        await asyncio.sleep(30)
        hub.changed([subscription], urgent=True)
        await turn()
        hub.changed([subscription])
        await asyncio.sleep(200)

        assert [0.0, 30.0, pytest.approx(90.0, abs=0.02)] == subscription.sent_s

    run_in_no_time(run())


def test_one_that_repeats_keeps_its_pace_for_hours() -> None:
    async def run() -> None:
        hub = Hub()
        _, outbox = connect()
        subscription = Repeating(hub, outbox, 5.0)
        hub.at(subscription, 5.0)
        await asyncio.sleep(7_200)

        assert 1_430 < len(subscription.sent_s) <= 1_440

    run_in_no_time(run())


def test_one_that_is_moved_to_another_time_is_said_then_and_only_then() -> None:
    async def run() -> None:
        hub = Hub()
        _, outbox = connect()
        subscription = Paced(outbox)
        for at_s in (5.0, 1.0, 9.0, 3.0):
            hub.at(subscription, at_s)
        await asyncio.sleep(20)

        assert [pytest.approx(3.0, abs=0.02)] == subscription.sent_s

    run_in_no_time(run())


def test_every_time_of_the_clock_comes() -> None:
    """A time that is a whole tick but for its last bit is neither lost nor late."""

    async def run() -> None:
        hub = Hub()
        _, outbox = connect()
        subscriptions = [Paced(outbox) for _ in range(3_000)]
        for number, subscription in enumerate(subscriptions, 1):
            hub.at(subscription, number * 0.01)
        await asyncio.sleep(40)

        late_s = [subscription.sent_s[0] - number * 0.01 for number, subscription in enumerate(subscriptions, 1)]
        assert min(late_s) >= -1e-6
        assert max(late_s) <= 0.02

    run_in_no_time(run())


def test_one_that_was_forgotten_while_it_waited_says_nothing_and_is_not_kept() -> None:
    async def run() -> None:
        hub = Hub()
        wire, outbox = connect()
        waiting, pending = Paced(outbox), Paced(outbox)
        hub.at(waiting, 60)
        hub.changed([pending])
        hub.forget(waiting)
        hub.forget(pending)
        gone = weakref.ref(waiting)
        del waiting
        gc.collect()
        assert gone() is None
        await asyncio.sleep(100)

        assert not pending.sent_s
        assert not wire.frames

    run_in_no_time(run())


def test_one_that_was_forgotten_may_come_again() -> None:
    async def run() -> None:
        hub = Hub()
        _, outbox = connect()
        subscription = Paced(outbox)
        hub.at(subscription, 5)
        hub.forget(subscription)
        hub.at(subscription, 8)
        await asyncio.sleep(20)

        assert [pytest.approx(8.0, abs=0.02)] == subscription.sent_s

    run_in_no_time(run())


def test_a_client_that_stops_reading_gets_the_newest_when_it_reads_again() -> None:
    async def run() -> None:
        hub = Hub()
        wire, outbox = connect()
        subscription = Paced(outbox)
        wire.reads = False
        for _ in range(80):
            hub.changed([subscription])
            await asyncio.sleep(0.1)
        await turn()
        assert 1 == hub.blocked
        assert not subscription.sent_s
        wire.reads = True
        await asyncio.sleep(0.1)

        assert 1 == len(subscription.sent_s)
        assert (0, 0, None) == (hub.blocked, hub.slow_closes, wire.close_code)

    run_in_no_time(run())


def test_pauses_of_a_client_do_not_add_up() -> None:
    async def run() -> None:
        hub = Hub()
        wire, outbox = connect()
        subscription = Paced(outbox)
        for _ in range(5):
            wire.reads = False
            hub.changed([subscription])
            await asyncio.sleep(SLOW_AFTER_S - 1)
            wire.reads = True
            await asyncio.sleep(0.1)

        assert 5 == len(subscription.sent_s)
        assert wire.close_code is None

    run_in_no_time(run())


def test_a_client_that_does_not_read_is_closed_after_the_bound_and_not_before() -> None:
    async def run() -> None:
        hub = Hub()
        wire, outbox = connect()
        wire.reads = False
        hub.changed([Paced(outbox)])
        await asyncio.sleep(SLOW_AFTER_S - 0.1)
        assert wire.close_code is None
        await asyncio.sleep(0.3)

        assert Close.SLOW == wire.close_code
        assert (1, 0) == (hub.slow_closes, hub.blocked)

    run_in_no_time(run())


def test_a_client_that_asks_and_does_not_read_the_answers_is_closed() -> None:
    async def run() -> None:
        hub = Hub()
        wire, outbox = connect()
        wire.reads = False
        for _ in range(CONTROL_MAX):
            hub.say(outbox, b"{}")
        await turn()
        assert 2 * CONTROL_MAX == hub.control_bytes
        assert wire.close_code is None
        hub.say(outbox, b"{}")

        assert Close.SLOW == wire.close_code
        assert 0 == hub.control_bytes

    run_in_no_time(run())


def test_a_client_that_asks_much_at_once_and_reads_is_answered() -> None:
    async def run() -> None:
        hub = Hub()
        wire, outbox = connect()
        for _ in range(2 * CONTROL_MAX):
            hub.say(outbox, b"{}")
        await turn()

        assert 2 * CONTROL_MAX == len(wire.read())
        assert wire.close_code is None

    run_in_no_time(run())


def test_answers_that_wait_leave_before_the_close() -> None:
    async def run() -> None:
        hub = Hub()
        (wire, outbox), (deaf, deaf_outbox) = connect(), connect()
        deaf.reads = False
        for closing in (outbox, deaf_outbox):
            hub.changed([Paced(closing)])
            hub.say(closing, b'{"type":"goodbye"}')
            hub.close(closing, 1012, b"restart")
        await asyncio.sleep(1)

        assert [{"type": "goodbye"}] == wire.read()
        assert (1012, 1012, 0) == (wire.close_code, deaf.close_code, len(deaf.frames))
        assert 1 == hub.messages

    run_in_no_time(run())


def test_a_connection_with_much_to_say_does_not_hold_up_others_for_more_than_a_turn() -> None:
    async def run() -> None:
        hub = Hub()
        wire, outbox = connect()
        hub.changed([Paced(outbox, size=2_000) for _ in range(1_000)])
        await turn()
        assert 1 == len(wire.frames)
        other_wire, other_outbox = connect()
        hub.changed([Paced(other_outbox)])
        await turn()

        assert 1 == len(other_wire.frames)
        assert 2 == len(wire.frames)
        await asyncio.sleep(1)
        assert 1_000 == len(wire.read())

    run_in_no_time(run())


def test_many_connections_are_written_to_some_a_turn_so_that_others_run_in_between() -> None:
    async def run() -> None:
        hub = Hub()
        connections = [connect() for _ in range(1_000)]
        hub.changed([Paced(outbox) for _, outbox in connections])
        written: list[int] = []
        while not written or written[-1] < 1_000:
            await turn()
            written.append(sum(len(wire.frames) for wire, _ in connections))

        assert list(range(100, 1_001, 100)) == written

    run_in_no_time(run())


def test_a_fault_closes_its_own_connection_and_no_other() -> None:
    async def run() -> None:
        faults: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        hub = Hub()
        before, faulty, after = connect(), connect(), connect()
        subscriptions = [Paced(before[1]), Faulty(faulty[1]), Paced(after[1])]
        hub.changed(subscriptions)
        await turn()
        await turn()
        assert (1, 1) == (len(before[0].frames), len(after[0].frames))
        hub.changed(subscriptions)
        await asyncio.sleep(1)

        assert (1011, None, None) == (faulty[0].close_code, before[0].close_code, after[0].close_code)
        assert (2, 2) == (len(before[0].frames), len(after[0].frames))
        assert ["a fault of the test"] == [str(fault["exception"]) for fault in faults]

    run_in_no_time(run())


@pytest.mark.parametrize("say", [Hub.say, lambda hub, outbox, _: hub.changed([Paced(outbox)])])
def test_nothing_is_written_to_a_connection_that_closes_or_has_left(say: Callable[[Hub, Outbox, bytes], None]) -> None:
    async def run() -> None:
        hub = Hub()
        wire, outbox = connect()
        say(hub, outbox, b"{}")
        hub.leave(outbox)
        await asyncio.sleep(1)
        wire.close(1000)
        say(hub, outbox, b"{}")
        await asyncio.sleep(1)

        assert not wire.frames

    run_in_no_time(run())
