from __future__ import annotations

import json

import pytest

from api.delivery.outbox import CONTROL_MAX, Flushed, Outbox
from api.delivery.subscription import Subscription, Waiting
from tests.support.replica import Wire

FRAME_BYTES = 65_536


class Counting(Subscription):
    """Says which message of its own this is."""

    def __init__(self, outbox: Outbox, name: str = "sub", size: int = 0) -> None:
        super().__init__(outbox)
        self.name = name
        self.size = size
        self.taken = 0

    def take(self, now_s: float) -> bytes | None:  # noqa: ARG002 - the signature is the subscription's
        self.taken += 1
        return json.dumps({"sub": self.name, "taken": self.taken, "fill": "x" * self.size}).encode()


class Silent(Subscription):
    def take(self, now_s: float) -> bytes | None:  # noqa: ARG002 - the signature is the subscription's
        return None


class DueAgain(Subscription):
    """Is due again each time that it is taken, as a schedule is whose next instant passes during a turn."""

    def __init__(self, outbox: Outbox, message: bytes | None) -> None:
        super().__init__(outbox)
        self.message = message
        self.taken = 0

    def take(self, now_s: float) -> bytes | None:
        self.taken += 1
        assert self.taken < 10, "it is taken without an end"
        self.due_s = now_s + 2.0
        add(self.outbox, self)
        return self.message


class HasMore(DueAgain):
    """Has a message more each time that it is taken, up to so many."""

    def take(self, now_s: float) -> bytes | None:  # noqa: ARG002 - the signature is the subscription's
        self.taken += 1
        if self.taken < 5:
            add(self.outbox, self)
        return self.message


def add(outbox: Outbox, subscription: Subscription) -> None:
    subscription.waiting = Waiting.FOR_THE_SOCKET
    outbox.add(subscription)


def test_what_waits_goes_out_as_one_frame_answers_first() -> None:
    wire = Wire()
    outbox = Outbox(wire)
    add(outbox, Counting(outbox, "a"))
    outbox.put(b'{"type":"ack"}')
    add(outbox, Counting(outbox, "b"))

    assert Flushed.ALL is outbox.flush(0)
    assert 1 == len(wire.frames)
    assert ["ack", "a", "b"] == [message.get("type", message.get("sub")) for message in wire.read()]
    assert 3 == outbox.messages


@pytest.mark.parametrize("message", [b"{}", None])
def test_what_is_due_again_while_it_is_taken_waits_for_the_next_turn(message: bytes | None) -> None:
    outbox = Outbox(Wire())
    again, other = DueAgain(outbox, message), Counting(outbox)
    add(outbox, again)
    add(outbox, other)

    assert Flushed.SOME is outbox.flush(0)
    assert (1, 1) == (again.taken, other.taken)
    assert Flushed.SOME is outbox.flush(0)
    assert (2, 1) == (again.taken, other.taken)


def test_what_has_more_to_say_is_taken_until_the_frame_is_full_and_not_again_once_it_is_silent() -> None:
    outbox = Outbox(Wire())
    more = HasMore(outbox, b"{}")
    add(outbox, more)
    assert Flushed.ALL is outbox.flush(0)
    assert 5 == more.taken

    silent = HasMore(outbox, None)
    add(outbox, silent)
    assert Flushed.SOME is outbox.flush(0)
    assert 2 == silent.taken


def test_a_subscription_that_changes_often_waits_once_and_says_its_newest() -> None:
    wire = Wire()
    outbox = Outbox(wire)
    subscription = Counting(outbox)
    for _ in range(1_000):
        add(outbox, subscription)
    outbox.flush(0)

    assert [1] == [message["taken"] for message in wire.read()]
    assert Waiting.NOT is subscription.waiting


def test_nothing_is_taken_for_a_client_that_does_not_read() -> None:
    wire = Wire()
    wire.reads = False
    outbox = Outbox(wire)
    subscription = Counting(outbox)
    add(outbox, subscription)
    outbox.put(b"{}")

    assert Flushed.BLOCKED is outbox.flush(0)
    assert (0, 2) == (subscription.taken, outbox.control_bytes)
    assert Waiting.FOR_THE_SOCKET is subscription.waiting


def test_a_flush_writes_no_more_than_a_frame_and_the_message_that_fills_it() -> None:
    wire = Wire()
    outbox = Outbox(wire)
    for number in range(10):
        add(outbox, Counting(outbox, str(number), size=20_000))
    flushes = [outbox.flush(0)]
    while flushes[-1] is Flushed.SOME:
        flushes.append(outbox.flush(0))

    assert [Flushed.SOME, Flushed.SOME, Flushed.ALL] == flushes
    assert all(len(frame) < FRAME_BYTES + 21_000 for frame in wire.frames)
    assert list("0123456789") == [message["sub"] for message in wire.read()]


def test_answers_that_fill_a_frame_go_before_what_is_pending() -> None:
    wire = Wire()
    outbox = Outbox(wire)
    add(outbox, Counting(outbox))
    for _ in range(3):
        outbox.put(json.dumps({"type": "ack", "fill": "x" * 40_000}).encode())

    assert Flushed.SOME is outbox.flush(0)
    assert Flushed.ALL is outbox.flush(0)
    assert [2, 2] == [len(json.loads(frame)) for frame in wire.frames]
    assert "sub" == wire.read()[-1]["sub"]


def test_no_frame_is_written_where_nothing_is_to_be_said() -> None:
    wire = Wire()
    outbox = Outbox(wire)
    add(outbox, Silent(outbox))

    assert Flushed.ALL is outbox.flush(0)
    assert [] == list(wire.frames)
    assert 0 == outbox.messages


def test_what_was_discarded_says_nothing() -> None:
    wire = Wire()
    outbox = Outbox(wire)
    subscription = Counting(outbox)
    add(outbox, subscription)
    outbox.discard(subscription)
    outbox.discard(subscription)

    assert Flushed.ALL is outbox.flush(0)
    assert 0 == subscription.taken


@pytest.mark.parametrize(("answers", "is_overfull"), [(CONTROL_MAX, False), (CONTROL_MAX + 1, True)])
def test_answers_have_a_bound(answers: int, *, is_overfull: bool) -> None:
    outbox = Outbox(Wire())
    for _ in range(answers):
        outbox.put(b"{}")

    assert is_overfull is outbox.is_overfull
    assert 2 * answers == outbox.control_bytes
