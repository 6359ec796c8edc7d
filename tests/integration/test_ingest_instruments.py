from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import orjson

from models.codec import encode_row
from models.engine.tables import INSTRUMENTS
from models.instruments import decode_instrument
from streams.ingest.prices import price_follow as price_ingest
from streams.kafka.deadletter import decode_dead_letter
from streams.kafka.topics import DEAD_LETTERS, INSTRUMENT_FACTS
from streams.process.clock import SystemClock
from streams.settings import BinanceSource
from tests.support.eventually import eventually
from tests.support.pipeline import feed_rows, worker
from tests.support.records import create_all, read_topic
from tests.support.venue import FakeVenue
from tidemark.demo.market import INSTRUMENTS as DEMO_MARKETS
from tidemark.demo.venue import exchange_symbol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from models.instruments import Instrument
    from streams.settings import Settings

RULES = orjson.dumps({"symbols": [exchange_symbol(DEMO_MARKETS[0]), exchange_symbol(DEMO_MARKETS[1]), {"symbol": 5}]})
FUNDING = b'[{"symbol":"ETHUSDT","fundingIntervalHours":4}]'
TICKERS = b'[{"symbol":"BTCUSDT","priceChangePercent":"-1.230","quoteVolume":"123.40"}]'


@asynccontextmanager
async def ingesting(settings: Settings, venue: FakeVenue) -> AsyncIterator[None]:
    source = BinanceSource(websocket=venue.url.replace("http", "ws") + "/market", rest=venue.url)
    task = asyncio.create_task(
        price_ingest.run(settings.model_copy(update={"sources": {"v": source}}), "v", SystemClock())
    )
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def instruments(settings: Settings) -> dict[str, Instrument]:
    rows = await feed_rows(settings, INSTRUMENTS)
    return {key.decode(): decode_instrument(encode_row(*row)) for key, row in rows.items()}


async def test_what_a_venue_says_of_its_symbols_reaches_the_table_though_one_answer_fails_at_first(
    settings: Callable[..., Settings],
) -> None:
    mine = settings()
    await create_all(mine)
    async with FakeVenue() as venue, worker(mine) as process:
        venue.facts = {"exchangeInfo": RULES, "fundingInfo": FUNDING}
        async with ingesting(mine, venue):
            await process.ready()

            async def has_rules_and_terms() -> bool:
                known = await instruments(mine)
                return len(known) == 2 and all(one.rules and one.funding for one in known.values())

            await eventually(has_rules_and_terms, 20)
            assert {None} == {one.ticker for one in (await instruments(mine)).values()}

            venue.facts["24hr"] = TICKERS

            async def has_ticker() -> bool:
                return (await instruments(mine))["v:BTCUSDT"].ticker is not None

            await eventually(has_ticker, 20)

    known = await instruments(mine)
    btc, eth = known["v:BTCUSDT"], known["v:ETHUSDT"]
    assert btc.rules is not None
    assert btc.ticker is not None
    assert btc.funding is not None
    assert eth.funding is not None
    assert ("TRADING", 1, 3) == (btc.rules.status, btc.rules.price_decimals, btc.rules.quantity_decimals)
    assert -1_230_000_000_000_000_000 == btc.ticker.price_change_percent_e18
    assert (8 * 3600, 4 * 3600) == (btc.funding.interval_s, eth.funding.interval_s)
    assert {b"v:BTCUSDT", b"v:ETHUSDT"} == {key for key, _ in await read_topic(mine, INSTRUMENT_FACTS)}
    letters = [decode_dead_letter(value) for _, value in await read_topic(mine, DEAD_LETTERS)]
    assert {("v", "BadFact")} == {(letter.source, letter.cause) for letter in letters}
