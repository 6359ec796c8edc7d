"""The tables as the api reads them: rows in memory, and how late they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from models.engine.tables import (
    ALERTS,
    DEPLOYMENTS,
    INSTRUMENTS,
    MARKETS,
    MARKS,
    POSITION_STATES,
    REFERENCES,
    STATEMENTS,
    SUBTOTALS,
    VALUATIONS,
    WATERMARKS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class RowFeed(Protocol):
    """A table that is followed into memory; ``streams.kafka.feed.Feed`` is one."""

    @property
    def rows(self) -> Mapping[bytes, bytes]:
        """Key → row, as ``models.codec`` encodes it."""

    @property
    def is_ready(self) -> bool:
        """Whether all that was in the table at the start has been read; it never becomes false again."""

    @property
    def lag_records(self) -> int:
        """How many records are known to be in the changelog and have not been read yet."""

    @property
    def newest_ms(self) -> int:
        """The broker's time of the newest record read, in Unix ms; 0 before the first one."""

    @property
    def answered_ms(self) -> int:
        """Our own time when the broker last answered, in Unix ms; 0 before the start."""

    async def wait_ready(self) -> None:
        """Wait until ``is_ready``."""

    def listen(self, on_rows: Callable[[Sequence[bytes]], None]) -> None:
        """Call ``on_rows`` with the keys of rows that changed, each time after ``rows`` holds the new ones."""

    def listen_rows(self, on_row: Callable[[bytes, bytes], None]) -> None:
        """Call ``on_row`` with the key and the value of each row, in log order, also of those that others replace."""


# A feed asks its broker every 2 s and waits 3 s for the answer; after a longer silence the broker counts as gone.
_SILENCE_MS = 5_500


@dataclass(frozen=True, slots=True)
class Feeds:
    """One feed for each table that is served."""

    valuations: RowFeed
    deployments: RowFeed
    marks: RowFeed
    watermarks: RowFeed
    markets: RowFeed
    subtotals: RowFeed
    instruments: RowFeed
    alerts: RowFeed
    position_states: RowFeed
    references: RowFeed
    statements: RowFeed

    def by_table(self) -> dict[str, RowFeed]:
        """Table name → feed."""
        return {
            VALUATIONS: self.valuations,
            DEPLOYMENTS: self.deployments,
            MARKS: self.marks,
            WATERMARKS: self.watermarks,
            MARKETS: self.markets,
            SUBTOTALS: self.subtotals,
            INSTRUMENTS: self.instruments,
            ALERTS: self.alerts,
            POSITION_STATES: self.position_states,
            REFERENCES: self.references,
            STATEMENTS: self.statements,
        }


def behind_ms(feed: RowFeed, now_ms: int) -> int:
    """Say how late a table's rows may be, in ms: 0 where all are read and the broker answers.

    Where records wait, it is the age of the newest one read; where the broker is silent, it is the time since its last
    answer.

    Args:
        feed: The table.
        now_ms: The time now, in Unix ms.
    """
    waiting_ms = now_ms - feed.newest_ms if feed.lag_records and feed.newest_ms else 0
    silent_ms = now_ms - feed.answered_ms
    return max(0, waiting_ms, silent_ms if silent_ms > _SILENCE_MS else 0)
