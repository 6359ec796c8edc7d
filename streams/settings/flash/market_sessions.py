"""When a market is open, where its source of prices does not say: a calendar of the week in the configuration."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import field_validator

from streams.settings.values import Section

if TYPE_CHECKING:
    from collections.abc import Sequence

Session = Literal["regular", "preMarket", "postMarket", "overNight"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

CLOSED = "closed"
"""The session of a market that has rules of which none holds now."""

_DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MS_PER_S = 1_000


class SessionRule(Section):
    """A session of some symbols on some days of the week, from ``begins`` until ``ends`` by the clock of ``timezone``.

    One that ends before it begins goes on over midnight; the day is that on which it begins.
    """

    symbols: tuple[str, ...]
    session: Session
    timezone: str = "America/New_York"
    days: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri")
    begins: time
    ends: time

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            msg = f"expected a time zone such as America/New_York, found {name!r}"
            raise ValueError(msg) from error
        return name

    def holds(self, at_ms: int) -> bool:
        """Whether the session is on at an instant, Unix ms."""
        local = (datetime.fromtimestamp(at_ms / _MS_PER_S, UTC)).astimezone(ZoneInfo(self.timezone))
        now = local.time()
        if self.begins <= self.ends:
            return self.begins <= now < self.ends and self._is_on(local)
        if now >= self.begins:
            return self._is_on(local)
        return now < self.ends and self._is_on(local - timedelta(days=1))

    def _is_on(self, local: datetime) -> bool:
        return _DAYS[local.weekday()] in self.days


def session_of(symbol: str, rules: Sequence[SessionRule], at_ms: int) -> str | None:
    """The session of a symbol's market at an instant.

    Args:
        symbol: The symbol.
        rules: The calendar; of two that hold, the first counts.
        at_ms: The instant, Unix ms.

    Returns:
        ``CLOSED`` where it has rules and none holds; None where it has none, so that nothing is known.
    """
    own = [rule for rule in rules if symbol in rule.symbols]
    on = next((rule.session for rule in own if rule.holds(at_ms)), None)
    return on if on is not None else CLOSED if own else None
