"""How far a chain can have come by now: what keeps a slot that no chain has come to from being believed.

The newest slot of an account holds, so one lie of the far future would make every true state of it an old one, for
ever, and every node that tells the truth one that is behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.flash.chain_accounts import SLOTS_PER_S_MAX, slot_max
from streams.node.rpc import BadAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.flash.chain_accounts import Layer
    from streams.process.clock import Clock

# What clocks differ by, and what an endpoint is ahead of another: a minute on Solana, and some on a rollup.
_AHEAD_SLOTS: Mapping[Layer, int] = {"base": 150, "rollup": 1_500}


class SlotAhead(BadAnswer):
    """A slot is one that the chain cannot have come to."""


class SlotBound:
    """The highest slot that is believed of one chain.

    It rises with time, by more slots than the chain makes, and is never far above the newest slot heard. Before it is
    said where the chain is, no slot is believed: the first one alone could be a lie.

    Args:
        clock: Tells how much time has passed.
        layer: Which chain.
    """

    def __init__(self, clock: Clock, layer: Layer) -> None:
        self._clock = clock
        self._layer = layer
        self._newest = -1
        self._highest = -1.0
        self._at_ms = 0

    @property
    def is_known(self) -> bool:
        """Whether it is known where the chain is."""
        return self._newest >= 0

    def restore(self, slot: int, at_ms: int) -> None:
        """Take in a slot that was believed before.

        Args:
            slot: The slot.
            at_ms: When it was heard of, Unix ms.
        """
        if slot > self._newest:
            self._newest, self._highest, self._at_ms = slot, slot + _AHEAD_SLOTS[self._layer], at_ms

    def begin(self, slots: Sequence[int]) -> None:
        """Begin where endpoints say that the chain is: at the middle one of their slots, of two at the lower one.

        Args:
            slots: What each endpoint says; at least one. One that is too low is soon overtaken, one too high would not
                be.
        """
        self.restore(sorted(slots)[(len(slots) - 1) // 2], self._clock.now_ms())

    def expect_possible(self, slot: int) -> int:
        """Return the slot, if any chain of this kind can have come to it since Solana began.

        Raises:
            SlotAhead: It cannot.
        """
        highest = slot_max(self._layer, self._clock.now_ms())
        if slot > highest:
            msg = f"expected a slot of the {self._layer} chain of at most {highest}, found {slot}"
            raise SlotAhead(msg)
        return slot

    def take(self, slot: int) -> None:
        """Hear of a slot.

        Raises:
            SlotAhead: The chain cannot have come so far, or it is not known yet where it is.
        """
        if not self.is_known:
            msg = f"expected that it is known first where the {self._layer} chain is, found slot {slot}"
            raise SlotAhead(msg)
        now_ms = self._clock.now_ms()
        highest = self._highest + max(0, now_ms - self._at_ms) * SLOTS_PER_S_MAX[self._layer] / 1_000
        if slot > highest:
            msg = f"expected a slot of at most {highest:.0f}, since {self._newest} is the newest known, found {slot}"
            raise SlotAhead(msg)
        self._newest = max(self._newest, slot)
        self._highest, self._at_ms = min(highest, self._newest + _AHEAD_SLOTS[self._layer]), now_ms
