"""What chains of the OP stack take beside the fee for gas: for a transaction's data, and for the chain's operator.

It is set by the chain when it takes the transaction. The receipt names the fee for data, and of the operator's that
there was one. Before that the chain's own oracle says what both would be now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.funder.chain_view import Chain

ORACLE = "0x420000000000000000000000000000000000000f"
"""Where every chain of the OP stack has its ``GasPriceOracle``."""

# A transaction has about so many bytes beside its call's data. They have no pattern, since the fee is for what is left
# of the bytes once they are compressed, and signatures and addresses cannot be.
_ENVELOPE = bytes(range(1, 201))
# The fee for data follows the base fee of another chain, which rises by at most an eighth a block: until that has made
# six of them, this is enough.
_FACTOR = 2


class DataFees:
    """Bounds of these fees on one chain.

    Args:
        chain: The node.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._has_oracle: bool | None = None

    async def bound_wei(self, data: bytes, gas: int) -> int:
        """Find what a transaction may cost beside its gas, in wei: twice of what it would now.

        Args:
            data: The call's data.
            gas: The transaction's gas limit.

        Raises:
            NodeDown: The node does not answer.
        """
        return _FACTOR * await self.now_wei(data, gas)

    async def now_wei(self, data: bytes, gas: int) -> int:
        """Find what a transaction would cost beside its gas now, in wei; 0 on other chains.

        Args:
            data: The call's data.
            gas: The gas that it takes.

        Raises:
            NodeDown: The node does not answer.
        """
        if self._has_oracle is None:
            # What is not known for sure is asked for again with the next transaction, and so is the oracle meanwhile:
            # it says 0 where it is not.
            self._has_oracle = await self._chain.is_deployed(ORACLE)
        if self._has_oracle is False:
            return 0
        for_data_wei = await self._chain.number_of(ORACLE, ("getL1Fee", ("bytes",), (data + _ENVELOPE,)))
        # Oracles of before there was such a fee do not know it.
        for_operator_wei = await self._chain.number_of(ORACLE, ("getOperatorFee", ("uint256",), (gas,)))
        return (for_data_wei or 0) + (for_operator_wei or 0)
