"""A branch of the simulated chain that is not to last, as a node has it that has heard of no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemark.demo.chain import Chain
from tidemark.demo.market import Market

if TYPE_CHECKING:
    from tidemark.demo.chain import Block

# Branches of the simulation itself are 0 and 1.
_BRANCH = 2


class OtherBranch(Chain):
    """A chain that is the simulated one up to a block, and has others behind it.

    Args:
        seed: That of the simulated one.
        genesis_s: The time of its block 0, in Unix s.
        left_at: The number of the last block that both have.
    """

    def __init__(self, seed: int, genesis_s: int, left_at: int) -> None:
        # Prices are known of the last minute only, and this one begins at block 0.
        super().__init__(seed, genesis_s, Market(seed))
        self._left_at = left_at

    def _make(self, number: int, *, branch: int) -> Block:
        return super()._make(number, branch=branch if number <= self._left_at else _BRANCH)
