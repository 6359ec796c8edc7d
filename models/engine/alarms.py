"""The alarms of one partition's accounts: each transition is on record before a valuation shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.alerts import (
    NOTHING_ON,
    Standing,
    alarms_of,
    alerts_of_row,
    hedgers_of,
    standing_of_row,
    with_transitions,
    without_transitions,
)
from models.codec import encode_body
from models.engine.step import Write
from models.engine.stored_rows import count_beyond, readable, stored
from models.engine.tables import ALERTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.engine.stored_rows import StoredRows


class Alarms:
    """Compares what valuations say with what the alerts rows say, and makes each transition once.

    A transition is acknowledged before the valuation that shows it is written: a worker that is killed finds either
    neither, or the transition, and in both cases makes one of it (docs/adr/0022). Accounts without an alarm that is on
    take no memory.

    A row that cannot be read is made anew: what is on comes on again, with numbers by which readers see that they may
    have missed something.

    Args:
        rows: The tables that the rows are written to.
    """

    def __init__(self, rows: StoredRows) -> None:
        self._rows = rows
        self._standing: dict[bytes, Standing] = {}
        self._unreadable: set[bytes] = set()
        self._unacknowledged: set[bytes] = set()

    def restore(self, key: bytes, row: bytes) -> None:
        """Take in a row of ``alerts`` that was recovered."""
        standing = readable(self._rows.note_unreadable, ALERTS, key, row, standing_of_row)
        if standing is None:
            self._unreadable.add(key)
        self._hold(key, standing or NOTHING_ON)

    def is_waiting(self, key: bytes) -> bool:
        """Whether a transition of the account is on its way: its valuation has to wait."""
        return key in self._unacknowledged

    def transition(self, key: bytes, valuation: Mapping[str, Any], made: Mapping[str, Any]) -> Write | None:
        """The alerts row to be written before a valuation may be; None where the row says it already.

        The valuation has to wait until ``acknowledged`` is called.

        Args:
            key: The account.
            valuation: Body of the valuation.
            made: Its provenance.
        """
        before = self._standing.get(key, NOTHING_ON)
        alarms, hedgers = alarms_of(valuation, before.alarms), hedgers_of(valuation, before.hedgers)
        if alarms == before.alarms and hedgers == before.hedgers and key not in self._unreadable:
            return None
        row = stored(self._rows, ALERTS, key, alerts_of_row)
        standing = without_transitions(before.alarms, count_beyond(row.version)) if row.is_unreadable else row.value
        body = with_transitions(key, standing, alarms, valuation, made)
        self._unreadable.discard(key)
        self._unacknowledged.add(key)
        self._hold(key, Standing(alarms, hedgers))
        return Write(ALERTS, key, row.version + 1, encode_body(body))

    def acknowledged(self, key: bytes) -> None:
        """The account's transition is durable."""
        self._unacknowledged.discard(key)

    def _hold(self, key: bytes, standing: Standing) -> None:
        if standing == NOTHING_ON:
            self._standing.pop(key, None)
        else:
            self._standing[key] = standing
