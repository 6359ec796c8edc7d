from __future__ import annotations

from typing import Any

import orjson
import pytest

from models.instruments import FundingTermsFact, RulesFact, TickerFact
from streams.ingest.prices.binance.binance_facts import read_exchange_info, read_funding_info, read_tickers
from streams.ingest.prices.price_frames import BadFrame
from tidemark.demo.market import INSTRUMENTS
from tidemark.demo.venue import exchange_symbol


def symbol(name: str = "BTCUSDT", **changes: object) -> dict[str, Any]:
    return {
        "symbol": name,
        "pair": name,
        "contractType": "PERPETUAL",
        "status": "TRADING",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "pricePrecision": 2,
        "quantityPrecision": 3,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "261.10", "maxPrice": "809484", "tickSize": "0.10"},
            {"filterType": "LOT_SIZE", "minQty": "0.001", "stepSize": "0.001", "maxQty": "1000"},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "stepSize": "0.001", "maxQty": "120"},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MIN_NOTIONAL", "notional": "100"},
        ],
        "timeInForce": ["GTC"],
        **changes,
    }


def exchange_info(*symbols: object) -> bytes:
    return orjson.dumps({"timezone": "UTC", "rateLimits": [], "symbols": symbols})


def test_the_rules_of_a_symbol_are_read_with_their_texts_as_sent() -> None:
    facts = read_exchange_info(exchange_info(symbol()), "v", 7).facts

    assert [RulesFact("v", "BTCUSDT", 7, "TRADING", "BTC", "USDT", 2, 3, "0.10", "0.001", "1000", "100")] == facts


def test_a_symbol_without_filters_has_no_sizes() -> None:
    (fact,) = read_exchange_info(exchange_info(symbol(filters=[])), "v", 7).facts

    assert isinstance(fact, RulesFact)
    assert (None, None, None, None) == (fact.tick_size, fact.step_size, fact.max_quantity, fact.min_notional)


def test_a_bad_symbol_is_refused_and_its_neighbours_stand() -> None:
    bad = [symbol("A", pricePrecision="two"), symbol("B", status="x" * 65), symbol(""), 5]
    facts, refused = read_exchange_info(exchange_info(*bad, symbol("C")), "v", 7)

    assert (["C"], 4) == ([fact.symbol for fact in facts], len(refused))


def test_the_demos_venue_says_what_is_read() -> None:
    facts, refused = read_exchange_info(exchange_info(*map(exchange_symbol, INSTRUMENTS)), "v", 7)

    assert ([one.name for one in INSTRUMENTS], []) == ([fact.symbol for fact in facts], refused)


def test_tickers_are_read_with_their_texts_as_sent() -> None:
    body = orjson.dumps(
        [{"symbol": "BTCUSDT", "priceChangePercent": "-1.230", "quoteVolume": "5.10", "count": 9}, {"symbol": "X"}]
    )
    facts, refused = read_tickers(body, "v", 7)

    assert ([TickerFact("v", "BTCUSDT", 7, "-1.230", "5.10")], 1) == (facts, len(refused))


def test_symbols_that_funding_info_does_not_list_are_said_to_have_the_default() -> None:
    body = b'[{"symbol":"B","fundingIntervalHours":4,"adjustedFundingRateCap":"0.02","disclaimer":false}]'
    facts = read_funding_info(body, "v", 7, {"A", "B"}, {"B"}).facts

    assert [FundingTermsFact("v", "B", 7, 4, "0.02", None), FundingTermsFact("v", "A", 7, None, None, None)] == facts


@pytest.mark.parametrize(
    "bad",
    [
        {"symbol": "B"},
        {"symbol": "B", "fundingIntervalHours": None},
        {"symbol": "B", "fundingIntervalHours": "8"},
        {"symbol": "B", "fundingIntervalHours": 4, "adjustedFundingRateCap": 0.02},
        {"symbol": "B", "fundingIntervalHours": 4, "adjustedFundingRateCap": "9" * 65},
    ],
)
def test_one_symbol_that_cannot_be_read_keeps_its_terms_and_takes_the_default_from_nobody(bad: dict[str, Any]) -> None:
    listed = {"symbol": "C", "fundingIntervalHours": 1}
    facts, refused = read_funding_info(orjson.dumps([bad, listed]), "v", 7, {"A", "B", "C"}, {"C"})

    assert [FundingTermsFact("v", "C", 7, 1, None, None), FundingTermsFact("v", "A", 7, None, None, None)] == facts
    assert [("B", orjson.dumps(bad))] == [(one.symbol, one.value) for one in refused]


@pytest.mark.parametrize("bad", [b"null", b"17", b"{}", b'{"symbol":null}', b'{"symbol":{"a":1}}', b'"A"'])
def test_an_element_that_names_no_symbol_may_be_of_any_that_had_terms_of_its_own(bad: bytes) -> None:
    facts, refused = read_funding_info(b"[" + bad + b"]", "v", 7, {"A", "B"}, {"B"})

    assert [FundingTermsFact("v", "A", 7, None, None, None)] == facts
    assert [""] == [one.symbol for one in refused]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"symbols":{}}', b"[1", b"\xff", b"[" * 100_000])
def test_an_answer_of_another_shape_is_refused_whole(body: bytes) -> None:
    with pytest.raises(BadFrame):
        read_exchange_info(body, "v", 7)
    if body != b"{}":
        with pytest.raises(BadFrame):
            read_tickers(body, "v", 7)
    with pytest.raises(BadFrame):
        read_funding_info(body, "v", 7, ())
