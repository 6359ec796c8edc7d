"""What gas costs now, and at which fees a transaction is signed for that, within the ceilings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from streams.funder.fees import Fees, fees_of, floor_of

if TYPE_CHECKING:
    from streams.funder.ceilings import Ceilings
    from streams.funder.chain_view import Chain

# A pool's floor follows what it holds: what it said before is asked anew by trying.
_FLOOR_S = 60.0


class Prices(NamedTuple):
    """The base fee, the tip that is suggested, and the least one that a node is known to take, in wei of gas."""

    base_wei: int
    tip_wei: int
    floor_wei: int

    def fees(self, most: Fees) -> Fees:
        """The fees at these prices, within ceilings."""
        return fees_of(self.base_wei, max(self.tip_wei, self.floor_wei), most)


class GasPrices:
    """Finds prices, and holds them against the ceilings.

    Args:
        chain: The node.
        ceilings: Say what is too dear.
    """

    def __init__(self, chain: Chain, ceilings: Ceilings) -> None:
        self._chain = chain
        self._ceilings = ceilings
        self._floor: tuple[int, float] = (0, 0.0)
        self._clock_s = asyncio.get_running_loop().time

    async def now(self) -> Prices:
        """Ask what gas costs.

        Raises:
            NodeDown: No endpoint answers.
        """
        base_wei, tip_wei = await self._chain.fees()
        floor_wei, noted_s = self._floor
        return Prices(base_wei, tip_wei, floor_wei if self._clock_s() - noted_s < _FLOOR_S else 0)

    def note_refusal(self, said: str) -> None:
        """Remember the least tip that a node takes, where its refusal names it."""
        floor_wei = floor_of(said)
        if floor_wei is not None:
            self._floor = floor_wei, self._clock_s()

    async def expect(self, prices: Prices, now_s: int, *, takes_back: bool = False) -> Fees:
        """Find the fees of a transaction.

        What is charged is signed so far below the ceilings that it can always be taken back within them.

        Args:
            prices: What gas costs.
            now_s: The chain's time, Unix s.
            takes_back: Whether the transaction takes another one back, or fills a nonce, and may cost all of them.

        Raises:
            CeilingInTheWay: Nothing within the ceilings would be taken.
        """
        most = self.most(takes_back=takes_back)
        await self._ceilings.expect_fees(*prices, most=most, now_s=now_s)
        return prices.fees(most)

    def most(self, *, takes_back: bool) -> Fees:
        """The ceilings of fees for what is charged, or for what takes it back."""
        limits = self._ceilings.limits.fees
        return limits if takes_back else limits.with_room_to_replace()

    async def look_again(self) -> None:
        """Find out whether ceilings that were met are not in the way any more.

        Raises:
            NodeDown: No endpoint answers.
        """
        if self._ceilings.are_met:
            prices = await self.now()
            await self._ceilings.look_again(*prices, now_s=await self._chain.agreed_time_s())
