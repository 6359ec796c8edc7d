"""A deployment with accounts and open quotes: on the chain, and as the tables have it."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka import AIOKafkaProducer

from models.account_events import AccountCheckpoint, Transaction
from models.chain_records import Checkpoint, PartyBView, QuoteView, RawLog
from models.codec import encode_row
from models.engine.tables import ACCOUNTS, INSTRUMENTS, MARKETS, WATERMARKS
from models.ids import account_key, mark_key, market_key
from models.instruments import FundingTerms, Instrument, encode_instrument
from models.money import E18
from models.symmio.abi import CATALOGUE
from models.symmio.account import encode_account
from models.symmio.funding_records import Frozen, Missed, Outcome
from models.symmio.funding_records import Transaction as Sent
from models.symmio.markets import Market, encode_market
from models.watermarks import DeploymentWatermark, encode_watermark
from streams.funder.funding_journal import read_journal
from streams.kafka.topics import changelog_name
from streams.process.clock import SystemClock
from tests.evm.anvil import CHAIN_ID, Anvil, Contract, key_of, running_anvil
from tests.evm.flaky import Flaky, running_flaky
from tests.evm.gateway import KEY, Gateway, running_gateway
from tests.evm.venue import SOURCE, Venue, running_venue
from tests.support.records import create_all
from tests.support.symmio import Partition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from msgspec import Struct

    from models.symmio.funding_records import Record
    from streams.settings import Settings

NAME = "main"
EPOCH_S, WINDOW_S = 14_400, 420
HOUR_S = 3_600
"""The window of a test in which much happens: chain time goes with the clock, and a slow machine takes minutes."""
MARKS_E18 = {1: 110 * E18, 2: 19 * E18}
VENUE_RATES_E18 = {1: E18 // 5_000, 2: -E18 // 8_000}
SIGNER, SECOND_SIGNER = key_of("signer"), key_of("second signer")
GENEROUS = E18 // 10
SYMBOLS = {1: "AAAUSDT", 2: "BBBUSDT"}
_SEED = "(address,address,uint256,uint8,uint256,uint256,uint256)"


class Opened(NamedTuple):
    """A quote that was open before anything was charged; its id is its place in the list, from 1 on.

    ``party_b`` is empty where the hedger is the scene's first one.
    """

    party_a: str
    symbol_id: int
    position_type: int
    quantity: int
    opened_price: int
    max_funding_rate: int
    party_b: str = ""


def account(number: int) -> str:
    return f"0x{0xA000 + number:040x}"


def quotes_of(sizes: Sequence[int], seed: int) -> list[Opened]:
    """As many quotes for each account as ``sizes`` says, in a random order of creation."""
    draw = random.Random(seed)
    quotes = []
    for number, size in enumerate(sizes):
        for _ in range(size):
            symbol_id = draw.choice((1, 2))
            opened = MARKS_E18[symbol_id] * draw.randint(800_000_001, 1_200_000_000) // 10**9
            quantity = draw.randint(1, 10**20)
            quotes.append(Opened(account(number), symbol_id, draw.choice((0, 1)), quantity, opened, GENEROUS))
    draw.shuffle(quotes)
    return quotes


class Scene:
    """Chain, contracts, Muon and topics of one test."""

    def __init__(
        self,
        settings: Settings,
        chain: Anvil,
        *,
        diamond: Contract,
        gateway: Gateway,
        node: Flaky,
        liar: Flaky | None,
        venue: Venue,
        party_b: str,
        window_s: int,
    ) -> None:
        self.window_s = window_s
        self.settings = settings
        self.chain = chain
        self.diamond = diamond
        self.gateway = gateway
        # Fails where the test says so; beside it there may be one that lies all the time, and one that is good.
        self.node = node
        self.liar = liar
        self.venue = venue
        self.party_b = party_b
        self.quotes: list[Opened] = []
        self._partition = Partition()
        self._folds = 0

    async def open_on_chain(self, quotes: Sequence[Opened]) -> None:
        """Open quotes on the chain."""
        self.quotes = list(quotes)
        for party_a, party_b in sorted({(quote.party_a, quote.party_b or self.party_b) for quote in quotes}):
            await self.diamond.send("fund", party_b, party_a, 10**6 * E18, 10**6 * E18, E18)
        for start in range(0, len(quotes), 40):
            seeds = [(q.party_a, q.party_b or self.party_b, *q[1:6]) for q in quotes[start : start + 40]]
            sent = await self.diamond.send("open", seeds)
            # What it does can be seen some ms before it is in a block.
            await self.chain.receipt(sent)

    async def open(self, quotes: Sequence[Opened]) -> None:
        """Open quotes on the chain, and write the rows that a worker makes of the accounts as they then stand."""
        await self.open_on_chain(quotes)
        for party_a in sorted({quote.party_a for quote in quotes}):
            self._partition.apply([(account_key(NAME, party_a), self._checkpoint(party_a))])
        rows: dict[tuple[str, bytes], Mapping[str, Any] | Struct] = {
            (ACCOUNTS, account_key(NAME, party_a)): encode_account(row) for party_a, row in self._partition.rows.items()
        }
        at_ms = SystemClock().now_ms()
        for symbol_id, symbol in SYMBOLS.items():
            key = mark_key("binance-futures", symbol)
            rows[INSTRUMENTS, key] = encode_instrument(Instrument(funding=FundingTerms(28_800, None, None, at_ms)))
            market = Market(
                symbol_id,
                name=symbol,
                is_valid=True,
                funding_rate_epoch_duration_s=EPOCH_S,
                funding_rate_window_s=self.window_s,
            )
            rows[MARKETS, market_key(NAME, symbol_id)] = encode_market(market)
        await self.write(rows)
        await self.fold_until(2**40)

    async def fold_until(self, head_time_s: int) -> None:
        """Say how far the accounts are folded, by the chain's time."""
        self._folds += 1
        watermark = encode_watermark(DeploymentWatermark(head_time_s=head_time_s))
        numbers = range(self.settings.topics.partitions)
        rows = {(WATERMARKS, f"{NAME}:{number}".encode()): watermark for number in numbers}
        await self.write(rows, version=self._folds)

    async def write(self, rows: Mapping[tuple[str, bytes], Mapping[str, Any] | Struct], version: int = 1) -> None:
        """Write rows of tables, as their owner would."""
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.kafka)
        await producer.start()
        try:
            for (table, key), body in rows.items():
                await producer.send(changelog_name(self.settings, table), encode_row(1, version, body), key=key)
        finally:
            await producer.stop()

    async def records(self) -> list[Record]:
        """What is on record; the newest of each key, and older ones."""
        return [record async for record in read_journal(self.settings, NAME, 0)]

    async def outcomes(self) -> dict[str, Outcome]:
        """The newest outcome of each account."""
        return {one.party_a: one for one in await self.records() if isinstance(one, Outcome)}

    async def told(self) -> dict[tuple[str, str], Outcome]:
        """The newest outcome of each account with each hedger, by both addresses."""
        return {(one.party_a, one.party_b): one for one in await self.records() if isinstance(one, Outcome)}

    async def frozen(self) -> list[Frozen]:
        return [one for one in await self.records() if isinstance(one, Frozen)]

    async def missed(self) -> list[Missed]:
        return [one for one in await self.records() if isinstance(one, Missed)]

    async def sent(self) -> list[Sent]:
        """The newest record of each nonce of each signer."""
        return list({(one.signer, one.nonce): one for one in await self.records() if isinstance(one, Sent)}.values())

    async def charges(self) -> list[tuple[int, RawLog]]:
        """Every ChargeFundingRate log that stands in the chain, with its block."""
        return await self.logs("ChargeFundingRate")

    async def logs(self, name: str) -> list[tuple[int, RawLog]]:
        """Every log of an event that stands in the chain, with its block."""
        topic0 = next(one.topic0 for one in CATALOGUE.values() if one.name == name)
        logs = await self.chain.ask(
            "eth_getLogs", {"address": self.diamond.address, "fromBlock": "0x0", "topics": [topic0]}
        )
        return [
            (
                int(one["blockNumber"], 16),
                RawLog(
                    one["address"].lower(),
                    tuple(one["topics"]),
                    one["data"],
                    one["transactionHash"],
                    int(one["transactionIndex"], 16),
                    int(one["logIndex"], 16),
                ),
            )
            for one in logs
        ]

    async def folded_prices(self) -> dict[int, int]:
        """The opened price of every quote, as the tables make it of the logs."""
        for number, (block, log) in enumerate(await self.charges()):
            party_a = "0x" + log.data[2 + 64 + 24 : 2 + 128]
            record = Transaction((1_000 + number, log.tx_index), block, 1_700_000_000, log.tx, (log,))
            self._partition.apply([(account_key(NAME, party_a), record)])
        rows = self._partition.rows
        assert all(row.suspect is None for row in rows.values())
        return {quote_id: quote.opened_price for row in rows.values() for quote_id, quote in row.state.quotes.items()}

    async def contract_prices(self) -> dict[int, int]:
        """The same, as the contract says."""
        prices = {}
        for quote_id in range(1, len(self.quotes) + 1):
            data = self.diamond.data("getQuote", quote_id)
            answer = await self.chain.ask("eth_call", {"to": self.diamond.address, "data": data}, "latest")
            prices[quote_id] = int(answer[2 + 64 * 6 : 2 + 64 * 7], 16)
        return prices

    def _checkpoint(self, party_a: str) -> AccountCheckpoint:
        nothing = ("0",) * 9
        views = tuple(
            QuoteView(
                quote_id=quote_id,
                symbol_id=quote.symbol_id,
                position_type=quote.position_type,
                order_type=0,
                status=4,
                party_b=quote.party_b or self.party_b,
                whitelist=(),
                requested_open_price=str(quote.opened_price),
                market_price=str(quote.opened_price),
                opened_price=str(quote.opened_price),
                initial_opened_price=str(quote.opened_price),
                quantity=str(quote.quantity),
                closed_amount="0",
                avg_closed_price="0",
                requested_close_price="0",
                quantity_to_close="0",
                locked=("0",) * 4,
                initial_locked=("0",) * 4,
                trading_fee="0",
                deadline_s="0",
                parent_id=0,
                max_funding_rate=str(quote.max_funding_rate),
            )
            for quote_id, quote in enumerate(self.quotes, 1)
            if quote.party_a == party_a
        )
        checkpoint = Checkpoint(
            block=1,
            hash="0x01",
            time_s=1_700_000_000,
            account=party_a,
            owner=None,
            multi_account=None,
            name=None,
            balances=nothing,
            liquidated=False,
            reimbursement="0",
            party_bs=tuple(PartyBView(party_b, nothing) for party_b in sorted({view.party_b for view in views})),
            quotes=views,
        )
        return AccountCheckpoint((1, -1), checkpoint)


