from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY

from models.errors import BadNumber, BadRecord
from streams.kafka.deadletter import (
    MAX_VALUE_BYTES,
    REPEATS_TOLD_EVERY_MS,
    DeadLetters,
    decode_dead_letter,
    encode_dead_letter,
    form_of,
)
from tests.support.clocks import WallClock

if TYPE_CHECKING:
    from streams.kafka.deadletter import DeadLetter

AT_MS = 1_745_970_800_000


class World:
    """Letters of one process, and its clock."""

    def __init__(self) -> None:
        self.now_ms = AT_MS
        self.letters = DeadLetters(WallClock(lambda: self.now_ms))

    def zero(self, symbol: bytes, offset: int) -> DeadLetter | None:
        error = BadRecord(f"expected mark of v:{symbol.decode()} in (0, 1e15], found 0.00000000")
        return self.letters.refuse("price-ticks", b"{}", error, key=symbol, position=(3, offset))


@pytest.fixture
def world() -> World:
    return World()


def told(letter: DeadLetter | None) -> DeadLetter:
    assert letter is not None
    return letter


def test_a_letter_tells_what_was_refused_where_and_why(world: World) -> None:
    error = BadNumber("expected a number")
    letter = told(world.letters.refuse("topic", b"\xff{", error, key=b"k", position=(3, 17)))

    read = decode_dead_letter(encode_dead_letter(letter))

    assert ("topic", 3, 17, b"k", b"\xff{", 2, "BadNumber", "expected a number", AT_MS, 0) == (
        read.source,
        read.partition,
        read.offset,
        base64.b64decode(read.key or ""),
        base64.b64decode(read.value),
        read.value_bytes,
        read.cause,
        read.reason,
        read.at_ms,
        read.repeats,
    )


def test_a_long_value_is_cut_and_its_length_kept(world: World) -> None:
    letter = told(world.letters.refuse("topic", b"x" * 1_000_000, BadRecord("long")))

    assert (MAX_VALUE_BYTES, 1_000_000) == (len(base64.b64decode(letter.value)), letter.value_bytes)
    assert len(encode_dead_letter(letter)) < 1_000_000


def test_letters_are_counted_by_source_and_cause_and_repeats_beside_them(world: World) -> None:
    labels = {"source": "counted", "cause": "BadRecord"}
    for _ in range(3):
        world.letters.refuse("counted", b"", BadRecord("odd"))

    assert 3.0 == REGISTRY.get_sample_value("tidemark_dead_letters_total", labels)
    assert 2.0 == REGISTRY.get_sample_value("tidemark_dead_letter_repeats_total", labels)


def test_a_symbol_whose_price_stays_0_is_told_once_and_once_an_hour_with_what_was_counted(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    letters = []
    for second in range(2 * 3_600):
        world.now_ms = AT_MS + second * 1_000
        letters.append(world.zero(b"v:OLDUSDT", 100 + second))

    written = [letter for letter in letters if letter is not None]
    assert [(100, 0), (3_700, 3_599)] == [(letter.offset, letter.repeats) for letter in written]
    assert 2 == len([line for line in caplog.messages if "v:OLDUSDT" in line])
    assert "partition=3 offset=100" in caplog.messages[0]


def test_another_key_source_cause_or_reason_is_another_fault(world: World) -> None:
    told(world.zero(b"v:AUSDT", 1))
    told(world.zero(b"v:BUSDT", 2))
    for source, error in (
        ("price-ticks", BadRecord("bid 2 above ask 1")),
        ("price-ticks", BadNumber("bid 2 above ask 1")),
        ("other", BadNumber("bid 2 above ask 1")),
        ("other", BadNumber("bid 3 above ask 1")),
    ):
        assert 0 == told(world.letters.refuse(source, b"", error, key=b"v:AUSDT", position=(0, 3))).repeats


def test_a_fault_is_the_same_at_another_instant_and_another_one_in_another_block(world: World) -> None:
    future = "expected event_ms of v:X at most 60000 ms after it was received at {}, found {}"
    refuse = world.letters.refuse

    told(refuse("price-ticks", b"", BadRecord(future.format(AT_MS, AT_MS + 70_000)), key=b"v:X"))
    assert refuse("price-ticks", b"", BadRecord(future.format(AT_MS + 1_000, AT_MS + 71_000)), key=b"v:X") is None
    told(refuse("chain-blocks", b"", BadRecord("expected a log in block 17280301"), key=b"main"))
    told(refuse("chain-blocks", b"", BadRecord("expected a log in block 17280302"), key=b"main"))


def test_where_the_fault_is_said_what_the_reason_quotes_does_not_matter(world: World) -> None:
    first, second = (
        BadRecord("expected bid <= ask of v:X, found 101.25 > 101.20"),
        BadRecord("expected bid <= ask of v:X, found 103.75 > 102.10"),
    )
    told(world.letters.refuse("price-ticks", b"", first, key=b"v:X", fault=form_of(first)))

    assert form_of(first) == form_of(second)
    assert world.letters.refuse("price-ticks", b"", second, key=b"v:X", fault=form_of(second)) is None
    assert form_of(BadRecord("found -5")) != form_of(BadRecord("found 5")) != form_of(BadRecord("found 15"))


def test_a_clock_that_went_back_tells_a_fault_anew_and_not_never(world: World) -> None:
    told(world.zero(b"v:X", 1))
    world.now_ms -= 10 * REPEATS_TOLD_EVERY_MS

    assert 0 == told(world.zero(b"v:X", 2)).repeats
    assert world.zero(b"v:X", 3) is None


def test_what_is_remembered_of_faults_is_bounded_and_a_fault_that_lasts_is_not_forgotten(world: World) -> None:
    told(world.zero(b"v:LASTS", 0))
    for number in range(20_000):
        told(world.zero(b"v:%d" % number, number))
        if number % 1_000 == 0:
            assert world.zero(b"v:LASTS", number) is None

    assert len(world.letters._told) <= 4_096


def test_a_letter_of_before_repeats_were_counted_is_read() -> None:
    sent = (
        b'{"kind":"dead-letter","source":"t","partition":1,"offset":2,"key":null,"value":"","value_bytes":0,'
        b'"cause":"BadRecord","reason":"odd","at_ms":5}'
    )

    assert 0 == decode_dead_letter(sent).repeats


@pytest.mark.parametrize("value", [b"", b"{}", b"\xff"])
def test_what_is_no_letter_is_refused(value: bytes) -> None:
    with pytest.raises(BadRecord):
        decode_dead_letter(value)
