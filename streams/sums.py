"""The subtotals of one partition, brought up to date once a second from the valuations that were written meanwhile."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from models.codec import decode_row, encode_body
from models.ids import split_key
from models.symmio.subtotals import Subtotals
from streams.topics import SUBTOTALS, VALUATIONS

if TYPE_CHECKING:
    from streams.tables import Rows

_EVERY_S = 1.0


class Sums:
    """Counts each account once a second at the most, however often its row was written.

    Args:
        partition: The partition that is owned.
        rows: Its rows.
    """

    def __init__(self, partition: int, rows: Rows) -> None:
        self._partition = partition
        self._rows = rows
        self._subtotals = Subtotals()
        self._noted: dict[bytes, bytes | None] = {}
        self._counting: dict[bytes, bytes | None] = {}
        # The first write also zeroes what stands for positions that are no more: no account would bring it about.
        self._is_first = True
        self.due_s = time.monotonic() + _EVERY_S

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything to count at ``due_s``, or to write."""
        return self._is_first or bool(self._noted or self._counting)

    def note(self, key: bytes, counted: bytes | None) -> None:
        """An account's valuation was written; ``counted`` is the row before, None where the sums have none of it."""
        # One whose turn is still to come is counted by what stands then.
        if key not in self._counting:
            self._noted.setdefault(key, counted)

    def turn(self, until_s: float) -> bool:
        """Count until everything is counted and written, or the time on the monotonic clock has come.

        Returns:
            Whether everything is.
        """
        if not self._counting:
            self._counting, self._noted = self._noted, {}
        while self._counting:
            if time.monotonic() >= until_s:
                return False
            key, before = self._counting.popitem()
            after = self._rows.get(VALUATIONS, self._partition, key)
            if after is not None:
                known = None if before is None else decode_row(before).body
                self._subtotals.put(split_key(key)[0], known, decode_row(after).body)
        self._write()
        self._is_first = False
        self.due_s = time.monotonic() + _EVERY_S
        return True

    def _write(self) -> None:
        standing_keys = {key for key, _ in self._rows.items(SUBTOTALS, self._partition)}
        for key, body in self._subtotals.take_changed(self._partition, standing_keys):
            standing = self._rows.get(SUBTOTALS, self._partition, key)
            self._rows.write_if_changed(SUBTOTALS, self._partition, key, standing, encode_body(body))
        self._rows.flush()
