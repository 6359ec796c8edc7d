"""How the terms of an explanation are shown: as JSON, and summed up."""

from __future__ import annotations

from collections import defaultdict
from heapq import heappush, heappushpop
from typing import TYPE_CHECKING, Any

from models.instants import rfc3339

if TYPE_CHECKING:
    from models.explaining import PositionAt, Standing, Term


def term_body(term: Term) -> dict[str, Any]:
    """A term as JSON shows it: amounts and prices are decimal text of 1e18-scaled ints, as in rows."""
    event, before, after = term.event, term.before, term.after
    market = after or before
    return {
        "event": event.place or None,
        "at": event.at or None,
        "name": event.name,
        "time": rfc3339(event.time_ms),
        "time_ms": event.time_ms,
        "quote": term.quote,
        "symbol": None if market is None else market.market,
        "before": None if before is None else _position(before),
        "after": None if after is None else _position(after),
        "upnl": str(term.upnl_e18),
        "balance": str(term.balance_e18),
    }


def standing_body(standing: Standing) -> dict[str, Any]:
    """What stood at an end of the window, likewise; ``counted`` is the sum of what was known."""
    return {
        "status": standing.status,
        "upnl": None if standing.upnl_e18 is None else str(standing.upnl_e18),
        "equity": None if standing.equity_e18 is None else str(standing.equity_e18),
        "counted_upnl": str(standing.counted_upnl_e18),
        "balance": str(standing.balance_e18),
    }


class Summary:
    """What terms come to by name and market, and those that are largest.

    Args:
        top: How many of the largest are kept.
    """

    def __init__(self, top: int) -> None:
        self._top = top
        self._largest: list[tuple[int, int, Term]] = []
        self.terms = 0
        self.upnl_e18: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.balance_e18: defaultdict[str, int] = defaultdict(int)

    def take(self, term: Term) -> None:
        """Count a term."""
        self.terms += 1
        if term.quote is None:
            self.balance_e18[term.event.name] += term.balance_e18
        else:
            market = term.after or term.before
            self.upnl_e18[term.event.name, "" if market is None else str(market.market)] += term.upnl_e18
        # Of two that are as large, the earlier one is kept.
        entry = abs(term.upnl_e18) + abs(term.balance_e18), -self.terms, term
        if len(self._largest) < self._top:
            heappush(self._largest, entry)
        elif self._largest:
            heappushpop(self._largest, entry)

    @property
    def largest(self) -> list[Term]:
        """The largest terms, the largest first."""
        return [term for _, _, term in sorted(self._largest, key=lambda entry: entry[:2], reverse=True)]


def _position(position: PositionAt) -> dict[str, Any]:
    return {
        "size": str(position.size_e18),
        "opened_price": str(position.opened_e18),
        "mark": None if position.mark_e18 is None else str(position.mark_e18),
        "mark_key": position.mark_key,
        "mark_offset": position.mark_offset,
        "upnl": None if position.upnl_e18 is None else str(position.upnl_e18),
    }
