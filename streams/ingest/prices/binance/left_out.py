"""What a list leaves out that earlier ones had: one answer may be cut, or of a backend that knows nothing yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


class LeftOut:
    """Remembers what a list had, and believes that something is gone only when it has been missing for long.

    ``known`` is what the list has, or had until a moment ago.

    Args:
        patience_s: For how long something that is missing may still be there, in s.
        clock_s: Tells the time, in s.
    """

    def __init__(self, patience_s: float, clock_s: Callable[[], float]) -> None:
        self.known: set[str] = set()
        self._patience_s = patience_s
        self._clock_s = clock_s
        self._missing_since_s: dict[str, float] = {}

    def doubtful(self, listed: Collection[str], all_there_is: Collection[str] = ()) -> set[str]:
        """Take note of a list, and find what it leaves out and may be there all the same.

        Args:
            listed: What it has.
            all_there_is: What it may have. A list without anything, where no earlier one had anything either, may leave
                out all of it.
        """
        now_s = self._clock_s()
        self.known |= set(listed)
        missing = self.known - set(listed) or (set() if self.known else set(all_there_is))
        self._missing_since_s = {name: self._missing_since_s.get(name, now_s) for name in missing}
        gone = {name for name, since_s in self._missing_since_s.items() if now_s - since_s >= self._patience_s}
        self.known -= gone
        return missing - gone
