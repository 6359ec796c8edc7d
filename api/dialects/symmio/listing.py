"""A deployment's markets, each with what the chain, the venue and the settings say of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from api.tables.market_prices import DecodedRows
from api.tables.venue_lists import VenueLists
from models.engine.stored_rows import readable
from models.engine.tables import INSTRUMENTS, MARKETS
from models.errors import BadRow
from models.ids import mark_key, split_key
from models.instruments import TRADING, Instrument, decode_instrument
from models.money import E18, format_e18
from models.symmio.markets import decode_market
from streams.process.unreadable_rows import note_unreadable
from streams.settings import symmio_deployments

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from api.tables.feeds import Feeds
    from api.tables.market_prices import MarketPrices
    from models.instruments import Rules
    from models.prices import Mark, UsedMark
    from models.symmio.markets import Market
    from streams.settings import LockedParams, PriceRef, Settings, SymbolSettings, SymmioSettings


@dataclass(frozen=True, slots=True)
class Listed:
    """One market.

    Attributes:
        name: What it is called at its first source, which is where frontends read its price too.
        mark: The price that it is valued at; None where no source ever had one.
        funding: The mark that says the venue's funding rate.
        is_listed: Whether the venue lists it still.
    """

    market: Market
    name: str
    offer: SymbolSettings
    mark: UsedMark | None
    funding: Mark | None
    instrument: Instrument
    is_listed: bool

    @property
    def price(self) -> UsedMark | None:
        """The price that orders may follow: the mark, unless it is stale or the venue has left the market out."""
        return self.mark if self.mark is not None and not self.mark.stale and self.is_listed else None

    @property
    def rules(self) -> Rules | None:
        """How the venue quotes the market, None where that is not known."""
        return self.instrument.rules

    @property
    def is_valid(self) -> bool:
        """Whether it can be traded: the chain and the venue allow it, and its price of now is known."""
        is_open = self.rules is not None and self.rules.status == TRADING
        return self.market.is_valid is True and self.price is not None and is_open

    @property
    def tick_e18(self) -> int:
        """The step of its prices, 1e18-scaled; 1 where the venue says nothing."""
        if self.rules is None:
            return 1
        return self.rules.tick_e18 or E18 // 10**self.rules.price_precision

    @property
    def max_leverage(self) -> Decimal:
        """The greatest leverage offered, at least 1: no more than the table of locked values has a row for."""
        on_chain = Decimal(format_e18(self.market.max_leverage or 0))
        highest = on_chain if self.offer.max_leverage is None else self.offer.max_leverage
        return max(Decimal(1), min(highest, max(row.leverage for row in self.offer.locked)))

    def locked_at(self, leverage: Decimal) -> LockedParams:
        """Return the row of the nearest leverage that is offered and not below ``leverage``."""
        return min((row for row in self.offer.locked if row.leverage >= leverage), key=lambda row: row.leverage)


@dataclass(frozen=True, slots=True)
class _Market:
    """The part of a market that only its chain changes; ``prices`` are keys of marks."""

    deployment: str
    market: Market
    name: str
    offer: SymbolSettings
    prices: tuple[bytes, ...]
    instruments: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Directory:
    """A deployment's markets by symbol id, and by each text that a request may name one by.

    ``unreadable`` are the keys of markets whose rows cannot be read.
    """

    markets: tuple[_Market, ...]
    by_text: Mapping[str, _Market]
    unreadable: Sequence[bytes]


class Listings:
    """Makes the list of markets from the feeds.

    Args:
        settings: Where prices come from, and what is offered.
        feeds: The tables.
        prices: The marks in use.
        clock_ms: Our own time, in Unix ms; marks grow stale by it.
    """

    def __init__(self, settings: Settings, feeds: Feeds, prices: MarketPrices, clock_ms: Callable[[], int]) -> None:
        self._deployments = symmio_deployments(settings)
        self._clock_ms = clock_ms
        self._rows = feeds.markets.rows
        self._directories: dict[str, _Directory] = {}
        feeds.markets.listen(self._heard)
        self._prices = prices
        self._instruments = DecodedRows(INSTRUMENTS, feeds.instruments.rows, decode_instrument)
        self._lists = VenueLists(feeds.instruments, self._instruments, clock_ms)
        self._needed = feeds.markets, feeds.marks, feeds.instruments

    @property
    def is_warm(self) -> bool:
        """Whether a market that is not in the tables is known not to exist."""
        return all(feed.is_ready for feed in self._needed)

    def of(self, deployment: str) -> Iterator[Listed]:
        """Yield the markets of a deployment that have a name, by symbol id; each takes some 10 µs.

        One whose row cannot be read is not among them.
        """
        now_ms = self._clock_ms()
        return (self._listed(one, now_ms) for one in self._directory(deployment).markets)

    def find(self, deployment: str, text: str) -> Listed | None:
        """Find a market by its name, by its name on chain, or by its symbol id.

        Raises:
            BadRow: There is none, but a row that cannot be read, which may be the market's.
        """
        directory = self._directory(deployment)
        market = directory.by_text.get(text)
        if market is not None:
            return self._listed(market, self._clock_ms())
        if directory.unreadable:
            msg = f"expected a row of markets, found one of {directory.unreadable[0]!r} that cannot be read"
            raise BadRow(msg)
        return None

    def unreadable(self, deployment: str, known: Collection[str]) -> int:
        """Count the markets of which a row cannot be read: their own, or that of a mark or an instrument.

        Args:
            deployment: The markets' deployment.
            known: The names of those that do not count.
        """
        directory = self._directory(deployment)
        doubtful = (one for one in directory.markets if one.name not in known)
        return len(directory.unreadable) + sum(map(self._lacks_a_row, doubtful))

    def _lacks_a_row(self, one: _Market) -> bool:
        marks, instruments = self._prices.marks, self._instruments
        return any(map(marks.is_unreadable, one.prices)) or any(map(instruments.is_unreadable, one.instruments))

    def _heard(self, keys: Sequence[bytes]) -> None:
        for deployment in {split_key(key)[0] for key in keys}:
            self._directories.pop(deployment, None)

    def _directory(self, deployment: str) -> _Directory:
        directory = self._directories.get(deployment)
        if directory is None:
            directory = self._directories[deployment] = self._read(deployment)
        return directory

    def _read(self, deployment: str) -> _Directory:
        settings, prefix = self._deployments[deployment], f"{deployment}:".encode()
        found = {
            key: readable(note_unreadable, MARKETS, key, row, partial(_market_of, key))
            for key, row in self._rows.items()
            if key.startswith(prefix)
        }
        named = sorted((one for one in found.values() if one and one.name), key=lambda one: one.symbol_id)
        refs = {market.symbol_id: settings.prices_of(market.name or "") for market in named}
        bearers = Counter(sources[0].symbol for sources in refs.values() if sources)
        markets = tuple(
            _known(deployment, market, settings=settings, refs=refs[market.symbol_id], bearers=bearers)
            for market in named
        )
        by_text = {str(one.market.symbol_id): one for one in markets}
        by_text |= {one.market.name: one for one in markets if one.market.name}
        by_text |= {one.name: one for one in markets}
        return _Directory(markets, by_text, [key for key, one in found.items() if one is None])

    def _listed(self, known: _Market, now_ms: int) -> Listed:
        marks = (self._prices.marks.get(key) for key in known.prices)
        key = next((key for key in known.instruments if self._instruments.get(key) is not None), None)
        instrument = None if key is None else self._instruments.get(key)
        return Listed(
            market=known.market,
            name=known.name,
            offer=known.offer,
            mark=self._prices.used(known.deployment, known.market.symbol_id, now_ms),
            funding=next((mark for mark in marks if mark and mark.funding_rate_e18 is not None), None),
            instrument=instrument or Instrument(),
            is_listed=key is not None and self._lists.names(key),
        )


def _known(
    deployment: str,
    market: Market,
    *,
    settings: SymmioSettings,
    refs: Sequence[PriceRef],
    bearers: Mapping[str, int],
) -> _Market:
    name = market.name or ""
    return _Market(
        deployment=deployment,
        market=market,
        # Two markets with one source and symbol would be one to clients, so each keeps the name that its chain gave it.
        name=refs[0].symbol if refs and bearers[refs[0].symbol] == 1 else name,
        offer=settings.solver.of(name),
        prices=tuple(mark_key(ref.source, ref.symbol) for ref in refs),
        instruments=tuple(mark_key(ref.source.removesuffix("-book"), ref.symbol) for ref in refs),
    )


def _market_of(key: bytes, row: bytes) -> Market:
    return decode_market(int(split_key(key)[1]), row)
