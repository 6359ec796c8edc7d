"""By how much a venue's clock is ahead of ours, measured by asking the venue what time it is.

Prices alone cannot tell a venue whose clock is 15 s behind from one whose prices come 15 s late. Its answer to a
question can: it was made between the question and its receipt.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
from collections import deque
from math import nan
from typing import TYPE_CHECKING

import msgspec
from prometheus_client import Counter, Gauge

from streams.ingest.prices.binance import UNREADABLE
from streams.ingest.prices.rest_answers import FAILURES, fetch
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    import aiohttp

    from streams.process.clock import Clock

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
"""A request for the time has a weight of 1, and the venue grants 2,400 a minute."""

# The middle of five answers: two that are wrong change nothing, and a clock that was set is followed after 30 s.
_ANSWERS = 5
_RETRY_S = (1.0, 60.0)
# The time in an answer may be wrong by half of what question and answer took.
_LONGEST_ROUND_MS = 2_000
# What is further off is no clock. It tells which ticks are of the future, and one that is taken stops its market.
_FURTHEST_MS = 3_600_000


class _Time(msgspec.Struct, rename="camel"):
    server_time: int


_time = msgspec.json.Decoder(_Time)


class VenueClock:
    """Asks a venue for its time.

    Args:
        source: The source's name.
        rest: The URL of its REST interface.
        session: HTTP client.
        clock: Our own.
    """

    def __init__(self, source: str, rest: str, session: aiohttp.ClientSession, clock: Clock) -> None:
        self._source = source
        self._url = f"{rest}/fapi/v1/time"
        self._session = session
        self._clock = clock
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

    async def run(self) -> None:
        """Ask until cancelled."""
        backoff = Backoff(*_RETRY_S)
        while True:
            outcome = await self._ask()
            _QUESTIONS.labels(self._source, outcome).inc()
            self._say(outcome)
            if outcome == "answered":
                backoff.reset()
                await asyncio.sleep(EVERY_S)
            else:
                await asyncio.sleep(backoff.next_s())

    async def _ask(self) -> str:
        asked_ms = self._clock.now_ms()
        try:
            body = await fetch(self._session, self._url)
        except FAILURES as error:
            return type(error).__name__
        heard_ms = self._clock.now_ms()
        try:
            time_ms = _time.decode(body).server_time
        except UNREADABLE:
            return "unreadable"
        if not 0 <= heard_ms - asked_ms <= _LONGEST_ROUND_MS:
            return "slow"
        ahead_ms = time_ms - (asked_ms + heard_ms) // 2
        if abs(ahead_ms) > _FURTHEST_MS:
            return "far_off"
        self._answers_ms.append(ahead_ms)
        self._ahead.set(self.ahead_ms / 1_000)
        return "answered"

    def _say(self, outcome: str) -> None:
        """Log a failure once, not at every try."""
        failing_as = "" if outcome == "answered" else outcome
        if failing_as and failing_as != self._failing_as:
            _log.warning("venue does not say its time source=%s cause=%s", self._source, outcome)
        self._failing_as = failing_as
