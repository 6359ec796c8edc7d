"""The rows that changed since an index last read them: they are read when the index is asked, a few ms at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from api.tables.turns import next_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from api.tables.feeds import RowFeed


class Backlog:
    """Remembers which keys of a table an index has not read; at first it has read none.

    Args:
        feed: The table.
        keys_a_turn: How many keys are read before the loop is given to others.
    """

    def __init__(self, feed: RowFeed, keys_a_turn: int) -> None:
        self._keys = set(feed.rows)
        self._keys_a_turn = keys_a_turn
        self._reading = asyncio.Lock()
        feed.listen(self._heard)

    async def catch_up(self, read: Callable[[Sequence[bytes]], None]) -> None:
        """Have the index read every key that changed; callers take turns.

        Args:
            read: Reads the rows of some keys. What it raises is raised here, and the same keys are read again the next
                time: an index that left out an unreadable row would be wrong.
        """
        async with self._reading:
            keys, self._keys = self._keys, set()
            turn: Sequence[bytes] = ()
            try:
                while keys:
                    turn = [keys.pop() for _ in range(min(len(keys), self._keys_a_turn))]
                    read(turn)
                    turn = ()
                    await next_turn()
            finally:
                self._keys |= keys
                self._keys.update(turn)

    def _heard(self, keys: Sequence[bytes]) -> None:
        self._keys.update(keys)
