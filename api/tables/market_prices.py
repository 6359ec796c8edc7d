"""The input board of a replica: which mark each market has now, by the same choice as in the workers."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

from models.codec import decode_row
from models.engine.board import InputBoard
from models.errors import BadRow
from models.prices import decode_mark

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from api.tables.feeds import Feeds
    from models.engine.board import MarketId
    from models.prices import Mark, UsedMark
    from streams.settings import Settings

T = TypeVar("T")


class DecodedRows(Generic[T]):
    """A feed's rows, each decoded when it is first asked for.

    Args:
        rows: The feed's rows by key.
        read: Reads a row's body.
    """

    def __init__(self, rows: Mapping[bytes, bytes], read: Callable[[dict[str, Any]], T]) -> None:
        self._rows = rows
        self._read = read
        self._decoded: dict[bytes, tuple[bytes, T]] = {}

    def get(self, key: bytes) -> T | None:
        """The decoded row of a key, None where there is none.

        Raises:
            BadRow: It cannot be read.
        """
        row = self._rows.get(key)
        if row is None:
            return None
        known = self._decoded.get(key)
        if known is None or known[0] is not row:
            known = self._decoded[key] = row, self._read(decode_row(row).body)
        return known[1]


class MarketPrices:
    """Reads marks and markets from the feeds.

    ``marks`` are the newest marks by key.

    Args:
        settings: Say where the prices of each deployment's markets come from.
        feeds: The tables.
    """

    def __init__(self, settings: Settings, feeds: Feeds) -> None:
        self._deployments = settings.deployments
        self._rows = feeds.markets.rows
        self.marks: DecodedRows[Mark] = DecodedRows(feeds.marks.rows, decode_mark)
        self._board = InputBoard(self.marks.get)
        self._heard(list(self._rows))
        feeds.markets.listen(self._heard)

    def used(self, deployment: str, market: int | str, now_ms: int) -> UsedMark | None:
        """The mark of a market at an instant.

        Args:
            deployment: The market's deployment.
            market: Its id there.
            now_ms: The instant, Unix ms; marks grow stale by it.

        Returns:
            None where no source ever had one, or the market has no name yet.

        Raises:
            BadRow: The row of one of its marks cannot be read.
        """
        if isinstance(market, str):
            # A market that is known by its name alone has no row that would tell of it.
            self._board.add_named((deployment, market), self._deployments[deployment])
        self._board.choose(((deployment, market),), now_ms)
        return self._board.used(deployment, market)

    def stale_markets(self, now_ms: int) -> frozenset[MarketId]:
        """The markets whose mark is stale at an instant, Unix ms; one whose marks cannot be read is as it was."""
        for market in self._board.markets:
            with suppress(BadRow):
                self._board.choose((market,), now_ms)
        return self._board.stale_markets()

    def _heard(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            row = self._rows.get(key)
            if row is not None:
                self._board.put_row(key, row, self._deployments)
