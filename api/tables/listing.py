"""A deployment's markets with what chain, venue and settings say of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from models.codec import decode_row
from models.ids import mark_key, split_key
from models.instruments import TRADING, Instrument, decode_instrument
from models.money import E18, format_e18
from models.prices import decode_mark
from models.symmio.markets import decode_market
from models.symmio.valuation import choose_mark

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from api.tables.feeds import Feeds
    from models.instruments import Rules
    from models.prices import Mark
    from models.symmio.markets import Market
    from models.symmio.valuation import UsedMark
    from streams.settings import DeploymentSettings, LockedParams, PriceRef, Settings, SymbolSettings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listed:
    """One market.

    ``name`` is what it is called at its first source, which is where frontends read its price too. ``mark`` is what it
    is valued at, None where no source ever had one; ``funding`` the mark that says the venue's funding rate.
    """

    market: Market
    name: str
    offer: SymbolSettings
    mark: UsedMark | None
    funding: Mark | None
    instrument: Instrument

    @property
    def rules(self) -> Rules | None:
        """How the venue quotes it, None where that is not known."""
        return self.instrument.rules

    @property
    def is_valid(self) -> bool:
        """Whether it can be traded: by the chain, at the venue, and at a known price."""
        is_open = self.rules is not None and self.rules.status == TRADING
        return self.market.is_valid is True and self.mark is not None and is_open

    @property
    def tick_e18(self) -> int:
        """What prices are multiples of; 1 where the venue says nothing."""
        if self.rules is None:
            return 1
        return self.rules.tick_e18 or E18 // 10**self.rules.price_precision

    @property
    def max_leverage(self) -> Decimal:
        """The greatest leverage offered: no more than the table of locked values has a row for, and never below 1."""
        on_chain = Decimal(format_e18(self.market.max_leverage or 0))
        highest = on_chain if self.offer.max_leverage is None else self.offer.max_leverage
        return max(Decimal(1), min(highest, max(row.leverage for row in self.offer.locked)))

    def locked_at(self, leverage: Decimal) -> LockedParams:
        """The row of the nearest leverage at or above one that is offered."""
        return min((row for row in self.offer.locked if row.leverage >= leverage), key=lambda row: row.leverage)


@dataclass(frozen=True, slots=True)
class _Market:
    """What of a market only changes with its chain's own word; ``prices`` are (key of a mark, maximum age in ms)."""

    market: Market
    name: str
    offer: SymbolSettings
    prices: tuple[tuple[bytes, int], ...]
    instruments: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Directory:
    """A deployment's markets by symbol id, and by whatever a request may call one."""

    markets: tuple[_Market, ...]
    by_text: Mapping[str, _Market]


class Listings:
    """Reads markets from the feeds.

    Args:
        settings: Where prices come from, and what is offered.
        feeds: The tables.
        clock_ms: Our own time, in Unix ms; marks grow stale by it.
    """

    def __init__(self, settings: Settings, feeds: Feeds, clock_ms: Callable[[], int]) -> None:
        self._deployments = settings.deployments
        self._clock_ms = clock_ms
        self._rows = feeds.markets.rows
        self._directories: dict[str, _Directory] = {}
        feeds.markets.listen(self._heard)
        self._marks = _Table(feeds.marks.rows, decode_mark)
        self._instruments = _Table(feeds.instruments.rows, decode_instrument)
        self._needed = feeds.markets, feeds.marks, feeds.instruments

    @property
    def is_warm(self) -> bool:
        """Whether what is not in the tables is known not to be."""
        return all(feed.is_ready for feed in self._needed)

    def of(self, deployment: str) -> list[Listed]:
        """The markets of a deployment that have a name, by symbol id."""
        now_ms = self._clock_ms()
        return [self._listed(one, now_ms) for one in self._directory(deployment).markets]

    def find(self, deployment: str, text: str) -> Listed | None:
        """A market by its name, by its name on chain, or by its symbol id."""
        market = self._directory(deployment).by_text.get(text)
        return None if market is None else self._listed(market, self._clock_ms())

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
        found = [_market_of(key, row) for key, row in self._rows.items() if key.startswith(prefix)]
        named = sorted((one for one in found if one.name), key=lambda one: one.symbol_id)
        refs = {market.symbol_id: settings.prices_of(market.name or "") for market in named}
        bearers = Counter(sources[0].symbol for sources in refs.values() if sources)
        markets = tuple(_known(market, settings, refs[market.symbol_id], bearers) for market in named)
        by_text = {str(one.market.symbol_id): one for one in markets}
        by_text |= {one.market.name: one for one in markets if one.market.name}
        by_text |= {one.name: one for one in markets}
        return _Directory(markets, by_text)

    def _listed(self, known: _Market, now_ms: int) -> Listed:
        marks = [(key, self._marks.get(key), age_ms) for key, age_ms in known.prices]
        instruments = (self._instruments.get(key) for key in known.instruments)
        return Listed(
            market=known.market,
            name=known.name,
            offer=known.offer,
            mark=choose_mark([(key.decode(), mark, age_ms) for key, mark, age_ms in marks], now_ms),
            funding=next((mark for _, mark, _ in marks if mark and mark.funding_rate_e18 is not None), None),
            instrument=next((one for one in instruments if one is not None), Instrument()),
        )


def _known(
    market: Market, settings: DeploymentSettings, refs: Sequence[PriceRef], bearers: Mapping[str, int]
) -> _Market:
    name = market.name or ""
    return _Market(
        market=market,
        # Two markets at one price would be one to clients: then each keeps the name that the chain gave it.
        name=refs[0].symbol if refs and bearers[refs[0].symbol] == 1 else name,
        offer=settings.solver.of(name),
        prices=tuple((mark_key(ref.source, ref.symbol), ref.max_age_ms) for ref in refs),
        instruments=tuple(mark_key(ref.source.removesuffix("-book"), ref.symbol) for ref in refs),
    )


class _Table(Generic[T]):
    """A feed's rows, each decoded once."""

    def __init__(self, rows: Mapping[bytes, bytes], read: Callable[[dict[str, Any]], T]) -> None:
        self._rows = rows
        self._read = read
        self._decoded: dict[bytes, tuple[bytes, T]] = {}

    def get(self, key: bytes) -> T | None:
        row = self._rows.get(key)
        if row is None:
            return None
        standing = self._decoded.get(key)
        if standing is None or standing[0] is not row:
            standing = self._decoded[key] = row, self._read(decode_row(row).body)
        return standing[1]


def _market_of(key: bytes, row: bytes) -> Market:
    return decode_market(int(split_key(key)[1]), decode_row(row).body)
