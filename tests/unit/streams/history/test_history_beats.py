"""What the process that keeps history says of itself."""

from __future__ import annotations

from models.heartbeats import HISTORY_KEY, HistoryBeat
from streams.history.history_beats import HistoryBeats
from streams.kafka.reader import TopicReader
from streams.process.clock import SystemClock
from streams.settings import Settings


class Reader(TopicReader):
    """A reader that is as far as it is told to be."""

    def __init__(self, *, is_ready: bool, lag_records: int, answered_ms: int) -> None:
        super().__init__(Settings(kafka="nowhere:1").bootstrap, "served", SystemClock())
        self.now = is_ready, lag_records
        self.answered_ms = answered_ms

    @property
    def is_ready(self) -> bool:
        return self.now[0]

    @property
    def lag_records(self) -> int:
        return self.now[1]


def test_it_is_in_step_when_both_have_read_all_there_was_when_the_broker_last_said_how_much_that_is() -> None:
    shown = Reader(is_ready=False, lag_records=0, answered_ms=900)
    booked = Reader(is_ready=True, lag_records=0, answered_ms=950)
    beats = HistoryBeats((shown, booked))

    def said(at_ms: int) -> HistoryBeat:
        beat = beats.at("host:1", at_ms)[HISTORY_KEY]
        assert isinstance(beat, HistoryBeat)
        return beat

    assert HistoryBeat("host:1", 1_000, 0) == said(1_000)
    shown.now = True, 0
    assert HistoryBeat("host:1", 1_000, 900) == said(1_000)
    # The broker of one topic does not answer any more.
    shown.answered_ms = 2_900
    assert HistoryBeat("host:1", 3_000, 950) == said(3_000)
    booked.answered_ms, shown.now = 3_900, (True, 7)
    assert HistoryBeat("host:1", 4_000, 950) == said(4_000)
