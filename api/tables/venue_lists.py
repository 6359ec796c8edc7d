"""Which symbols a venue lists: those that its newest list names.

A venue says of a symbol that it is gone by leaving it out of the next list. All facts of one list were received at one
instant, so what was left out is known by an older one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from models.ids import split_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from api.tables.feeds import RowFeed
    from api.tables.market_prices import DecodedRows
    from models.instruments import Instrument

# The facts of a list come one by one, within a second; until then most symbols would seem to be left out.
_TAKEN_IN_MS = 10_000


class _Lists(NamedTuple):
    """When the two newest lists of a source were received, in Unix ms; 0 where there was none."""

    newest_ms: int = 0
    before_ms: int = 0


class VenueLists:
    """Follows the lists of every source.

    Args:
        feed: The table of instruments.
        instruments: Its rows, decoded.
        clock_ms: Our own time, in Unix ms.
    """

    def __init__(self, feed: RowFeed, instruments: DecodedRows[Instrument], clock_ms: Callable[[], int]) -> None:
        self._instruments = instruments
        self._clock_ms = clock_ms
        self._lists: dict[str, _Lists] = {}
        self._note(feed.rows)
        feed.listen(self._note)

    def names(self, key: bytes) -> bool:
        """Whether the newest list of a symbol's source that is wholly taken in names it.

        Args:
            key: The symbol's key in the table, ``source:symbol``.
        """
        instrument = self._instruments.get(key)
        if instrument is None or instrument.rules is None:
            return False
        lists, taken_in_ms = self._lists.get(split_key(key)[0], _Lists()), self._clock_ms() - _TAKEN_IN_MS
        since_ms = next((at_ms for at_ms in lists if at_ms <= taken_in_ms), 0)
        return instrument.rules.received_ms >= since_ms

    def _note(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            instrument = self._instruments.get(key)
            if instrument is None or instrument.rules is None:
                continue
            source, at_ms = split_key(key)[0], instrument.rules.received_ms
            lists = self._lists.get(source, _Lists())
            if at_ms > lists.newest_ms:
                self._lists[source] = _Lists(at_ms, lists.newest_ms)
            elif lists.before_ms < at_ms < lists.newest_ms:
                self._lists[source] = _Lists(lists.newest_ms, at_ms)
