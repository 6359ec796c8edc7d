"""What the process that keeps history says of itself: that it goes on, and when it had last read all there was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.heartbeats import HISTORY_KEY, HistoryBeat

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from models.heartbeats import Beat
    from streams.kafka.reader import TopicReader


class HistoryBeats:
    """Makes the heartbeats.

    Args:
        readers: Of what was shown, and of bookings.
    """

    def __init__(self, readers: Collection[TopicReader]) -> None:
        self._readers = readers
        self._in_step_ms = 0

    def at(self, process: str, at_ms: int) -> Mapping[str, Beat]:
        """The heartbeat of an instant, by its key.

        Args:
            process: The process's name.
            at_ms: The instant, Unix ms.
        """
        if all(reader.is_ready and not reader.lag_records for reader in self._readers):
            # How much there is, is known as of then: a broker that answers no more says of no record that it is there.
            self._in_step_ms = min(at_ms, *(reader.answered_ms for reader in self._readers))
        return {HISTORY_KEY: HistoryBeat(process, at_ms, self._in_step_ms)}
