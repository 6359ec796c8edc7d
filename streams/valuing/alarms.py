"""The alarms of one partition's accounts: the only writer of alerts, before the valuations that show the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from models.codec import decode_row
from models.symmio.alerts import QUIET, alarms_of, alarms_of_row, with_transitions
from streams.kafka.topics import ALERTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.transport.tables import Rows

# A row's alarms are read in about 2 µs; the loop is given back every millisecond.
_YIELD_EVERY = 500


class Alarms:
    """Compares what valuations say with what the alerts rows say, and writes each transition once.

    A transition is acknowledged before the valuation that shows it is written: a worker that is killed finds either
    neither, or the transition, and in both cases makes one of it (docs/adr/0022). What no alarm of is on is not held.

    Args:
        partition: The partition that is owned.
        rows: Its rows.
    """

    def __init__(self, partition: int, rows: Rows) -> None:
        self._partition = partition
        self._rows = rows
        self._alarms: dict[bytes, int] = {}
        self._untold: set[bytes] = set()

    async def restore(self) -> None:
        """Read which alarms are on by the rows that were recovered."""
        for at, (key, value) in enumerate(self._rows.items(ALERTS, self._partition)):
            self._hold(key, alarms_of_row(value))
            if at % _YIELD_EVERY == 0:
                await asyncio.sleep(0)

    def is_told(self, key: bytes, valuation: Mapping[str, Any], on_told: Callable[[], None]) -> bool:
        """Whether every transition that a valuation's body shows is on record, so that the valuation may be written.

        Where one is not, it is written, and ``on_told`` called when the broker has it: the account is to be valued
        again then. A call before that says False.
        """
        if key in self._untold:
            return False
        before = self._alarms.get(key, QUIET)
        alarms = alarms_of(valuation, before)
        if alarms == before:
            return True
        standing = self._rows.get(ALERTS, self._partition, key)
        row = None if standing is None else decode_row(standing)
        body = with_transitions(key, None if row is None else row.body, alarms, valuation)
        version = 1 if row is None else row.version + 1
        self._untold.add(key)
        self._hold(key, alarms)
        self._rows.write(ALERTS, self._partition, key, (version, body), _Telling(self, key, on_told))
        return False

    def told(self, key: bytes) -> None:
        """The broker has the account's transition."""
        self._untold.discard(key)

    def _hold(self, key: bytes, alarms: int) -> None:
        if alarms == QUIET:
            self._alarms.pop(key, None)
        else:
            self._alarms[key] = alarms


class _Telling:
    """The charge of one alerts row."""

    def __init__(self, alarms: Alarms, key: bytes, on_told: Callable[[], None]) -> None:
        self._alarms = alarms
        self._key = key
        self._on_told = on_told

    def opened(self) -> None:
        """The row is on its way."""

    def acked(self, count: int) -> None:  # noqa: ARG002 - there is one
        """The broker has the row."""
        self._alarms.told(self._key)
        self._on_told()
