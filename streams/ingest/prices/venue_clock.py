"""By how much a venue's clock is ahead of ours, measured by asking the venue what time it is.

Prices alone cannot tell a venue whose clock is 15 s behind from one whose prices come 15 s late. Its answer to a
question can: it was made between the question and its receipt.
"""

from __future__ import annotations

import logging
import statistics
from collections import deque
from math import nan

from prometheus_client import Counter, Gauge

_log = logging.getLogger(__name__)

_AHEAD = Gauge(
    "tidemark_price_clock_ahead_seconds",
    "By how much the venue's clock is ahead of ours; NaN while the venue has not said its time.",
    ("source",),
)
_QUESTIONS = Counter(
    "tidemark_price_clock_questions_total", "Times a venue was asked for its time.", ("source", "outcome")
)

EVERY_S = 10.0
"""How often a venue is asked."""

ANSWERED = "answered"
"""The outcome of a question whose answer counts."""

# The middle of five answers: two that are wrong change nothing, and a clock that was set is followed after 30 s.
_ANSWERS = 5
# The time in an answer may be wrong by half of what question and answer took.
_LONGEST_ROUND_MS = 2_000
# What is further off is no clock. It tells which ticks are of the future, and one that is taken stops its market.
_FURTHEST_MS = 3_600_000


class VenueClock:
    """Judges a venue's answers to the question of its time.

    Args:
        source: The source's name.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._answers_ms: deque[int] = deque(maxlen=_ANSWERS)
        self._failing_as = ""
        self._ahead = _AHEAD.labels(source)
        self._ahead.set(nan)

    @property
    def ahead_ms(self) -> int:
        """By how much the venue's clock is ahead of ours, in ms, negative where it is behind; 0 while that is unknown.

        A venue that never says its time is taken to have a right clock: then prices that come late are seen to be late,
        and so are those of a venue whose clock is behind.
        """
        return statistics.median_low(self._answers_ms) if self._answers_ms else 0

    def answered(self, asked_ms: int, heard_ms: int, time_ms: int) -> str:
        """Take an answer in.

        Args:
            asked_ms: When the venue was asked, by our clock, in Unix ms.
            heard_ms: When its answer came, by our clock.
            time_ms: The time that it says.

        Returns:
            The outcome: ``ANSWERED``, or why the answer does not count.
        """
        if not 0 <= heard_ms - asked_ms <= _LONGEST_ROUND_MS:
            return self.asked("slow")
        ahead_ms = time_ms - (asked_ms + heard_ms) // 2
        if abs(ahead_ms) > _FURTHEST_MS:
            return self.asked("far_off")
        self._answers_ms.append(ahead_ms)
        self._ahead.set(self.ahead_ms / 1_000)
        return self.asked(ANSWERED)

    def asked(self, outcome: str) -> str:
        """Count what came of a question, and log a failure once, not at every try; return the outcome."""
        _QUESTIONS.labels(self._source, outcome).inc()
        failing_as = "" if outcome == ANSWERED else outcome
        if failing_as and failing_as != self._failing_as:
            _log.warning("venue does not say its time source=%s cause=%s", self._source, outcome)
        self._failing_as = failing_as
        return outcome
