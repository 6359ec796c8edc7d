"""How far a chain can have come by now: what keeps a slot that no chain has come to from being believed.

The newest slot of an account holds, so one lie of the far future would make every true state of it an old one, for
ever, and every node that tells the truth one that is behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.node.rpc import BadAnswer

if TYPE_CHECKING:
    from streams.process.clock import Clock

# A slot takes 400 ms on Solana, and no less than 10 on a rollup.
_SLOTS_PER_MS = 0.2
# What clocks differ by, and what an endpoint is ahead of another.
_AHEAD_SLOTS = 1_500


class SlotAhead(BadAnswer):
    """A slot is one that the chain cannot have come to."""


class SlotBound:
    """The highest slot that is believed of one chain.

    It rises with time, by more slots than any chain makes, and is never far above the newest slot heard. Before a slot
    was heard, it is one for each millisecond since 1970.

    Args:
        clock: Tells how much time has passed.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._newest = -1
        self._highest = 0.0
        self._at_ms: int | None = None

    def restore(self, slot: int, at_ms: int) -> None:
        """Take in a slot that was believed before.

        Args:
            slot: The slot.
            at_ms: When it was heard of, Unix ms.
        """
        if slot > self._newest:
            self._newest, self._highest, self._at_ms = slot, slot + _AHEAD_SLOTS, at_ms

    def take(self, slot: int) -> None:
        """Hear of a slot.

        Raises:
            SlotAhead: The chain cannot have come so far.
        """
        now_ms = self._clock.now_ms()
        since_ms = now_ms if self._at_ms is None else max(0, now_ms - self._at_ms) * _SLOTS_PER_MS
        highest = self._highest + since_ms
        if slot > highest:
            msg = f"expected a slot of at most {highest:.0f}, since {self._newest} is the newest known, found {slot}"
            raise SlotAhead(msg)
        self._newest = max(self._newest, slot)
        self._highest, self._at_ms = min(highest, self._newest + _AHEAD_SLOTS), now_ms
