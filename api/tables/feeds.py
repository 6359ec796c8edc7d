"""The tables the api reads, as it needs them: rows in memory, and how far they are behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from streams.kafka.topics import (
    ALERTS,
    DEPLOYMENTS,
    INSTRUMENTS,
    MARKETS,
    MARKS,
    POSITION_STATES,
    SUBTOTALS,
    VALUATIONS,
    WATERMARKS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class RowFeed(Protocol):
    """A table followed into memory; ``streams.kafka.feed.Feed`` is one."""

    @property
    def rows(self) -> Mapping[bytes, bytes]:
        """Key → row, as ``models.codec`` encodes it."""

    @property
    def is_ready(self) -> bool:
        """Whether everything that stood in the table at start has been read; it never becomes false again."""

    @property
    def lag_records(self) -> int:
        """Records known to be in the changelog and not read yet."""

    @property
    def newest_ms(self) -> int:
        """Broker's time of the newest record read, in ms; 0 before the first one."""

    @property
    def answered_ms(self) -> int:
        """Our own time when the broker last answered, in ms; 0 before the start."""

    async def wait_ready(self) -> None:
        """Wait until ``is_ready``."""

    def listen(self, on_rows: Callable[[Sequence[bytes]], None]) -> None:
        """Call ``on_rows`` with the keys that changed, from now on, after ``rows`` holds their new rows."""


# A feed asks its broker every 2 s and waits 3 s for the answer; a longer silence says that it is gone.
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
        }


def behind_ms(feed: RowFeed, now_ms: int) -> int:
    """How late the rows may be, in ms: age of the newest one while others wait, or of the broker's last answer."""
    waiting_ms = now_ms - feed.newest_ms if feed.lag_records and feed.newest_ms else 0
    silent_ms = now_ms - feed.answered_ms
    return max(0, waiting_ms, silent_ms if silent_ms > _SILENCE_MS else 0)
