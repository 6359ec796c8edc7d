"""Accounts and markets as the agents would have left them: rows written straight into changelogs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self

from aiokafka import AIOKafkaProducer

from models.codec import encode_row
from models.engine.tables import ACCOUNTS, MARKETS, WATERMARKS
from models.ids import account_key, mark_key, market_key
from models.money import E18, format_e18
from models.prices import MarkTick, encode_tick
from models.symmio.account import AccountRow, encode_account
from models.symmio.markets import Market, encode_market
from models.symmio.state import AccountState, Balances, Locked, OrderType, PositionType, Quote, QuoteStatus
from models.watermarks import DeploymentWatermark, encode_watermark
from streams.kafka.partitions import partition_of
from streams.kafka.topics import PRICE_TICKS, changelog_name, topic_name
from streams.settings import SymmioSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from streams.settings import Settings

DEPLOYMENT = "bench"
SOURCE = "binance-futures"
HEDGER = "0x" + "b" * 40
_BATCH_BYTES = 256 * 1024
_OPENED_AT_E18 = 100 * E18
# A numbered tick moves its market by so much; its number is read back out of a price.
_STEP_E18 = 10**12
_LOCKED = Locked(3 * E18, E18, 12 * E18, 0)


def bench_deployment() -> SymmioSettings:
    """A deployment whose marks never grow stale."""
    return SymmioSettings(
        chain_id=1, diamond="0x" + "d" * 40, hedgers=(HEDGER,), default_sources=(SOURCE,), default_max_age_ms=10**9
    )


def symbol(symbol_id: int) -> str:
    """Name of a market."""
    return f"S{symbol_id}USDT"


def address(number: int) -> str:
    """Address of an account."""
    return f"0x{number:040x}"


def account_row(number: int, positions: int, symbols: int) -> AccountRow:
    """An account with open positions in different markets, every other one short, opened at 100."""
    symbol_ids = [(number * 7 + at * 131) % symbols + 1 for at in range(positions)]
    quotes = {
        quote_id: Quote(
            quote_id, symbol_id, PositionType(quote_id % 2), OrderType.LIMIT, QuoteStatus.OPENED, HEDGER, (HEDGER,),
            100 * E18, 100 * E18, 100 * E18, 100 * E18, E18 + number * 10**9, 0, 0, True, 0, 0,  # noqa: FBT003 - a field
            _LOCKED, _LOCKED, 10**15, 1_700_000_000, 0, None, None,
        )
        for quote_id, symbol_id in enumerate(symbol_ids, start=number * positions + 1)
    }  # fmt: skip
    balances = Balances(10_000 * E18, Locked(*(part * positions for part in _LOCKED)))
    state = AccountState(owner=address(number), balances=balances, party_b={HEDGER: balances}, quotes=quotes)
    return AccountRow((0, 0), 1, 1, 1_700_000_000, state)


def tick(symbol_id: int, price_e18: int, event_ms: int) -> tuple[bytes, bytes]:
    """Key and value of a record of price-ticks; the event time is also that of its receipt."""
    mark = MarkTick(SOURCE, symbol(symbol_id), event_ms, event_ms, format_e18(price_e18), None, None, None)
    return mark_key(SOURCE, mark.symbol), encode_tick(mark)


def numbered_tick(number: int, symbols: int, event_ms: int) -> tuple[bytes, bytes]:
    """Key and value of the tick of a number: the markets take turns, and each tick's price is its own.

    Args:
        number: Its number, >= 0.
        symbols: How many markets there are.
        event_ms: Its event time, Unix ms, which is also that of its receipt.
    """
    return tick(number % symbols + 1, _OPENED_AT_E18 + (number + 1) * _STEP_E18, event_ms)


def number_of(price_e18: int) -> int:
    """The number of the tick that a price is of; below 0 of the prices before all ticks."""
    return (price_e18 - _OPENED_AT_E18) // _STEP_E18 - 1


async def lay_out(settings: Settings, accounts: int, positions: int, symbols: int) -> None:
    """Write markets, watermarks and accounts, and one tick for every market."""
    partitions = settings.topics.partitions
    now_ms = time.time_ns() // 10**6
    watermark = encode_row(0, 1, encode_watermark(DeploymentWatermark((0, -1), 1, 1_700_000_000, 1)))
    markets = [
        (market_key(DEPLOYMENT, at), encode_row(0, 1, encode_market(Market(at, symbol(at), is_valid=True))))
        for at in range(1, symbols + 1)
    ]
    deployment_partition = partition_of(DEPLOYMENT.encode(), partitions)
    async with Writer(settings) as writer:
        await writer.write(changelog_name(settings, MARKETS), ((deployment_partition, *row) for row in markets))
        await writer.write(
            changelog_name(settings, WATERMARKS),
            ((at, f"{DEPLOYMENT}:{at}".encode(), watermark) for at in range(partitions)),
        )
        await writer.write(changelog_name(settings, ACCOUNTS), _accounts(accounts, positions, symbols, partitions))
        ticks = (tick(at, 100 * E18, now_ms) for at in range(1, symbols + 1))
        await writer.write(topic_name(settings, PRICE_TICKS), ((partition_of(k, partitions), k, v) for k, v in ticks))


def _accounts(accounts: int, positions: int, symbols: int, partitions: int) -> Iterator[tuple[int, bytes, bytes]]:
    for number in range(1, accounts + 1):
        key = account_key(DEPLOYMENT, address(number))
        yield (
            partition_of(key, partitions),
            key,
            encode_row(0, 1, encode_account(account_row(number, positions, symbols))),
        )


class Writer:
    """Sends whole batches."""

    def __init__(self, settings: Settings) -> None:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka, compression_type="snappy", max_batch_size=_BATCH_BYTES, acks="all"
        )

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def write(self, topic: str, records: Iterable[tuple[int, bytes, bytes]]) -> None:
        """Write (partition, key, value) records, in order within a partition."""
        batches: dict[int, Any] = {}
        sent: list[asyncio.Future[Any]] = []
        for partition, key, value in records:
            batch = batches.get(partition)
            if batch is None:
                batch = batches[partition] = self._producer.create_batch()
            if batch.append(key=key, value=value, timestamp=None) is None:
                batch.close()
                sent.append(await self._producer.send_batch(batch, topic, partition=partition))
                batch = batches[partition] = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
        for partition, batch in batches.items():
            batch.close()
            sent.append(await self._producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*sent)
