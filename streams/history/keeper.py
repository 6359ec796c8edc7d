"""Makes bars of what was shown, in the order of the log, and says how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.deployment_sums import add_up, decode_sum
from models.engine.tables import VALUATIONS
from models.errors import BadRecord, BadRow
from models.history import KEPT_S, Reading, empty_bar, start_of
from models.history_records import decode_shown
from models.prices import FUTURE_MAX_MS
from models.row_keys import expect_key
from models.served import deployment_of_totals, is_of_account, totals_key
from models.subtotals import UNHEDGED
from streams.history.bar_store import Reached

if TYPE_CHECKING:
    from models.deployment_sums import Sum
    from models.history import Bar
    from streams.history.bar_store import BarId, BarStore

# Series are pruned in turns, so many with each commit.
_PRUNED_AT_ONCE = 200
# Bars that are still open are kept at hand, some 0.5 kB each; what does not fit is read again.
_AT_HAND_MAX = 100_000


class Keeper:
    """Folds records of ``served`` into bars; ``commit`` writes what they came to.

    Args:
        store: The bars.
    """

    def __init__(self, store: BarStore) -> None:
        self._store = store
        self._reached = store.reached()
        self._parts: dict[str, dict[int, Sum]] = {}
        for deployment, partition, row in store.parts():
            self._parts.setdefault(deployment, {})[partition] = decode_sum(UNHEDGED, row)
        self._totals_ms = 0
        self._at_hand: dict[BarId, Bar] = {}
        self._changed: dict[BarId, Bar] = {}
        self._new_parts: dict[tuple[str, int], bytes] = {}

    def next_offset(self, partition: int) -> int:
        """The offset of ``served`` that a partition goes on from."""
        return self._reached.get(partition, Reached()).next_offset

    def restart(self, partition: int, offset: int) -> None:
        """A partition goes on from an offset that does not follow the last one: what is between is gone."""
        self._reached[partition] = self._reached.get(partition, Reached())._replace(next_offset=offset)

    def take(self, partition: int, offset: int, time_ms: int, key: bytes, value: bytes, *, now_ms: int) -> None:
        """Fold a record.

        Args:
            partition: Where it stands.
            offset: Its offset.
            time_ms: Its own time, Unix ms.
            key: Its key.
            value: Its value.
            now_ms: The time now, Unix ms.

        Raises:
            BadRow: It cannot be read, or its time has not come; it counts as read all the same.
        """
        reached = self._reached.get(partition, Reached())
        self._reached[partition] = reached = reached._replace(next_offset=offset + 1)
        try:
            deployment = deployment_of_totals(key)
            if deployment is None:
                if not is_of_account(key):
                    return
                expect_key(VALUATIONS, key)
        except (BadRecord, UnicodeDecodeError) as error:
            msg = f"expected a row of valuations or of totals under their keys, found {key!r:.200}"
            raise BadRow(msg) from error
        shown = decode_shown(value)
        at_ms = time_ms if shown.at_ms is None else shown.at_ms
        _expect_time(at_ms, min(time_ms, now_ms))
        if shown.term < reached.term:
            # What an owner before had shown was kept late. What a fenced one writes was never shown.
            if at_ms < reached.since_ms and deployment is None:
                self._fold(key.decode(), at_ms, shown.reading, is_late=True)
            return
        if shown.term > reached.term:
            reached = reached._replace(term=shown.term, since_ms=at_ms)
        at_ms = max(at_ms, reached.newest_ms)
        self._reached[partition] = reached._replace(newest_ms=at_ms)
        if deployment is None:
            self._fold(key.decode(), at_ms, shown.reading)
        else:
            self._add(deployment, partition, at_ms, value)

    def commit(self, now_s: int) -> None:
        """Write everything since the last time, in one transaction.

        Args:
            now_s: The time now, Unix s, by which is known what is kept no longer.
        """
        with self._store.transaction():
            self._store.put_bars(self._changed)
            self._store.put_reached(self._reached)
            self._store.put_parts((*name, row) for name, row in self._new_parts.items())
            self._store.prune(now_s, _PRUNED_AT_ONCE)
        open_s = min((one.newest_ms for one in self._reached.values() if one.newest_ms), default=0) // 1_000
        self._at_hand |= self._changed
        self._at_hand = {bar_id: bar for bar_id, bar in self._at_hand.items() if bar_id[2] + bar_id[1] > open_s}
        if len(self._at_hand) > _AT_HAND_MAX:
            self._at_hand = {}
        self._changed, self._new_parts = {}, {}

    def _fold(self, series: str, at_ms: int, reading: Reading, *, is_late: bool = False) -> None:
        for step_s in KEPT_S:
            bar_id = series, step_s, start_of(at_ms, step_s)
            bar = self._changed.get(bar_id) or self._at_hand.get(bar_id) or self._store.bar(bar_id)
            if bar is None:
                # Of a late reading nothing is known to have come after it in its span.
                self._changed[bar_id] = empty_bar(bar_id[2]).then(reading)
            else:
                self._changed[bar_id] = bar.widened(reading) if is_late else bar.then(reading)

    def _add(self, deployment: str, partition: int, at_ms: int, value: bytes) -> None:
        parts = self._parts.setdefault(deployment, {})
        parts[partition] = decode_sum(UNHEDGED, value)
        self._new_parts[deployment, partition] = value
        total = add_up(UNHEDGED, list(parts.values())).amounts_e18
        self._totals_ms = max(self._totals_ms, at_ms)
        self._fold(totals_key(deployment).decode(), self._totals_ms, Reading(total["upnl"], total["notional"]))


def _expect_time(at_ms: int, by_ms: int) -> None:
    """Refuse a row that would be made after it was written, or after now.

    It would move all rows behind it to its own time, since bars follow the order of the log.
    """
    if not 0 <= at_ms <= by_ms + FUTURE_MAX_MS:
        msg = (
            f"expected a row that was made at most {FUTURE_MAX_MS} ms after {by_ms}, when it was written or it is now, "
            f"found {at_ms}: compare the clocks of this host and of its worker's"
        )
        raise BadRow(msg)
