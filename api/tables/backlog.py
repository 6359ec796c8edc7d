"""Rows that changed since an index of them was last asked: read when somebody asks, a few ms at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from api.tables.feeds import RowFeed


class Backlog:
    """The keys of a table whose rows an index has not taken in yet; at first, all of them.

    Args:
        feed: The table.
        keys_a_turn: How many are read between two chances for others.
    """

    def __init__(self, feed: RowFeed, keys_a_turn: int) -> None:
        self._keys = set(feed.rows)
        self._keys_a_turn = keys_a_turn
        self._reading = asyncio.Lock()
        feed.listen(self._heard)

    async def catch_up(self, read: Callable[[Sequence[bytes]], None]) -> None:
        """Have every key read, one caller at a time.

        What ``read`` raises is raised; the keys that it was given are then read again the next time: an index without
        a row that cannot be read would be a wrong one.
        """
        async with self._reading:
            keys, self._keys = self._keys, set()
            turn: Sequence[bytes] = ()
            try:
                while keys:
                    turn = [keys.pop() for _ in range(min(len(keys), self._keys_a_turn))]
                    read(turn)
                    turn = ()
                    await asyncio.sleep(0)
            finally:
                self._keys |= keys
                self._keys.update(turn)

    def _heard(self, keys: Sequence[bytes]) -> None:
        self._keys.update(keys)
