"""A judge of funding that looks at the chain alone: what was charged, when, and what the signer paid for it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from models.symmio.abi import decode_log
from models.symmio.events import ChargeFundingRate

if TYPE_CHECKING:
    from models.chain_records import RawLog
    from tests.evm.market import Scene

WITH_TRANSACTIONS = True


class Paid(NamedTuple):
    """What one transaction of the signer cost, and what it might have cost a unit of gas, in wei."""

    nonce: int
    time_s: int
    cost_wei: int
    max_fee_wei: int
    tip_wei: int
    gas: int


async def charged(one: Scene) -> Counter[int]:
    """How often each quote is charged on the chain as it is."""
    found: Counter[int] = Counter()
    for _, log in await one.charges():
        found.update(_charge(log).quote_ids)
    return found


async def charged_at_s(one: Scene) -> list[int]:
    """The times of the blocks with charges, Unix s."""
    return [await one.chain.time_s(hex(block)) for block, _ in await one.charges()]


async def paid_by(one: Scene, signer: str) -> list[Paid]:
    """Everything in the chain that the signer paid for."""
    found = []
    for number in range(int(await one.chain.ask("eth_blockNumber"), 16) + 1):
        block = await one.chain.ask("eth_getBlockByNumber", hex(number), WITH_TRANSACTIONS)
        for sent in block["transactions"]:
            if sent["from"].lower() != signer:
                continue
            receipt = await one.chain.ask("eth_getTransactionReceipt", sent["hash"])
            cost_wei = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
            fees = int(sent["maxFeePerGas"], 16), int(sent["maxPriorityFeePerGas"], 16)
            found.append(
                Paid(int(sent["nonce"], 16), int(block["timestamp"], 16), cost_wei, *fees, int(sent["gas"], 16))
            )
    return found


def _charge(log: RawLog) -> ChargeFundingRate:
    event = decode_log(log)
    assert isinstance(event, ChargeFundingRate)
    return event
