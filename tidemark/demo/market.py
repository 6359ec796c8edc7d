"""Prices of twelve markets: a random walk in steps of one second, which the chain and the venue share."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from random import Random

# How far a price moves in a second (6e-4 is about 3.5 % an hour), and how strongly it is drawn back to its start.
_STEP = 6e-4
_PULL = 2e-5
# How many seconds of prices are kept: the chain asks for those of a block or two ago, the venue for the newest.
_KEPT_S = 64


@dataclass(frozen=True, slots=True)
class Instrument:
    """One market: its names on chain and at the venue, the price it starts at, and how finely both are quoted.

    A price is a multiple of ``10 ** -price_decimals``, a quantity of ``10 ** -quantity_decimals``.
    """

    name: str
    start: float
    price_decimals: int
    quantity_decimals: int
    volatility: float = 1.0


INSTRUMENTS = (
    Instrument("BTCUSDT", 96_450.0, 1, 3, 0.6),
    Instrument("ETHUSDT", 3_310.0, 2, 3, 0.8),
    Instrument("BNBUSDT", 655.0, 2, 2, 0.8),
    Instrument("SOLUSDT", 187.5, 3, 2),
    Instrument("XRPUSDT", 2.31, 4, 1),
    Instrument("DOGEUSDT", 0.327, 5, 0, 1.2),
    Instrument("ADAUSDT", 0.912, 4, 0),
    Instrument("AVAXUSDT", 38.4, 3, 1),
    Instrument("LINKUSDT", 22.6, 3, 1),
    Instrument("ARBUSDT", 0.741, 4, 1, 1.2),
    Instrument("SUIUSDT", 4.12, 4, 1, 1.4),
    Instrument("WIFUSDT", 1.57, 4, 1, 1.8),
)


class Market:
    """Mark prices by second since the start, as integers in 1e-8ths, which is how venues quote them."""

    def __init__(self, seed: int) -> None:
        self._random = Random(f"{seed}:market")
        self._logs = [0.0] * len(INSTRUMENTS)
        self._second = -1
        self._marks: deque[tuple[int, ...]] = deque(maxlen=_KEPT_S)
        self._step()

    def marks_e8(self, second: int) -> tuple[int, ...]:
        """Return the marks at ``second``, in the order of ``INSTRUMENTS``; the walk goes on as far as needed.

        Raises:
            IndexError: ``second`` is negative or so long ago that its prices are forgotten.
        """
        while self._second < second:
            self._step()
        back = self._second - second
        if back >= len(self._marks) or second < 0:
            msg = f"expected a second of the last {len(self._marks)}, found {second} when at {self._second}"
            raise IndexError(msg)
        return self._marks[-1 - back]

    def _step(self) -> None:
        self._second += 1
        common = self._random.gauss(0, 0.6)
        marks = []
        for i, instrument in enumerate(INSTRUMENTS):
            shock = (common + self._random.gauss(0, 0.8)) * _STEP * instrument.volatility
            self._logs[i] += shock - _PULL * self._logs[i]
            marks.append(max(1, round(instrument.start * math.exp(self._logs[i]) * 1e8)))
        self._marks.append(tuple(marks))


def funding_rate_e8(instrument: int, hour: int) -> int:
    """Return the venue's rate for the 8 hours around ``hour``, in 1e-8ths of the notional; positive where longs pay."""
    return round(Random(f"funding:{instrument}:{hour // 8}").gauss(8_000, 6_000))
