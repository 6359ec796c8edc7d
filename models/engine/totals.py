"""The subtotals of one partition, brought up to date in rounds from the valuations that were written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from models.body_reader import no_row
from models.codec import decode_order, decode_row, encode_body
from models.engine.recent import Recent
from models.engine.step import Served, Write
from models.engine.stored_rows import readable
from models.engine.tables import SUBTOTALS, VALUATIONS
from models.ids import split_key
from models.provenance import join_provenance, says_the_same
from models.served import totals_key
from models.subtotals import Counted, Subtotals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from models.engine.stored_rows import StoredRows

# What was counted, a row of 2 kB, is kept until its account is counted anew, and so is the body that is to be counted:
# so many are some 6 MB a partition.
_NOTED_MAX = 1_000
# What was counted is kept for the next time, where no row need be decoded for it: some 4 kB each.
_COUNTED_KEPT = 2_000

_Noted = dict[bytes, tuple[bytes | None, Mapping[str, Any]]]


class Totals:
    """Counts each account once a round, however often its row was written, and then writes the sums that changed.

    Args:
        partition: Its number; part of the keys of ``subtotals``.
        rows: The tables that the sums are written to.
        current: Keys of the sums that the partition has. The first round also zeroes those that have no position left:
            no account's change would bring that about.
        on_lost: Called where it cannot be read any more what an account added to the sums, so that nothing is in them
            now: every account has to be noted again, as one that they have nothing of.
    """

    def __init__(self, partition: int, rows: StoredRows, current: Iterable[bytes], on_lost: Callable[[], None]) -> None:
        self._partition = partition
        self._rows = rows
        self._on_lost = on_lost
        self._subtotals = Subtotals()
        self._noted: _Noted = {}
        self._counting: _Noted = {}
        self._counted: Recent[Counted] = Recent(_COUNTED_KEPT)
        self._current = set(current)
        self._is_first = True
        self._writing: Iterator[tuple[bytes, dict[str, Any]]] | None = None
        self._said: dict[str, bytes] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything to count or to write."""
        return (
            self._is_first
            or bool(self._noted or self._counting or self._subtotals.changed)
            or self._writing is not None
        )

    @property
    def is_full(self) -> bool:
        """Whether so many accounts wait to be counted that their former rows would fill memory."""
        return len(self._noted) >= _NOTED_MAX

    def note(self, key: bytes, counted: bytes | None, body: Mapping[str, Any]) -> None:
        """Take note of an account's new valuation.

        Args:
            key: The account.
            counted: The row that it replaces, None where the sums have none of the account.
            body: That of the new row.
        """
        waiting = self._counting if key in self._counting else self._noted
        before, _ = waiting.get(key, (counted, body))
        waiting[key] = before, body

    def round(self, at_ms: int, *, is_due: bool) -> Iterator[Write | Served | None]:
        """Go on with the round, one account or sum at a time: a caller that stops in the middle goes on with the next.

        Args:
            at_ms: The instant, Unix ms, which the rows name.
            is_due: Whether sums may be written; without it, accounts are counted only.

        Yields:
            A sum to be written, None for an account that was counted or a sum that is as it was; last, what is kept of
            each deployment whose part of the totals is another. When all is counted and written, nothing is waiting but
            what was noted since.
        """
        if self._writing is None:
            if not self._counting:
                self._counting, self._noted = self._noted, {}
            while self._counting:
                key, (before, body) = self._counting.popitem()
                if not self._count(key, before, body):
                    self._begin_anew()
                    return
                yield None
            if not is_due:
                return
            self._writing = self._subtotals.take_changed(self._partition, self._current)
        for key, sums in self._writing:
            yield self._write(key, encode_body(sums), at_ms)
        self._writing, self._current, self._is_first = None, set(), False
        for deployment, body in self._subtotals.of_deployments():
            encoded = encode_body(body)
            if self._said.get(deployment) != encoded:
                self._said[deployment] = encoded
                yield Served(totals_key(deployment), at_ms, join_provenance(encoded, {"at_ms": at_ms}))

    def _count(self, key: bytes, before: bytes | None, body: Mapping[str, Any]) -> bool:
        """Count an account's new valuation instead of the row before; False where that cannot be read."""
        deployment, _ = split_key(key)
        counted = None
        if before is not None:
            counted = self._counted.get(key) or readable(
                self._rows.note_unreadable, VALUATIONS, key, before, partial(self._counted_of, deployment)
            )
            if counted is None:
                return False
        self._counted.put(key, self._subtotals.put(deployment, counted, body))
        return True

    def _counted_of(self, deployment: str, row: bytes) -> Counted:
        try:
            return self._subtotals.counted(deployment, decode_row(row).body)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise no_row(row, VALUATIONS, error) from error

    def _begin_anew(self) -> None:
        self._current.update(self._subtotals.keys(self._partition))
        self._subtotals = Subtotals()
        self._noted, self._counting = {}, {}
        self._counted = Recent(_COUNTED_KEPT)
        self._is_first = True
        self._on_lost()

    def _write(self, key: bytes, body: bytes, at_ms: int) -> Write | None:
        row = self._rows.read(SUBTOTALS, key)
        if row is not None and says_the_same(row, body):
            return None
        version = 1 if row is None else decode_order(row)[1] + 1
        return Write(SUBTOTALS, key, version, join_provenance(body, {"at_ms": at_ms}))
