"""Thinning out book tickers: a busy market changes its best prices hundreds of times a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.prices import BookTick

INTERVAL_MS = 100


class BookConflation:
    """Lets through at most one tick of a symbol per ``INTERVAL_MS``; of those held back the newest follows later."""

    def __init__(self) -> None:
        self._let_through_ms: dict[str, int] = {}
        self._held: dict[str, BookTick] = {}

    def offer(self, tick: BookTick, now_ms: int) -> BookTick | None:
        """Return ``tick`` if it may go at once, else hold it in place of an earlier one."""
        if now_ms - self._let_through_ms.get(tick.symbol, 0) < INTERVAL_MS:
            self._held[tick.symbol] = tick
            return None
        self._held.pop(tick.symbol, None)
        self._let_through_ms[tick.symbol] = now_ms
        return tick

    def due(self, now_ms: int) -> list[BookTick]:
        """Return the held ticks whose time has come."""
        symbols = [s for s in self._held if now_ms - self._let_through_ms[s] >= INTERVAL_MS]
        for symbol in symbols:
            self._let_through_ms[symbol] = now_ms
        return [self._held.pop(symbol) for symbol in symbols]
