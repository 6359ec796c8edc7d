"""A judge of funding that looks at the chain alone: what was charged, when, and what the signer paid for it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from models.symmio.abi import decode_log
from models.symmio.events import ChargeFundingRate, ClosePosition
from streams.settings import symmio_deployments
from tests.evm.market import NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.chain_records import RawLog
    from models.symmio.funding_records import Transaction as Sent
    from streams.settings import FundingSettings
    from tests.evm.market import Scene

WITH_TRANSACTIONS = True
_GWEI, _COIN = 10**9, 10**18


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


async def charged_rates(one: Scene) -> dict[int, list[int]]:
    """At which rates each quote is charged on the chain as it is, as the contract signs them."""
    found: dict[int, list[int]] = {}
    for _, log in await one.charges():
        for quote_id, rate_e18 in _charge(log).rates:
            found.setdefault(quote_id, []).append(rate_e18)
    return found


async def charged_at_s(one: Scene) -> list[int]:
    """The times of the blocks with charges, Unix s."""
    return [await one.chain.time_s(hex(block)) for block, _ in await one.charges()]


async def closed_at_s(one: Scene) -> dict[int, int]:
    """When each quote was closed that is, by its id: the time of the block, Unix s."""
    found: dict[int, int] = {}
    for block, log in await one.logs("EmergencyClosePosition"):
        event = decode_log(log)
        assert isinstance(event, ClosePosition)
        found[event.quote_id] = await one.chain.time_s(hex(block))
    return found


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


async def complaints_of_signer(one: Scene, signer: str) -> list[str]:
    """Say what the chain shows of a signer beyond the ceilings of the settings, or otherwise than it is on record."""
    funding = symmio_deployments(one.settings)[NAME].funding
    sent = [told for told in await one.sent() if told.signer == signer]
    return complaints_of_spending(await paid_by(one, signer), sent, funding)


def complaints_of_spending(paid: Sequence[Paid], told: Sequence[Sent], funding: FundingSettings) -> list[str]:
    """Say what of a signer's spending is beyond the ceilings, or is on record as another sum.

    Args:
        paid: Its transactions in the chain, all of one window and one day.
        told: What is on record of each nonce.
        funding: Have the ceilings.
    """
    found = []
    for sent in paid:
        for what, is_much in (
            ("fee", sent.max_fee_wei > funding.max_fee_gwei * _GWEI),
            ("tip", sent.tip_wei > funding.max_tip_gwei * _GWEI),
            ("gas", sent.gas > funding.max_gas),
        ):
            if is_much:
                found.append(f"transaction {sent.nonce}: the {what} is above its ceiling")
    cost_wei = sum(sent.cost_wei for sent in paid)
    for what, most in (("window", funding.max_window_spend), ("day", funding.max_day_spend)):
        if cost_wei > most * _COIN:
            found.append(f"the {what} cost {cost_wei} wei, more than {most} coins")
    final = {one.nonce: int(one.cost_wei or 0) for one in told if one.final}
    return found + [
        f"transaction {sent.nonce}: it cost {sent.cost_wei} wei, on record are {final[sent.nonce]}"
        for sent in paid
        if final.get(sent.nonce, sent.cost_wei) != sent.cost_wei
    ]


def _charge(log: RawLog) -> ChargeFundingRate:
    event = decode_log(log)
    assert isinstance(event, ChargeFundingRate)
    return event
