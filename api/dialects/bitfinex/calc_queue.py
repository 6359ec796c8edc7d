"""What one user waits for to be calculated: a short queue in which everything stands once, shared by his sockets.

No socket can take the queue from the others: they are served in turns, and where there is no place left, the socket
that waits for most gives up its newest for one that waits for less.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from api.dialects.bitfinex.calc_requests import Calculation

T = TypeVar("T")

_OVERFLOWS_MAX = 3
_OVERFLOWS_WITHIN_S = 10.0


class CalcQueue(Generic[T]):
    """Calculations by who asked for them, each asker's in the order in which he first asked."""

    def __init__(self) -> None:
        self._askers: dict[Calculation, dict[T, None]] = {}
        # Whose turn it is stands first.
        self._turns: dict[T, dict[Calculation, None]] = {}

    def __len__(self) -> int:
        return len(self._askers)

    def with_these(self, calculations: Collection[Calculation]) -> int:
        """How many would wait, if these did."""
        return len(self._askers.keys() | set(calculations))

    def waiting_of(self, asker: T) -> Collection[Calculation]:
        """What somebody waits for."""
        return self._turns.get(asker, {}).keys()

    def add(self, asker: T, calculations: Iterable[Calculation], most: int) -> Counter[T]:
        """Let calculations wait; one that waits already keeps its place.

        Args:
            asker: Who is to get them.
            calculations: What is asked for.
            most: How many there is a place for, of all askers together.

        Returns:
            How many of each asker are left out: they are not calculated for him.
        """
        left_out: Counter[T] = Counter()
        for one in calculations:
            if one not in self._askers and len(self._askers) >= most and not self._make_room(asker, left_out):
                left_out[asker] += 1
                continue
            self._askers.setdefault(one, {})[asker] = None
            self._turns.setdefault(asker, {})[one] = None
        return left_out

    def take(self, most: int) -> list[tuple[Calculation, list[T]]]:
        """Take calculations out, one of each asker in turn, each with all who asked for it."""
        taken: list[tuple[Calculation, list[T]]] = []
        while self._turns and len(taken) < most:
            asker = next(iter(self._turns))
            one = next(iter(self._turns[asker]))
            taken.append((one, list(self._askers[one])))
            for other in taken[-1][1]:
                self._drop(one, other)
            # It is the others' turn now.
            waiting = self._turns.pop(asker, None)
            if waiting:
                self._turns[asker] = waiting
        return taken

    def leave(self, asker: T) -> None:
        """Forget somebody; what nobody else asked for is not calculated."""
        for one in list(self.waiting_of(asker)):
            self._drop(one, asker)

    def _make_room(self, asker: T, left_out: Counter[T]) -> bool:
        """Take the newest away from who waits for most, where that is more than ``asker`` would wait for."""
        here = len(self.waiting_of(asker))
        for other in sorted(self._turns, key=lambda one: len(self._turns[one]), reverse=True):
            waiting = self._turns[other]
            # What somebody else waits for too would keep its place.
            newest = next((one for one in reversed(waiting) if len(self._askers[one]) == 1), None)
            if len(waiting) > here + 1 and newest is not None:
                self._drop(newest, other)
                left_out[other] += 1
                return True
        return False

    def _drop(self, one: Calculation, asker: T) -> None:
        del self._turns[asker][one], self._askers[one][asker]
        if not self._turns[asker]:
            del self._turns[asker]
        if not self._askers[one]:
            del self._askers[one]


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
