"""The input board of a replica: which mark each market has now, by the same choice as in the workers; references."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from api.tables.account_markets import AccountMarkets
from models.engine.board import InputBoard
from models.engine.stored_rows import readable
from models.engine.tables import MARKS, REFERENCES
from models.kept_inputs import CalculationsMade, KeptMark
from models.prices import decode_mark
from models.references import used_of_row
from streams.process.unreadable_rows import note_unreadable
from streams.settings.venues import venues_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from api.tables.feeds import Feeds
    from models.engine.board import MarketId
    from models.prices import Mark, UsedMark
    from models.references import UsedReference
    from streams.settings import Settings

T = TypeVar("T")


class DecodedRows(Generic[T]):
    """A feed's rows, each decoded when it is first asked for.

    Args:
        table: The feed's table.
        rows: Its rows by key.
        read: Reads a row.
    """

    def __init__(self, table: str, rows: Mapping[bytes, bytes], read: Callable[[bytes], T]) -> None:
        self._table = table
        self._rows = rows
        self._read = read
        self._decoded: dict[bytes, tuple[bytes, T | None]] = {}

    def get(self, key: bytes) -> T | None:
        """The decoded row of a key, None where there is none, or one that cannot be read."""
        row = self._rows.get(key)
        if row is None:
            return None
        known = self._decoded.get(key)
        if known is None or known[0] is not row:
            known = self._decoded[key] = row, readable(note_unreadable, self._table, key, row, self._read)
        return known[1]

    def is_unreadable(self, key: bytes) -> bool:
        """Whether a key has a row that cannot be read."""
        return key in self._rows and self.get(key) is None


class InputsAt:
    """What values of a deployment depend on, as of one instant: a mark is chosen once, and stays chosen.

    Args:
        prices: Choose the marks.
        deployment: The deployment.
        now_ms: The instant, Unix ms.
    """

    def __init__(self, prices: MarketPrices, deployment: str, now_ms: int) -> None:
        self._prices = prices
        self._deployment = deployment
        self._now_ms = now_ms
        self._chosen: dict[int | str, UsedMark | None] = {}
        self._asked: dict[str, UsedReference | None] = {}

    def made(self, asked: list[tuple[str, int, int, str]]) -> CalculationsMade:
        """What is kept of calculations that were made of these inputs.

        Args:
            asked: Of each its account, term and version of the account's statement, and what was asked.
        """
        marks = {
            str(market): None if mark is None else KeptMark(mark.key, mark.offset, mark.stale)
            for market, mark in self._chosen.items()
        }
        references = {name: None if one is None else (one.partition, one.offset) for name, one in self._asked.items()}
        return CalculationsMade(self._now_ms, asked, marks, references)

    def mark(self, market: int | str) -> UsedMark | None:
        """The mark of a market, None where there is none."""
        if market not in self._chosen:
            self._chosen[market] = self._prices.used(self._deployment, market, self._now_ms)
        return self._chosen[market]

    def reference(self, name: str) -> UsedReference | None:
        """A reference, None where nothing was said of it."""
        found = self._asked[name] = self._prices.reference(self._deployment, name)
        return found


class MarketPrices:
    """Reads marks, markets and references from the feeds.

    ``marks`` are the newest marks by key.

    Args:
        settings: Say where the prices of each deployment's markets come from.
        feeds: The tables.
    """

    def __init__(self, settings: Settings, feeds: Feeds) -> None:
        self._deployments = settings.deployments
        self._rows = feeds.markets.rows
        self.marks: DecodedRows[Mark] = DecodedRows(MARKS, feeds.marks.rows, decode_mark)
        self._board = InputBoard(self.marks.get)
        # Of venues that say heads, what routes their records writes rows of their markets, whose ids are numbers.
        named = [name for name, one in self._deployments.items() if not one.says_heads]
        self._of_accounts = AccountMarkets(feeds.valuations, named)
        self._heard(list(self._rows))
        feeds.markets.listen(self._heard)
        self._venues = venues_of(settings)
        self._references = feeds.references.rows
        self._referred(list(self._references))
        feeds.references.listen(self._referred)

    def used(self, deployment: str, market: int | str, now_ms: int) -> UsedMark | None:
        """The mark of a market at an instant.

        Args:
            deployment: The market's deployment.
            market: Its id there.
            now_ms: The instant, Unix ms; marks grow stale by it.

        Returns:
            None where no source ever had one that can be read, or the market has no name yet.
        """
        if isinstance(market, str) and deployment in self._deployments:
            self._add((deployment, market))
        self._board.choose(((deployment, market),), now_ms)
        return self._board.used(deployment, market)

    def reference(self, deployment: str, name: str) -> UsedReference | None:
        """A reference of a deployment, None where nothing was said of it."""
        return self._board.references.get((deployment, name))

    def stale_markets(self, now_ms: int) -> frozenset[MarketId]:
        """The markets whose mark is stale at an instant, Unix ms, among those that have rows or that accounts name."""
        for market in self._of_accounts.take_new():
            self._add(market)
        self._board.choose_all(now_ms)
        return self._board.stale_markets()

    def converts(self, deployment: str, market: int | str) -> bool:
        """Whether amounts of any account of a deployment become money by the mark of a market."""
        return (deployment, market) in self._of_accounts.converting

    def _add(self, market: MarketId) -> None:
        self._board.add_named(market, self._deployments[market[0]])

    def _referred(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            row = self._references.get(key)
            used = None
            if row is not None:
                used = readable(note_unreadable, REFERENCES, key, row, partial(used_of_row, self._venues, key))
            self._board.refer(key, used)

    def _heard(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            row = self._rows.get(key)
            if row is not None:
                self._board.put_row(key, row, self._deployments, note_unreadable)
