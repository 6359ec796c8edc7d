"""What a unit of gas may cost: fees of a first transaction, of its replacements, and their ceilings."""

from __future__ import annotations

import re
from typing import NamedTuple

# A node takes a replacement whose fees are both a tenth higher than those of what it replaces; an eighth leaves room
# for rounding. Six replacements double the fees.
_RAISE_NUMERATOR, _RAISE_DENOMINATOR = 9, 8
# The base fee rises by at most an eighth a block, so twice the base fee stays enough for some six full blocks.
_BASE_FEE_FACTOR = 2
# What go-ethereum says, and what its descendants said before: the pool's floor, in wei.
_FLOOR = re.compile(r"gas tip cap \d+, minimum needed (\d+)|tip needed (\d+)")


class Fees(NamedTuple):
    """The most that a unit of gas may cost in all, and the part of it that the block's maker gets, in wei."""

    max_wei: int
    tip_wei: int

    def raised_over(self, former: Fees) -> Fees:
        """Choose the higher of these fees and the former ones raised as much as a node requires of a replacement."""
        return Fees(
            max(self.max_wei, _raised(former.max_wei)),
            max(self.tip_wei, _raised(former.tip_wei)),
        )

    def within(self, most: Fees) -> bool:
        """Whether neither is above its ceiling."""
        return self.max_wei <= most.max_wei and self.tip_wei <= most.tip_wei

    def with_room_to_replace(self) -> Fees:
        """Lower these ceilings so far that what is signed at them can still be replaced within them."""
        return Fees(_lowered(self.max_wei), _lowered(self.tip_wei))


def fees_of(base_wei: int, tip_wei: int, most: Fees) -> Fees:
    """Compute fees at which a transaction stays acceptable while the base fee rises, within ceilings.

    Args:
        base_wei: The base fee of the newest block.
        tip_wei: The tip that is suggested, or the least one that a node takes.
        most: The ceilings; the base fee and the tip within them are not above the first one.
    """
    tip_wei = min(tip_wei, most.tip_wei, most.max_wei)
    return Fees(min(_BASE_FEE_FACTOR * base_wei + tip_wei, most.max_wei), tip_wei)


def floor_of(refusal: str) -> int | None:
    """Find the least tip in wei that a node says it takes when it refuses a transaction, None where it says none."""
    found = _FLOOR.search(refusal)
    return None if found is None else int(found[1] or found[2])


def _raised(fee_wei: int) -> int:
    return -(-fee_wei * _RAISE_NUMERATOR // _RAISE_DENOMINATOR) + 1


def _lowered(fee_wei: int) -> int:
    # The rounding up of ``_raised`` and its one wei are undone by two.
    return max(0, fee_wei * _RAISE_DENOMINATOR // _RAISE_NUMERATOR - 2)
