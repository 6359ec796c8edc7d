"""The subtotals of one partition, brought up to date every second or few from the valuations that were written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.codec import decode_row, encode_body
from models.ids import split_key
from models.symmio.subtotals import Subtotals
from streams.kafka.topics import SUBTOTALS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.process.clock import Clock
    from streams.transport.tables import Rows

_EVERY_S = 1.0
# Of the worker's time. Where all accounts are watched there are as many sums to write as accounts.
_SHARE = 0.05
# What was counted, a row of 2 kB, is kept until its account is counted anew, and so is the body that is to be counted:
# so many are some 6 MB a partition.
_NOTED_MAX = 1_000

_Noted = dict[bytes, tuple[bytes | None, Mapping[str, Any]]]


class Sums:
    """Counts each account once a round, however often its row was written; the sums are written at ``due_s``.

    A round begins then, or as soon as so many accounts wait that their former rows would fill memory.

    Args:
        partition: The partition that is owned.
        rows: Its rows.
        clock: Tells when a round is due, and what turns have taken.
    """

    def __init__(self, partition: int, rows: Rows, clock: Clock) -> None:
        self._partition = partition
        self._rows = rows
        self._clock = clock
        self._subtotals = Subtotals()
        self._noted: _Noted = {}
        self._counting: _Noted = {}
        # The first round also zeroes what stands for positions that are no more: no account would bring it about.
        self._standing = {key for key, _ in rows.items(SUBTOTALS, partition)}
        self._is_first = True
        self._writing: Iterator[tuple[bytes, dict[str, Any]]] | None = None
        self._spent_s = 0.0
        self.due_s = self._clock.monotonic_s() + _EVERY_S

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything to count or to write at ``due_s``."""
        return (
            self._is_first
            or bool(self._noted or self._counting or self._subtotals.changed)
            or self._writing is not None
        )

    def is_due(self, now_s: float) -> bool:
        """Whether to take a turn now."""
        return len(self._noted) >= _NOTED_MAX or (self.is_waiting and now_s >= self.due_s)

    def note(self, key: bytes, counted: bytes | None, body: Mapping[str, Any]) -> None:
        """An account's valuation stands.

        Args:
            key: The account.
            counted: The row in whose place it stands, None where the sums have none of the account.
            body: That of the row that stands.
        """
        waiting = self._counting if key in self._counting else self._noted
        before, _ = waiting.get(key, (counted, body))
        waiting[key] = before, body

    def turn(self, for_s: float) -> None:
        """Go on with the round for so long at the most; ``due_s`` is in the future when the sums are written."""
        began_s = self._clock.monotonic_s()
        is_over = self._round(began_s, began_s + for_s)
        self._spent_s += self._clock.monotonic_s() - began_s
        self._rows.flush()
        if is_over:
            self.due_s = began_s + max(_EVERY_S, self._spent_s / _SHARE)
            self._spent_s = 0.0

    def _round(self, now_s: float, until_s: float) -> bool:
        if self._writing is None:
            if not self._counting:
                self._counting, self._noted = self._noted, {}
            while self._counting:
                if self._clock.monotonic_s() >= until_s:
                    return False
                key, (before, body) = self._counting.popitem()
                self._subtotals.put(split_key(key)[0], None if before is None else decode_row(before).body, body)
            if now_s < self.due_s:
                return False
            self._writing = self._subtotals.take_changed(self._partition, self._standing)
        for key, body in self._writing:
            standing = self._rows.get(SUBTOTALS, self._partition, key)
            self._rows.write_if_changed(SUBTOTALS, self._partition, key, standing, encode_body(body))
            if self._clock.monotonic_s() >= until_s:
                return False
        self._writing, self._standing, self._is_first = None, set(), False
        return True
