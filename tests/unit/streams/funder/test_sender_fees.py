"""What transactions may cost: replacements, ceilings, and what counts as spent."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from models.money import E18
from models.symmio.funding_records import CeilingMet
from streams.funder.ceilings import CeilingInTheWay, TooMuchGas
from streams.funder.fees import Fees
from streams.funder.flights import State
from tests.support.eventually import eventually
from tests.support.sender_bench import (
    CLOSED_S,
    OPEN_S,
    PARTY_A,
    PURPOSE,
    TO,
    WIDE,
    bench,
    fields_of,
    met,
    record,
    taken_again,
)


async def test_what_waits_is_replaced_at_higher_fees_and_any_of_its_hashes_may_be_mined() -> None:
    async with bench(replace_after_s=0.01) as one:
        sending = one.send()
        first = await one.hash_of(7)
        one.chain.block += 1
        await eventually(lambda: len(one.journal.newest[7].hashes) >= 2)
        fees = sorted(
            {(told["maxFeePerGas"], told["maxPriorityFeePerGas"]) for told in map(fields_of, one.chain.taken)}
        )
        assert fees[1][0] * 10 >= fees[0][0] * 11
        assert fees[1][1] * 10 >= fees[0][1] * 11
        one.chain.mine(first)
        assert State.MINED == await sending


async def test_nothing_is_replaced_while_the_chain_has_no_new_block_or_another_nonce_is_next() -> None:
    async with bench([record(7), record(8)], replace_after_s=0.001) as one:
        await eventually(lambda: len(one.chain.taken) >= 10)
        assert {} == one.journal.newest
        one.chain.block += 1
        await eventually(lambda: 7 in one.journal.newest)
        assert 8 not in one.journal.newest


async def test_replacements_rise_to_the_ceiling_and_no_further() -> None:
    limits = WIDE._replace(fees=Fees(300, 30))
    async with bench(replace_after_s=0.001, limits=limits) as one:
        sending = one.send()
        await one.hash_of(7)
        for _ in range(40):
            one.chain.block += 1
            await taken_again(one.chain)
        charges = [fields_of(raw) for raw in one.chain.taken]
        most = limits.fees.with_room_to_replace()
        assert all(told["maxFeePerGas"] <= most.max_wei for told in charges)
        assert all(told["maxPriorityFeePerGas"] <= most.tip_wei for told in charges)
        one.chain.time_s = CLOSED_S
        await eventually(lambda: one.journal.newest[7].cancels != ())
        taken_back = fields_of(one.journal.newest[7].raw)
        assert taken_back["maxFeePerGas"] <= 300
        assert taken_back["maxFeePerGas"] * 10 >= max(told["maxFeePerGas"] for told in charges) * 11
        assert int(one.journal.newest[7].worst_wei) <= 50_000 * 300
        one.chain.mine(one.journal.newest[7].cancels[0])
        assert State.CANCELLED == await sending


async def test_fees_above_the_ceiling_are_waited_for_and_told_until_they_fall() -> None:
    limits = WIDE._replace(fees=Fees(300, 30))
    async with bench(limits=limits) as one:
        one.chain.base_wei = 301
        with pytest.raises(CeilingInTheWay, match="expected gas at most at 264 wei, found it at 301"):
            await one.send()
        assert ([], 1.0) == (one.chain.taken, met("fee"))
        one.chain.base_wei = 264
        await eventually(lambda: met("fee") == 0.0)
        told = [one for one in one.journal.records if isinstance(one, CeilingMet)]
        assert [("fee", OPEN_S, None), ("fee", OPEN_S, OPEN_S)] == [(t.ceiling, t.since_s, t.until_s) for t in told]
        sending = one.send()
        one.chain.mine(await one.hash_of(7))
        assert State.MINED == await sending


async def test_a_tip_that_a_node_suggests_above_the_ceiling_is_told_and_not_paid() -> None:
    async with bench(limits=WIDE._replace(fees=Fees(10_000, 30))) as one:
        one.chain.tip_wei = 5_000
        sending = one.send()
        sent = await one.hash_of(7)
        assert (24, 1.0) == (fields_of(one.chain.taken[0])["maxPriorityFeePerGas"], met("tip"))
        one.chain.mine(sent)
        assert State.MINED == await sending


@pytest.mark.parametrize(
    "refusal",
    [
        "transaction gas price below minimum: gas tip cap 10, minimum needed 2000",
        "transaction underpriced: tip needed 2000, tip permitted 10",
    ],
)
async def test_a_pools_floor_is_taken_from_its_refusal_at_once(refusal: str) -> None:
    async with bench(replace_after_s=0.01) as one:
        one.chain.turns_down = refusal
        sending = one.send()
        await eventually(lambda: 7 in one.journal.newest and len(one.journal.newest[7].hashes) == 2)
        one.chain.turns_down = None
        assert "2000" == one.journal.newest[7].tip_wei
        one.chain.mine(await one.hash_of(7))
        await eventually(lambda: one.journal.newest[7].state == State.MINED)
        # However often it was refused meanwhile, who waits for it is let go.
        await sending


async def test_no_more_is_spent_on_a_window_than_its_ceiling_also_after_a_restart() -> None:
    # 210 wei a unit of gas at most: each transaction costs up to 10,500,000 wei, of which 2,205,000 are spent.
    limits = WIDE._replace(window_wei=23_000_000)
    async with bench(limits=limits) as one:
        for nonce in (7, 8):
            sending = one.send()
            one.chain.mine(await one.hash_of(nonce))
            assert State.MINED == await sending
        with pytest.raises(CeilingInTheWay, match="a window to cost at most 23000000 wei, found 21000000"):
            await one.send()
        found = list(one.journal.newest.values())
    async with bench(found, limits=limits, chain_block=102) as again:
        again.chain.mined, again.chain.nonce = one.chain.mined, 9
        with pytest.raises(CeilingInTheWay, match="a window to cost at most"):
            await again.send()
        # What is final counts with what it did cost.
        again.chain.block = 107
        await eventually(
            lambda: all(sent.final for sent in again.journal.newest.values()) and again.journal.newest != {}
        )
        await eventually(lambda: not again.sender.is_watching(PARTY_A))
        sending = again.send()
        again.chain.mine(await again.hash_of(9))
        assert State.MINED == await sending


async def test_no_more_is_spent_a_day_than_its_ceiling() -> None:
    async with bench(limits=WIDE._replace(day_wei=11_000_000)) as one:
        sending = one.send()
        one.chain.mine(await one.hash_of(7))
        assert State.MINED == await sending
        with pytest.raises(CeilingInTheWay, match="a day to cost at most 11000000 wei"):
            await one.send()
        one.chain.time_s += 86_401
        await eventually(lambda: met("day") == 0.0)


async def test_what_is_signed_by_a_clock_that_is_behind_counts_for_its_windows_day_all_the_same() -> None:
    limits = WIDE._replace(day_wei=11_000_000)
    async with bench(limits=limits) as one:
        one.chain.behind_s = 90_000
        sending = one.send()
        one.chain.mine(await one.hash_of(7))
        assert State.MINED == await sending
        one.chain.behind_s = 0
        with pytest.raises(CeilingInTheWay, match="a day to cost at most 11000000 wei"):
            await one.send()


async def test_what_a_chain_takes_for_data_is_bounded_before_and_counted_after() -> None:
    # 10,500,000 wei for gas and twice 3,000,000 for data and operator; in the end 2,205,000 and 4,000,000.
    async with bench(limits=WIDE._replace(day_wei=16_500_001)) as one:
        one.chain.oracle = {"getL1Fee": 2_000_000, "getOperatorFee": 1_000_000}
        sending = one.send()
        sent = await one.hash_of(7)
        assert ("16500000", "6000000") == (one.journal.newest[7].worst_wei, one.journal.newest[7].data_wei)
        one.chain.mine(sent)
        assert State.MINED == await sending
        one.chain.mined[sent] = one.chain.mined[sent]._replace(cost_wei=6_205_000)
        with pytest.raises(CeilingInTheWay, match="found 16500000 spent or under way and up to 16500000 more wanted"):
            await one.send()
        one.chain.block = 106
        await eventually(lambda: not one.sender.is_watching(PARTY_A))
        one.chain.oracle = {"getL1Fee": None, "getOperatorFee": None}
        with pytest.raises(CeilingInTheWay, match="found 6205000 spent or under way and up to 10500000 more wanted"):
            await one.send()


@pytest.mark.parametrize(
    ("told", "cost_wei"),
    [
        ({"cost_wei": 4_205_000, "has_operator_fee": True}, 4_205_000 + 6_000_000),
        ({"cost_wei": None}, 21_000 * 210 + 6_000_000),
    ],
)
async def test_a_fee_that_a_receipt_does_not_tell_counts_as_it_was_bounded(told: dict[str, Any], cost_wei: int) -> None:
    async with bench() as one:
        one.chain.oracle = {"getL1Fee": 2_000_000, "getOperatorFee": 1_000_000}
        sending = one.send()
        sent = await one.hash_of(7)
        one.chain.mine(sent)
        one.chain.mined[sent] = one.chain.mined[sent]._replace(**told)
        assert State.MINED == await sending
        assert str(cost_wei) == one.journal.newest[7].cost_wei


async def test_what_replaces_a_transaction_counts_with_its_data_too() -> None:
    async with bench(replace_after_s=0.01) as one:
        one.chain.oracle = {"getL1Fee": 2_000_000, "getOperatorFee": None}
        sending = one.send()
        await one.hash_of(7)
        one.chain.block += 1
        await eventually(lambda: len(one.journal.newest[7].hashes) > 1)
        newest = one.journal.newest[7]
        assert 50_000 * int(newest.max_fee_wei) + 4_000_000 == int(newest.worst_wei)
        one.chain.mine(await one.hash_of(7))
        await sending


async def test_fees_are_told_as_a_share_of_what_is_charged_before_and_after(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with bench() as one:
        one.chain.base_wei, one.chain.tip_wei = 10**9, 10**8
        purpose = PURPOSE._replace(moved_e18=10 * E18)
        sending = asyncio.create_task(one.sender.send(TO, b"\x01", purpose))
        one.chain.mine(await one.hash_of(7))
        assert State.MINED == await sending
        one.chain.block = 106
        await eventually(lambda: one.journal.newest[7].final)
    # Up to 50,000 gas at 2.1 gwei are 0.000105 coins, worth 0.21; 21,000 gas at 105 wei are next to nothing.
    (before,) = [line for line in caplog.messages if "transaction signed" in line]
    assert "worst_wei=105000000000000 charged=10 share=210 bps" in before
    (after,) = [line for line in caplog.messages if "transaction final" in line]
    assert "cost_wei=2205000 charged=10 share=0 bps" in after


async def test_a_transaction_of_too_much_gas_is_not_sent() -> None:
    async with bench(limits=WIDE._replace(gas=49_999)) as one:
        with pytest.raises(TooMuchGas, match="at most 49999 gas, found 50000"):
            await one.send()
        assert ([], {}) == (one.chain.taken, one.journal.newest)


async def test_what_is_taken_back_may_cost_all_of_the_ceiling_of_fees() -> None:
    # What is charged is signed at 222 wei of gas at most; the base fee rises above that, and stays within the ceiling.
    async with bench(limits=WIDE._replace(fees=Fees(250, 100))) as one:
        sending = one.send()
        await one.hash_of(7)
        one.chain.base_wei, one.chain.time_s = 235, CLOSED_S
        await eventually(lambda: one.journal.newest[7].cancels != ())
        assert 250 == int(one.journal.newest[7].max_fee_wei)
        one.chain.mine(one.journal.newest[7].cancels[0])
        assert State.CANCELLED == await sending
