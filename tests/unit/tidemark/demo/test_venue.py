from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp.test_utils import TestClient, TestServer

from models.instruments import FundingTermsFact, Instrument, fold_fact
from streams.ingest.prices.binance.binance_facts import read_exchange_info, read_funding_info, read_tickers
from tidemark.demo.market import INSTRUMENTS, Market
from tidemark.demo.venue import Venue

if TYPE_CHECKING:
    from models.instruments import InstrumentFact

NOW_MS = 1_795_500_000_000


async def test_the_demos_venue_says_of_every_symbol_what_the_connector_asks_for() -> None:
    venue = Venue(NOW_MS, Market(7).marks_e8(60))
    async with TestClient(TestServer(venue.application())) as client:
        answers = {}
        for path in ("exchangeInfo", "ticker/24hr", "fundingInfo"):
            async with client.get(f"/fapi/v1/{path}") as response:
                answers[path] = await response.read()
    names = [instrument.name for instrument in INSTRUMENTS]
    rules = read_exchange_info(answers["exchangeInfo"], "demo", 1)
    tickers = read_tickers(answers["ticker/24hr"], "demo", 1)
    funding = read_funding_info(answers["fundingInfo"], "demo", 1, names)
    instruments = dict.fromkeys(names, Instrument())
    facts: list[InstrumentFact] = [*rules.facts, *tickers.facts, *funding.facts]
    for fact in facts:
        instruments[fact.symbol] = fold_fact(instruments[fact.symbol], fact)

    assert [] == [*rules.refused, *tickers.refused, *funding.refused]
    for instrument in INSTRUMENTS:
        known = instruments[instrument.name]
        assert known.rules is not None
        assert known.ticker is not None
        assert known.funding is not None
        decimals = known.rules.price_decimals, known.rules.quantity_decimals
        assert (instrument.price_decimals, instrument.quantity_decimals) == decimals
        assert known.ticker.quote_volume_e18 > 10**6 * 10**18
        assert abs(known.ticker.price_change_percent_e18) < 10 * 10**18
    listed = {fact.interval_hours for fact in funding.facts if isinstance(fact, FundingTermsFact)}
    assert {4, None} == listed
