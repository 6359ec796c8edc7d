"""What one user waits for to be calculated: a short queue in which everything stands once."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from api.dialects.bitfinex.calc_requests import Calculation

T = TypeVar("T")

_OVERFLOWS_MAX = 3
_OVERFLOWS_WITHIN_S = 10.0


class CalcQueue(Generic[T]):
    """Calculations in the order in which they were first asked for, each with all who asked.

    Args:
        most: How many may wait beyond those that could be calculated at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[Calculation, dict[T, None]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, asker: T, calculations: Iterable[Calculation], room: int) -> int:
        """Let calculations wait; one that waits already keeps its place.

        Args:
            asker: Who is to get them.
            calculations: What is asked for.
            room: How many could be calculated at once.

        Returns:
            How many there was no place for; they are not calculated.
        """
        left_out = 0
        for one in calculations:
            if one in self._waiting:
                self._waiting[one][asker] = None
            elif len(self._waiting) < self._most + room:
                self._waiting[one] = {asker: None}
            else:
                left_out += 1
        return left_out

    def take(self, most: int) -> list[tuple[Calculation, list[T]]]:
        """Take the first calculations out, each with all who asked for it."""
        first = list(self._waiting)[:most]
        return [(one, list(self._waiting.pop(one))) for one in first]

    def leave(self, asker: T) -> None:
        """Forget somebody; what nobody else asked for is not calculated."""
        for one in [one for one, askers in self._waiting.items() if asker in askers]:
            del self._waiting[one][asker]
            if not self._waiting[one]:
                del self._waiting[one]


class Overflows:
    """Counts how often a client asked for more than there was a place for."""

    def __init__(self) -> None:
        self._times_s: deque[float] = deque(maxlen=_OVERFLOWS_MAX)

    def is_last_straw(self, now_s: float) -> bool:
        """Count one more; whether it is the third within ten seconds.

        Args:
            now_s: The time now, in s of any clock that does not go back.
        """
        self._times_s.append(now_s)
        return len(self._times_s) == _OVERFLOWS_MAX and now_s - self._times_s[0] <= _OVERFLOWS_WITHIN_S
