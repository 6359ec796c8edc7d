"""An ingest of the chain and a worker, which make the tables that the executor reads."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from models.codec import decode_row
from models.engine.tables import ACCOUNTS
from models.ids import mark_key
from models.instruments import FundingTermsFact, encode_fact
from models.money import format_e18
from models.prices import MarkTick
from models.symmio.account import decode_account
from streams.ingest.symmio import chain_follow as chain_ingest
from streams.kafka.feed import Feed
from streams.kafka.topics import INSTRUMENT_FACTS, changelog_name, topic_name
from streams.process.clock import SystemClock
from streams.settings import FundingSettings
from tests.evm.market import MARKS_E18, NAME, SYMBOLS, VENUE_RATES_E18
from tests.support.eventually import eventually
from tests.support.pipeline import WorkerProcess, producer, write_ticks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from streams.settings import Settings
    from tests.evm.market import Scene

# Anvil says that what is 64 blocks old is final.
_UNTIL_FINAL = 70


class Accounts:
    """The table of accounts, as a reader of its changelog has it."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    @property
    def prices(self) -> dict[int, int]:
        """The opened price of every quote."""
        found: dict[int, int] = {}
        for row in map(decode_row, self._feed.rows.values()):
            account = decode_account(row.body, row.version)
            assert account.suspect is None
            found |= {quote_id: quote.opened_price for quote_id, quote in account.state.quotes.items()}
        return found


@asynccontextmanager
async def pipeline(one: Scene) -> AsyncIterator[Accounts]:
    """Join the chain at its newest block, and follow it; the tables have every quote when this begins."""
    joined = int(await one.chain.ask("eth_blockNumber"), 16)
    await one.chain.ask("anvil_mine", hex(_UNTIL_FINAL))
    await _say_prices(one.settings)
    worker = WorkerProcess(_of_deployment(one.settings, rpc=()), fault="none")
    ingest = asyncio.create_task(
        chain_ingest.run(_of_deployment(one.settings, rpc=(one.chain.url,)), NAME, SystemClock(), from_state=joined)
    )
    feed = Feed(one.settings.bootstrap, changelog_name(one.settings, ACCOUNTS), SystemClock())
    try:
        await worker.ready()
        await feed.start()
        accounts = Accounts(feed)
        await eventually(lambda: len(accounts.prices) == len(one.quotes), timeout_s=60)
        yield accounts
    finally:
        ingest.cancel()
        with suppress(asyncio.CancelledError):
            await ingest
        await feed.stop()
        worker.kill()


def _of_deployment(settings: Settings, *, rpc: tuple[str, ...]) -> Settings:
    """The settings without the executor's secrets; nobody else is to need them."""
    own = settings.deployments[NAME].model_dump() | {"rpc": rpc, "funding": FundingSettings()}
    deployment = type(settings.deployments[NAME]).model_validate(own)
    return settings.model_copy(update={"deployments": {NAME: deployment}})


async def _say_prices(settings: Settings) -> None:
    at_ms = SystemClock().now_ms()
    await write_ticks(
        settings,
        [
            MarkTick(
                "binance-futures",
                symbol,
                at_ms,
                at_ms,
                format_e18(MARKS_E18[symbol_id]),
                None,
                format_e18(VENUE_RATES_E18[symbol_id]),
                None,
            )
            for symbol_id, symbol in SYMBOLS.items()
        ],
    )
    async with producer(settings) as sender:
        for symbol in SYMBOLS.values():
            fact = FundingTermsFact("binance-futures", symbol, at_ms, None, None, None)
            await sender.send(
                topic_name(settings, INSTRUMENT_FACTS), encode_fact(fact), key=mark_key("binance-futures", symbol)
            )
