"""How much one endpoint takes at once, as its refusals taught it: blocks in a range of logs, or calls in a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# After a refusal more is tried again only after a while, which doubles each time that what is tried is refused.
_PAUSE_S = (5.0, 300.0)
# A quarter more each time: a limit is found without many refusals, and 1 is 50 again after 17 requests.
_STEP_OF_SIZE = 4


class Allowance:
    """The size of a request that an endpoint is asked for; it shrinks when one is refused, and grows again carefully.

    Args:
        most: The largest size that is ever asked for, 1 or more.
        clock_s: Tells the time, in s.
    """

    def __init__(self, most: int, clock_s: Callable[[], float]) -> None:
        self._most = most
        self._clock_s = clock_s
        self._size = most
        self._proven = 0
        self._pause_s = 0.0
        self._larger_at_s = 0.0

    @property
    def size(self) -> int:
        """The largest size to ask for now, 1 or more; sometimes a little larger than what was taken before."""
        if self._size >= self._most or self._clock_s() < self._larger_at_s:
            return self._size
        return min(self._most, self._size + max(1, self._size // _STEP_OF_SIZE))

    @property
    def taken(self) -> int:
        """The largest size to ask for that is no trial."""
        return self._size

    def is_proven(self, size: int) -> bool:
        """Tell whether the endpoint has answered a request of ``size`` since it last refused one of that size."""
        return size <= self._proven

    def smaller(self, size: int) -> int:
        """Return the size to try after a request of ``size`` was refused: half of it, or what was taken before."""
        return self._size if size > self._size else max(1, size // 2)

    def took(self, size: int) -> None:
        """Note that the endpoint answered a request of ``size``."""
        if size > self._size:
            self._size, self._pause_s = size, 0.0
        self._proven = max(self._proven, size)

    def refused(self, size: int) -> None:
        """Note that the endpoint refused a request of ``size``: the next one is smaller, and at least 1."""
        self.settle(self.smaller(size), is_trial=size > self._size)

    def settle(self, size: int, *, is_trial: bool) -> None:
        """Ask for ``size`` at the most for a while, since more was refused.

        Args:
            size: What is asked for, 1 or more.
            is_trial: Whether what was refused was larger than what was taken before.
        """
        shortest_s, longest_s = _PAUSE_S
        self._size = self._proven = size
        self._pause_s = min(longest_s, max(shortest_s, 2 * self._pause_s if is_trial else 0.0))
        self._larger_at_s = self._clock_s() + self._pause_s
