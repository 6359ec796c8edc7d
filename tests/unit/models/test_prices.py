from __future__ import annotations

import msgspec
import orjson
import pytest

from models.codec import encode_body, encode_row
from models.errors import BadRecord
from models.prices import (
    BookTick,
    MarkTick,
    OracleSaid,
    OracleTerms,
    decode_mark,
    decode_tick,
    encode_mark,
    encode_tick,
    mark_of,
    used_mark,
)

_AT = 1_745_970_000_000
_MARK = MarkTick("v", "X", _AT, _AT, "100.5", None, "0.0001", _AT + 8 * 3_600_000)
_BOOK = BookTick("v-book", "X", _AT, _AT, "100", "101")
_replace = msgspec.structs.replace


@pytest.mark.parametrize("tick", [_MARK, _BOOK])
@pytest.mark.parametrize(
    "changes",
    [{"event_ms": 2**63, "received_ms": 2**63 - 1}, {"event_ms": 0}, {"event_ms": -5}, {"received_ms": 2**63}],
)
def test_a_time_that_is_none_is_refused(tick: MarkTick | BookTick, changes: dict[str, int]) -> None:
    sent = encode_tick(_replace(tick, **changes))

    with pytest.raises(BadRecord, match=f"_ms of {tick.source}:X in"):
        mark_of(decode_tick(sent), 1)


@pytest.mark.parametrize("next_funding_ms", [2**63, 2**70, -1])
def test_a_funding_time_that_no_row_holds_is_refused(next_funding_ms: int) -> None:
    with pytest.raises(BadRecord, match="expected next_funding_ms of v:X in"):
        mark_of(_replace(_MARK, next_funding_ms=next_funding_ms), 1)


def test_a_time_of_any_length_is_refused_when_it_is_read() -> None:
    sent = encode_tick(_MARK).replace(b'"event_ms":%d' % _AT, b'"event_ms":1%s' % (b"0" * 30))

    with pytest.raises(BadRecord, match="event_ms"):
        mark_of(decode_tick(sent), 1)


@pytest.mark.parametrize("tick", [_MARK, _BOOK])
def test_a_mark_of_the_future_would_make_every_later_tick_late(tick: MarkTick | BookTick) -> None:
    with pytest.raises(BadRecord, match="at most 60000 ms after it was received"):
        mark_of(_replace(tick, event_ms=_AT + 60_001), 1)


@pytest.mark.parametrize("event_ms", [1, _AT, _AT + 60_000])
def test_a_mark_may_be_of_the_past_or_of_a_clock_a_minute_fast(event_ms: int) -> None:
    mark = mark_of(_replace(_MARK, event_ms=event_ms, next_funding_ms=None), 1)

    assert (event_ms, _AT) == (mark.event_ms, mark.received_ms)
    assert encode_body(encode_mark(mark))


@pytest.mark.parametrize("tick", [_MARK, _BOOK])
@pytest.mark.parametrize(
    ("ahead_ms", "event_ms", "late_ms"),
    [
        (0, _AT - 15_000, 15_000),
        (-15_000, _AT - 15_100, 100),
        (20_000, _AT + 20_000 - 15_000, 15_000),
        (90_000, _AT + 89_000, 1_000),
        (None, _AT - 15_000, None),
    ],
)
def test_how_late_a_mark_came_is_told_by_our_clock(
    tick: MarkTick | BookTick, ahead_ms: int | None, event_ms: int, late_ms: int | None
) -> None:
    sent = encode_tick(_replace(tick, event_ms=event_ms, clock_ahead_ms=ahead_ms, max_late_ms=5_000))
    mark = mark_of(decode_tick(sent), 1)

    assert (late_ms, event_ms, late_ms == 15_000) == (mark.late_ms, mark.event_ms, mark.is_late)
    assert mark == decode_mark(encode_row(1, 1, encode_mark(mark)))


def test_a_tick_of_before_clocks_were_compared_is_read_and_its_row_is_as_it_was() -> None:
    sent = orjson.loads(encode_tick(_MARK))
    del sent["clock_ahead_ms"], sent["max_late_ms"]
    mark = mark_of(decode_tick(orjson.dumps(sent)), 1)

    assert mark_of(_MARK, 1) == mark
    assert {"clock_ahead_ms", "max_late_ms"}.isdisjoint(orjson.loads(encode_body(encode_mark(mark))))


def test_the_future_is_that_of_a_clock_that_is_known_to_be_ahead() -> None:
    ahead = _replace(_MARK, clock_ahead_ms=90_000)

    assert _AT + 150_000 == mark_of(_replace(ahead, event_ms=_AT + 150_000), 1).event_ms
    with pytest.raises(BadRecord, match="of a clock 90000 ms ahead"):
        mark_of(_replace(ahead, event_ms=_AT + 150_001), 1)
    with pytest.raises(BadRecord, match="expected clock_ahead_ms"):
        mark_of(_replace(_MARK, clock_ahead_ms=2**63), 1)
    with pytest.raises(BadRecord, match="expected max_late_ms"):
        mark_of(_replace(_MARK, max_late_ms=-1), 1)


def test_what_an_oracle_says_of_its_price_goes_with_the_mark_and_is_absent_elsewhere() -> None:
    sent = _replace(_MARK, oracle=OracleSaid(-8, "100.25", "0.125", "regular"))
    mark = mark_of(decode_tick(encode_tick(sent)), 3)
    assert mark.oracle == OracleTerms(-8, 100_250_000_000_000_000_000, 125_000_000_000_000_000, "regular")
    assert decode_mark(encode_row(1, 1, encode_mark(mark))) == mark
    assert used_mark("v:X", mark, stale=False).oracle == mark.oracle

    assert b"oracle" not in encode_tick(_MARK)
    assert b"oracle" not in encode_body(encode_mark(mark_of(_MARK, 3)))


@pytest.mark.parametrize("said", [OracleSaid(-31), OracleSaid(2**31), OracleSaid(-8, "x"), OracleSaid(-8, None, "1e5")])
def test_an_oracle_of_impossible_numbers_is_refused(said: OracleSaid) -> None:
    with pytest.raises(BadRecord, match="of v:X"):
        mark_of(_replace(_MARK, oracle=said), 1)
