from __future__ import annotations

import gzip
from pathlib import Path

import orjson
import pytest

from models.prices import BookTick, MarkTick
from streams.ingest.prices.binance.binance_frames import read_frame, read_premium_index
from streams.ingest.prices.price_frames import BadFrame, tick_key

RECORDING = Path(__file__).parents[4] / "data" / "prices" / "binance_futures_20210722.jsonl.gz"
MARK = (
    b'{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15000000","i":"11784.62659091",'
    b'"P":"11784.25641265","r":"0.00038167","T":1562306400000,"zz":[{"new":1}]}'
)
BTC = MarkTick(
    source="binance-futures",
    symbol="BTCUSDT",
    event_ms=1562305380000,
    received_ms=7,
    mark="11794.15000000",
    index="11784.62659091",
    funding_rate="0.00038167",
    next_funding_ms=1562306400000,
)


def test_an_array_of_marks_is_read_with_its_texts_as_sent() -> None:
    frame = read_frame(b"[" + MARK + b"]", "binance-futures", 7)

    assert [BTC] == frame.ticks


def test_a_combined_stream_envelope_is_unwrapped() -> None:
    frame = read_frame(b'{"stream":"!markPrice@arr@1s","data":[' + MARK + b"]}", "binance-futures", 7)

    assert [BTC] == frame.ticks


def test_a_single_update_is_read() -> None:
    assert [BTC] == read_frame(MARK, "binance-futures", 7).ticks


def test_numbers_are_passed_on_by_their_literal() -> None:
    sent = b'[{"e":"markPriceUpdate","E":1,"s":"X","p":0.10000000000000000001,"i":1e-7,"r":-0,"T":0}]'

    tick = read_frame(sent, "v", 7).ticks[0]

    assert ("0.10000000000000000001", "1e-7", "-0") == (tick.mark, tick.index, tick.funding_rate)  # type: ignore[union-attr]


def test_nan_as_a_text_is_passed_on_to_be_refused_by_who_interprets_it() -> None:
    tick = read_frame(b'[{"e":"markPriceUpdate","E":1,"s":"X","p":"NaN"}]', "v", 7).ticks[0]

    assert MarkTick("v", "X", 1, 7, "NaN", None, None, None) == tick


@pytest.mark.parametrize(
    "element",
    [
        b'{"e":"markPriceUpdate","E":1,"s":"X","p":"' + b"9" * 65 + b'"}',
        b'{"e":"markPriceUpdate","E":1,"s":"X","p":{"a":1}}',
        b'{"e":"markPriceUpdate","E":1,"s":"X","p":null}',
        b'{"e":"markPriceUpdate","E":1,"s":"X"}',
        b'{"e":"markPriceUpdate","E":"1","s":"X","p":"1"}',
        b'{"e":"markPriceUpdate","E":1,"s":"","p":"1"}',
        b'"markPriceUpdate"',
    ],
)
def test_a_bad_element_is_refused_and_the_others_stand(element: bytes) -> None:
    frame = read_frame(b"[" + element + b"," + MARK + b"]", "binance-futures", 7)

    assert ([element], [BTC]) == ([refused.value for refused in frame.refused], frame.ticks)


def test_what_is_refused_says_of_which_symbol_it_is() -> None:
    elements = [b'{"e":"markPriceUpdate","s":"X"}', b'{"e":"bookTicker","E":1,"s":"Y","b":null,"a":"1"}', b"7"]
    frame = read_frame(b"[" + b",".join(elements) + b"]", "v", 7)
    index = read_premium_index(b'[{"symbol":"Z"}]', "v", 7)

    assert ["X", "Y", "", "Z"] == [refused.symbol for refused in (*frame.refused, *index.refused)]


@pytest.mark.parametrize("frame", [b"[" + MARK, b'{"stream":"a","data":[', b"", b"pong", b"[NaN]", b"\xff\xfe", b"3"])
def test_a_frame_that_is_no_json_is_refused_whole(frame: bytes) -> None:
    with pytest.raises(BadFrame):
        read_frame(frame, "v", 7)


def test_nested_envelopes_are_not_followed() -> None:
    deep = b'{"data":' * 100_000 + b"1" + b"}" * 100_000

    with pytest.raises(BadFrame):
        read_frame(deep, "v", 7)


@pytest.mark.parametrize("frame", [b'{"result":null,"id":1}', b'{"e":"aggTrade","E":1,"s":"X","p":"1"}'])
def test_other_events_are_counted_and_passed_over(frame: bytes) -> None:
    read = read_frame(frame, "v", 7)

    assert (1, [], []) == (read.ignored, read.ticks, read.refused)


def test_book_tickers_get_the_books_own_source() -> None:
    frame = read_frame(b'{"e":"bookTicker","u":1,"s":"X","b":"1.0","B":"2","a":"1.1","A":"3","T":5,"E":6}', "v", 7)

    assert [BookTick("v-book", "X", 6, 7, "1.0", "1.1")] == frame.ticks
    assert b"v-book:X" == tick_key(frame.ticks[0])


def test_premium_index_is_read_as_marks() -> None:
    body = (
        b'[{"symbol":"BTCUSDT","markPrice":"11793.63104562","indexPrice":"11781.80495970","estimatedSettlePrice":"1",'
        b'"lastFundingRate":"0.00038246","interestRate":"0.0001","nextFundingTime":1597392000000,"time":1597370495002},'
        b'{"symbol":"X","time":1}]'
    )

    frame = read_premium_index(body, "v", 7)

    expected = MarkTick(
        "v", "BTCUSDT", 1597370495002, 7, "11793.63104562", "11781.80495970", "0.00038246", 1597392000000
    )
    assert [expected] == frame.ticks
    assert [b'{"symbol":"X","time":1}'] == [refused.value for refused in frame.refused]


def test_every_recorded_book_ticker_is_read_exactly() -> None:
    frames = [orjson.loads(line)["frame"]["data"] for line in gzip.decompress(RECORDING.read_bytes()).splitlines()]
    books = [sent for sent in frames if sent["e"] == "bookTicker"]

    ticks = [
        tick
        for line in gzip.decompress(RECORDING.read_bytes()).splitlines()
        for tick in read_frame(orjson.dumps(orjson.loads(line)["frame"]), "v", 7).ticks
    ]

    assert [BookTick("v-book", sent["s"], sent["E"], 7, sent["b"], sent["a"]) for sent in books] == ticks
