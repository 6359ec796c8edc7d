"""The chain's time by the clocks of several endpoints, which may be wrong, stand still, or not answer for a while."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import Gauge

from models.symmio.funding_plan import LATE_S
from streams.funder.agreement import ENOUGH, highest_agreed
from streams.funder.chain_errors import NodeDown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from models.symmio.funding_plan import Window
    from streams.process.clock import Clock

_log = logging.getLogger(__name__)

_APART = Gauge(
    "tidemark_funding_clocks_apart_seconds",
    "How far the chain's times by several endpoints are apart.",
    ("deployment",),
)

REMEMBERED_S = 60.0
"""One that does not answer for a moment is not forgotten: the others do not decide alone what is for good."""
# So far no single clock leaps: each window that it passes is told of as missed.
_LEAP_S = 7 * 86_400


class Times(NamedTuple):
    """The time that the next block would have, Unix s, by what endpoints say.

    ``agreed_s`` has come, and it is not before ``earliest_s`` nor after ``latest_s``, whatever a single one says.
    """

    agreed_s: int
    earliest_s: int
    latest_s: int

    def are_within(self, window: Window) -> bool:
        """Whether a window is open for sure."""
        return window.opens_s <= self.earliest_s and self.latest_s <= window.closes_s


class Clocks:
    """What the endpoints of one chain say of its time.

    Args:
        deployment: The deployment's name.
        clock: Ours.
    """

    def __init__(self, deployment: str, clock: Clock) -> None:
        self._deployment = deployment
        self._clock = clock
        # By endpoint its clock, and when it said that.
        self._told: dict[str, tuple[int, float]] = {}
        self._are_apart = False
        # The time that was agreed on last, and when that was.
        self._agreed_s: tuple[int, float] | None = None

    def forget(self, label: str) -> None:
        """Go by what an endpoint said no more."""
        self._told.pop(label, None)

    def times(self, told: Mapping[str, int], enough: int) -> Times:
        """Find the time, by the clocks of endpoints that answer, and of those that did within the last minute.

        Args:
            told: What those say that answer, by their labels, Unix s.
            enough: How many have to say it.

        Raises:
            NodeDown: These are fewer than can say it, or the only one leaps.
        """
        now_s = _now_s()
        self._told |= {label: (time_s, now_s) for label, time_s in told.items()}
        clocks = {
            label: time_s + int(now_s - told_s)
            for label, (time_s, told_s) in self._told.items()
            if now_s - told_s < REMEMBERED_S
        }
        if len(clocks) < enough:
            msg = f"expected {enough} endpoints to tell the time, found {', '.join(clocks)} alone"
            raise NodeDown(msg)
        apart_s = max(clocks.values()) - min(clocks.values())
        _APART.labels(self._deployment).set(apart_s)
        are_apart = apart_s > LATE_S
        if are_apart and not self._are_apart:
            _log.error(
                "endpoints' clocks are far apart, so that windows may open or close late deployment=%s times_s=%s",
                self._deployment, clocks,
            )  # fmt: skip
        self._are_apart = are_apart
        times = times_of(self._counting(clocks.values()))
        if len(clocks) < ENOUGH and self._agreed_s is not None:
            agreed_s, at_s = self._agreed_s
            expected_s = agreed_s + int(now_s - at_s)
            if times.agreed_s > expected_s + _LEAP_S:
                msg = (
                    f"expected a time of within {_LEAP_S // 86_400} days of {expected_s} of one endpoint, found "
                    f"{times.agreed_s}: configure another one, or start again where it is so"
                )
                raise NodeDown(msg)
        self._agreed_s = times.agreed_s, now_s
        return times

    def _counting(self, clocks: Collection[int]) -> Collection[int]:
        """Of two clocks that are far apart the one that is near ours, and else all: windows are not late for a laggard.

        Ours alone says nothing, since the contract goes by the chain's. But a chain is not where one endpoint says that
        it is, minutes away, while the other one has it where time is.
        """
        if len(clocks) != ENOUGH or max(clocks) - min(clocks) <= LATE_S:
            return clocks
        ours_s = self._clock.now_ms() // 1_000
        near = [one for one in clocks if abs(one - ours_s) <= LATE_S]
        return near if len(near) == 1 else clocks


def times_of(told: Collection[int]) -> Times:
    """Find what endpoints' clocks come to; there is one at least, and each is Unix s."""
    ascending = sorted(told)
    agreed_s = highest_agreed(told)
    if len(ascending) <= ENOUGH:
        return Times(agreed_s, ascending[0], ascending[-1])
    return Times(agreed_s, ascending[1], agreed_s)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