@asynccontextmanager
async def scene(
    settings: Callable[..., Settings],
    *,
    party_b: str,
    depth: int = 64,
    window_s: int = WINDOW_S,
    sources: Sequence[str] = (SOURCE,),
    lie: str = "",
    **funding: object,
) -> AsyncIterator[Scene]:
    """A chain that is in no window; ``party_b`` is ``key`` or ``contract``.

    With a ``lie`` the executors have three endpoints, the first of which tells it.
    """
    async with AsyncExitStack() as stack:
        chain = await stack.enter_async_context(running_anvil())
        # In the middle of an epoch, whatever the time of day: far from every window.
        await chain.go_to(await next_window_s(chain) + EPOCH_S // 2)
        diamond = await chain.deploy("FundingDiamond", ["address"], [KEY.address])
        signer = SIGNER.address.lower()
        await chain.make_rich(signer)
        await chain.make_rich(SECOND_SIGNER.address.lower())
        if party_b == "key":
            hedger = signer
        else:
            caller = await chain.deploy("TrustedCaller", ["address", "address"], [diamond.address, signer])
            hedger = caller.address
        for symbol_id, symbol in SYMBOLS.items():
            await diamond.send("setSymbol", symbol_id, symbol, EPOCH_S, window_s)
        gateway = await stack.enter_async_context(running_gateway(chain, diamond))
        node = await stack.enter_async_context(running_flaky(chain.url))
        liar = await stack.enter_async_context(running_flaky(chain.url, lie)) if lie else None
        configured = settings(
            topics={"partitions": 2},
            deployments={
                NAME: {
                    "chain_id": CHAIN_ID,
                    "diamond": diamond.address,
                    "rpc": [node.url] if liar is None else [liar.url, node.url, chain.url],
                    "poll_interval_ms": 100,
                    "finality_depth": depth,
                    "default_sources": list(sources),
                    "default_max_age_ms": 3_600_000,
                    "funding": {
                        "party_b": hedger,
                        "key": SIGNER.key.hex(),
                        "muon": gateway.url,
                        "concurrency": 4,
                        **funding,
                    },
                }
            },
        )
        await create_all(configured)
        marks = {symbol: (MARKS_E18[symbol_id], VENUE_RATES_E18[symbol_id]) for symbol_id, symbol in SYMBOLS.items()}
        venue = Venue(configured, chain, marks, sources)
        await stack.enter_async_context(running_venue(venue, configured))
        yield Scene(
            configured,
            chain,
            diamond=diamond,
            gateway=gateway,
            node=node,
            liar=liar,
            venue=venue,
            party_b=hedger,
            window_s=window_s,
        )


async def next_window_s(chain: Anvil) -> int:
    """The time at which the next epoch begins."""
    return (await chain.time_s() // EPOCH_S + 1) * EPOCH_S
