"""Frames of Bitfinex: exact numbers, nulls, and what is refused."""

from __future__ import annotations

import pytest

from models.money import parse_e18
from streams.ingest.prices.bitfinex.bitfinex_frames import plain, read_data, status_tick, ticker_tick
from streams.ingest.prices.price_frames import BadFrame, BadTick

AT_MS = 1_745_970_800_000


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("58123.4", "58123.4"),
        ("58123.400000000001", "58123.400000000001"),
        ("58123.10", "58123.10"),
        ("58124", "58124"),
        ("1.5E+4", "15000"),
        ("9.7e-5", "0.000097"),
        ("-1e-8", "-0.00000001"),
        ("0", "0"),
        ("1.234567890123456789012e-5", "0.000012345678901235"),
        ("1e-40", "0.000000000000000000"),
    ],
)
def test_a_number_is_kept_as_it_was_sent_and_an_exponent_is_written_out(sent: str, kept: str) -> None:
    assert kept == plain("mark", sent)
    parse_e18(kept)


@pytest.mark.parametrize(
    "sent", ["", "NaN", "Infinity", "1_000", "+1", ".5", "1e", "1e999999999", "1e31", "0x1", "\u0661.0"]
)
def test_what_is_no_number_or_larger_than_any_price_is_refused(sent: str) -> None:
    with pytest.raises(BadTick, match="expected mark"):
        plain("mark", sent)


def test_a_ticker_is_the_price_of_the_last_trade_at_the_time_it_was_sent() -> None:
    content = b"[58123,1.5,58124,2,-10,-0.0002,58123.5,1000,59000,57000]"
    tick = ticker_tick(content, "bitfinex", "tBTCUSD", AT_MS + 40, AT_MS)

    assert tick is not None
    assert ("tBTCUSD", "58123.5", AT_MS, AT_MS + 40) == (tick.symbol, tick.mark, tick.event_ms, tick.received_ms)
    assert (None, None, None) == (tick.index, tick.funding_rate, tick.next_funding_ms)


def test_the_status_of_a_derivative_is_its_mark_with_index_and_funding() -> None:
    content = (
        b"[%d,null,58120.5,58119.25,null,1e7,null,%d,4.2e-06,80,null,-1.25e-05,null,null,58121.125,null,null,9,"
        b"null,null,null,0.0005,0.0025]" % (AT_MS, AT_MS + 60_000)
    )
    tick = status_tick(content, "bitfinex", "tBTCF0:USTF0", AT_MS + 40)

    assert tick is not None
    assert ("58121.125", "58119.25", "-0.0000125") == (tick.mark, tick.index, tick.funding_rate)
    assert (AT_MS, AT_MS + 60_000) == (tick.event_ms, tick.next_funding_ms)


def test_what_the_venue_does_not_know_is_no_tick_or_a_tick_without_it() -> None:
    assert ticker_tick(b"[1,2,3,4,5,6,null,8,9,10]", "s", "tX", AT_MS, AT_MS) is None
    status = [b"%d" % AT_MS, *[b"null"] * 13, b"7"]
    tick = status_tick(b"[%b]" % b",".join(status), "s", "tX", AT_MS)
    assert tick is not None
    assert ("7", None, None, None) == (tick.mark, tick.index, tick.funding_rate, tick.next_funding_ms)
    status[14] = b"null"
    assert status_tick(b"[%b]" % b",".join(status), "s", "tX", AT_MS) is None


@pytest.mark.parametrize(
    "content", [b"{}", b"7", b"[]", b"[1,2,3]", b"[1,2,3,4,5,6,{}]", b"[1,2,3,4,5,6,true]", b'[1,2,3,4,5,6,"x"]', b"["]
)
def test_a_ticker_of_another_shape_is_refused(content: bytes) -> None:
    with pytest.raises(BadTick):
        ticker_tick(content, "s", "tX", AT_MS, AT_MS)


@pytest.mark.parametrize("time", [b"null", b"1.5", b'"soon"', b"{}"])
def test_a_status_without_a_time_is_refused(time: bytes) -> None:
    with pytest.raises(BadTick, match="time"):
        status_tick(b"[%b]" % b",".join([time, *[b"null"] * 13, b"7"]), "s", "tX", AT_MS)


def test_number_and_time_are_at_the_end_of_a_frame_as_agreed_on() -> None:
    frame = b'[17,"hb",4,%d]' % AT_MS
    assert (17, b'"hb"', 4, AT_MS) == read_data(frame, has_sequence=True, has_time=True)
    assert (17, b'"hb"', 4, None) == read_data(b'[17,"hb",4]', has_sequence=True, has_time=False)
    assert (17, b'"hb"', None, AT_MS) == read_data(b'[17,"hb",%d]' % AT_MS, has_sequence=False, has_time=True)
    assert (17, b"[1]", None, None) == read_data(b"[17,[1]]", has_sequence=False, has_time=False)
    for short in (b"[]", b"[17]", b'[17,"hb"]', b'[17,"hb",4]', b'[17,"hb",4,"x"]', b'["x","hb",4,5]', b"\xff", b"[[["):
        with pytest.raises(BadFrame):
            read_data(short, has_sequence=True, has_time=True)
