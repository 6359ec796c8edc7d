"""The markets that accounts name: of venues whose markets have no rows, nothing else says that there are any."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from models.body_reader import body_reader
from models.engine.stored_rows import readable
from models.engine.tables import VALUATIONS
from models.ids import split_key
from streams.process.unreadable_rows import note_unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from api.tables.feeds import RowFeed
    from models.engine.board import MarketId

# Reading a row takes some 5 µs. A mark that was fresh when its row was written stays so for seconds (``max_age_ms``),
# so rows may wait for some looks of ``Freshness``, which asks twice a second.
_ROWS_AT_ONCE = 500


# Structs that the garbage collector passes over, since they are gone at once.
class _Position(msgspec.Struct, gc=False):
    symbol: int | str


class _Names(msgspec.Struct, gc=False):
    positions: list[_Position]
    conversions: dict[str, msgspec.Raw] = {}


_read_names = body_reader(VALUATIONS, _Names)


class AccountMarkets:
    """Finds the markets that rows of ``valuations`` name, of positions and conversions, a part of the rows at a time.

    Args:
        valuations: The table.
        deployments: Those whose markets have their names for ids; rows of others are not read.

    Attributes:
        converting: The markets that were found by whose marks amounts become money.
    """

    def __init__(self, valuations: RowFeed, deployments: Iterable[str]) -> None:
        self._rows = valuations.rows
        # By deployment, in the order in which they came, each key once.
        self._unread: dict[str, dict[bytes, None]] = {name: {} for name in deployments}
        self._found: set[MarketId] = set()
        self.converting: set[MarketId] = set()
        if self._unread:
            self._heard(list(self._rows))
            valuations.listen(self._heard)

    def take_new(self) -> list[MarketId]:
        """The markets that were not found before, in the rows that have waited for longest."""
        new: list[MarketId] = []
        rows_each = max(1, _ROWS_AT_ONCE // max(1, len(self._unread)))
        for deployment, keys in self._unread.items():
            for key in list(islice(keys, rows_each)):
                del keys[key]
                markets = self._named_by(deployment, key) - self._found
                self._found |= markets
                new += markets
        return new

    def _named_by(self, deployment: str, key: bytes) -> set[MarketId]:
        row = self._rows.get(key)
        names = None if row is None else readable(note_unreadable, VALUATIONS, key, row, _read_names)
        if names is None:
            return set()
        converting = {(deployment, market) for market in names.conversions}
        self.converting |= converting
        held = {(deployment, position.symbol) for position in names.positions if isinstance(position.symbol, str)}
        return converting | held

    def _heard(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            deployment, _ = split_key(key)
            unread = self._unread.get(deployment)
            if unread is not None:
                unread[key] = None
