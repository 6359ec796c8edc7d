"""Windows in which nothing is charged for a hedger: which they are and why, so that none goes by in silence."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from prometheus_client import Counter

from models.symmio.funding_plan import missed_windows
from models.symmio.funding_records import NOBODY, Epoch, Frozen, Missed, Refused

if TYPE_CHECKING:
    from models.symmio.funding_plan import Window
    from models.symmio.funding_records import Record
    from streams.funder.funding_inputs import Tables
    from streams.funder.funding_journal import Journal

_log = logging.getLogger(__name__)

_MISSED = Counter("tidemark_funding_missed_windows_total", "Windows without any charge.", ("deployment",))


class MissedWindows:
    """The windows of one hedger.

    Args:
        name: The deployment's name.
        party_b: Address of the hedger.
        journal: Where each is put on record.
        tables: Tell which windows there are.

    Attributes:
        no_pass: Why the executor makes no pass now, None while it does.
    """

    def __init__(self, name: str, party_b: str, *, journal: Journal, tables: Tables) -> None:
        self.no_pass: str | None = None
        self._name = name
        self._party_b = party_b
        self._journal = journal
        self._tables = tables
        self._last: dict[tuple[int, int], int] = {}
        self._refused: dict[Epoch, Refused] = {}
        self._passed_s = 0

    def restore(self, record: Record) -> None:
        """Take over a record of the hedger; those of one key come in order."""
        if isinstance(record, Frozen | Missed):
            self.seen(record.epoch)
        elif isinstance(record, Refused) and record.epoch.pays_s > self._last_s(record.epoch):
            self._refused[record.epoch] = record

    def seen(self, epoch: Epoch) -> None:
        """Note that an epoch is on record, as charged or as missed."""
        self._last[epoch.epoch_s, epoch.window_s] = max(self._last_s(epoch), epoch.pays_s)
        self._refused.pop(epoch, None)

    async def refuse(self, epoch: Epoch, window: Window, reason: str) -> None:
        """Put on record why an epoch is not charged now, so that whoever comes next knows it too."""
        standing = self._refused.get(epoch)
        if standing is not None and standing.reason == reason:
            return
        _log.error("nothing is charged epoch=%s: %s", epoch, reason)
        refused = Refused(epoch, window.opens_s, window.closes_s, self._party_b, reason)
        self._refused[epoch] = refused
        await self._journal.write([refused])

    async def note(self, now_s: int) -> None:
        """Put on record what has closed by the chain's time ``now_s``; from here on a pass is made."""
        closed = [one for one in self._refused.values() if one.closes_s < now_s]
        for refused in closed:
            self.seen(refused.epoch)
        missed = [
            Missed(
                one.epoch,
                one.opens_s,
                one.closes_s,
                self._party_b,
                one.reason if one.reason != NOBODY else self._absence(one.closes_s),
            )
            for one in closed
            # Where no market has such epochs any more, there was nothing to be missed.
            if (one.epoch.epoch_s, one.epoch.window_s) in self._tables.kinds
        ]
        missed += self._unseen(now_s)
        if missed:
            await self._journal.write(missed)
        for one in missed:
            _log.error("window missed epoch=%s: %s, it is never charged", one.epoch, one.reason)
            _MISSED.labels(self._name).inc()
            self.seen(one.epoch)
        self._pass_over(now_s)
        self.no_pass, self._passed_s = None, now_s
        await self._begin(now_s)

    async def _begin(self, now_s: int) -> None:
        """Put on record which window is the first one, where none is yet: from then on an absence is noticed."""
        known = self._last.keys() | {(one.epoch.epoch_s, one.epoch.window_s) for one in self._refused.values()}
        first = [
            Refused(epoch, window.opens_s, window.closes_s, self._party_b, NOBODY)
            for epoch, window in self._tables.next_windows(now_s).items()
            if (epoch.epoch_s, epoch.window_s) not in known
        ]
        self._refused |= {one.epoch: one for one in first}
        if first:
            await self._journal.write(first)

    def _pass_over(self, now_s: int) -> None:
        """Miss nothing of a kind that no market has now: one may have it again later."""
        for epoch_s, window_s in self._last.keys() - self._tables.kinds:
            for window in missed_windows(self._last[epoch_s, window_s], now_s, epoch_s, window_s, self._tables.when):
                self._last[epoch_s, window_s] = window.pays_s

    def _absence(self, closes_s: int) -> str:
        """Why a window closed without a pass: what kept this executor from it, unless it was not there before."""
        if self.no_pass is not None and 0 < self._passed_s < closes_s:
            return f"no pass was made: {self.no_pass}"
        return NOBODY

    def _last_s(self, epoch: Epoch) -> int:
        return self._last.get((epoch.epoch_s, epoch.window_s), 0)

    def _unseen(self, now_s: int) -> list[Missed]:
        """The windows that closed without a pass."""
        return [
            Missed(
                Epoch(epoch_s, window_s, window.pays_s),
                window.opens_s,
                window.closes_s,
                self._party_b,
                self._absence(window.closes_s),
            )
            for epoch_s, window_s in sorted(self._last.keys() & self._tables.kinds)
            for window in missed_windows(self._last[epoch_s, window_s], now_s, epoch_s, window_s, self._tables.when)
        ]
