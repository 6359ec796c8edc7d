"""Transactions on their way, over a chain that the test holds."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from streams.funder import sender as sender_module
from streams.funder.agreed_chain import Head
from streams.funder.ceilings import CeilingInTheWay, bound_wei
from streams.funder.chain_errors import NodeDown
from streams.funder.flights import State
from streams.node.answers import Receipt
from tests.support.eventually import eventually
from tests.support.sender_bench import OPEN_S, PARTY_A, PURPOSE, SIGNER, WIDE, Bench, _unclear, bench, record


@pytest.mark.parametrize(("succeeded", "state"), [(True, State.MINED), (False, State.REVERTED)])
async def test_what_is_sent_is_on_record_first_and_becomes_what_the_chain_says(
    succeeded: bool,  # noqa: FBT001 - a case of the table above
    state: State,
) -> None:
    async with bench() as one:
        sending = one.send()
        sent = await one.hash_of(7)
        await eventually(lambda: one.chain.taken != [])
        assert State.SENT == one.journal.newest[7].state
        one.chain.mine(sent, succeeded=succeeded)
        assert state == await sending
        assert (state, 101) == (one.journal.newest[7].state, one.journal.newest[7].block)


async def test_what_is_on_record_and_not_in_the_chain_is_sent_again_as_it_is() -> None:
    async with bench([record(7), record(8)]) as one:
        await eventually(lambda: {record(7).raw, record(8).raw} == set(one.chain.taken))
        settled = asyncio.create_task(one.sender.settle(PARTY_A))
        one.chain.mine(record(7).hashes[0])
        await eventually(lambda: one.journal.newest.get(7, record(7)).state == State.MINED)
        assert not settled.done()
        one.chain.mine(record(8).hashes[0])
        await settled
        sending = one.send()
        one.chain.mine(await one.hash_of(9))
        assert State.MINED == await sending


async def test_what_is_mined_without_a_status_is_unknown_until_an_endpoint_says_it() -> None:
    async with bench(replace_after_s=0.01) as one:
        sending = one.send()
        sent = await one.hash_of(7)
        one.chain.mine(sent, succeeded=None)
        await eventually(lambda: _unclear() == 1.0)
        taken, looked = len(one.chain.taken), one.chain.looks
        # Twice as many looks as make a transaction lost, each of which would replace it.
        await eventually(lambda: one.chain.looks >= looked + 6)
        assert (State.SENT, taken) == (one.journal.newest[7].state, len(one.chain.taken))
        assert not sending.done()
        one.chain.mined[sent] = one.chain.mined[sent]._replace(succeeded=True)
        assert State.MINED == await sending
        assert 0.0 == _unclear()


async def test_a_nonce_that_went_to_a_stranger_is_lost_and_that_is_final_once_it_is_deep() -> None:
    async with bench() as one:
        sending = one.send()
        await one.hash_of(7)
        one.chain.nonce = 8
        assert State.LOST == await sending
        assert (State.LOST, False) == (one.journal.newest[7].state, one.journal.newest[7].final)
        assert one.sender.is_watching(PARTY_A)
        one.chain.block += 5
        await eventually(lambda: one.journal.newest[7].final)
        lost = one.journal.newest[7]
        assert (State.LOST, None) == (lost.state, lost.cost_wei)
        # What is not known to have cost nothing keeps its room.
        assert int(lost.worst_wei) == bound_wei(lost) > 0
        assert not one.sender.is_watching(PARTY_A)


async def test_what_only_another_endpoint_has_a_receipt_of_is_mined_and_final_once_both_have_it() -> None:
    async with bench() as one:
        sending = one.send()
        sent = await one.hash_of(7)
        one.chain.mine(sent)
        found = one.chain.mined
        one.chain.mined, one.chain.mined_elsewhere = {}, found
        assert State.MINED == await sending
        one.chain.block = 106
        looks = one.chain.looks
        await eventually(lambda: one.chain.looks >= looks + 6)
        assert not one.journal.newest[7].final
        one.chain.mined = found
        await eventually(lambda: one.journal.newest[7].final)
        assert str(21_000 * 105) == one.journal.newest[7].cost_wei


async def test_what_one_endpoint_says_reverted_is_mined_once_two_others_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "_AGREED_AGAIN_S", 0.0)
    async with bench() as one:
        sending = one.send()
        sent = await one.hash_of(7)
        one.chain.mine(sent)
        honest = dict(one.chain.mined)
        one.chain.mined = {sent: honest[sent]._replace(succeeded=False)}
        one.chain.mined_elsewhere, one.chain.others = honest, 2
        assert await sending in (State.REVERTED, State.MINED)
        await eventually(lambda: one.journal.newest[7].state == State.MINED)
        looks, written = one.chain.looks, len(one.journal.records)
        # It does not change to and fro.
        await eventually(lambda: one.chain.looks >= looks + 6)
        assert written == len(one.journal.records)
        one.chain.block = 106
        await eventually(lambda: one.journal.newest[7].final)
        assert State.MINED == one.journal.newest[7].state


@pytest.mark.parametrize("ahead", [True, False])
async def test_no_single_endpoint_decides_that_a_transaction_is_final(ahead: bool) -> None:  # noqa: FBT001 - a case
    async with bench() as one:
        sending = one.send()
        one.chain.mine(await one.hash_of(7))
        assert State.MINED == await sending
        # One of the two says that the chain is six blocks longer than it is.
        one.chain.elsewhere = Head(one.chain.block + (6 if ahead else 0), one.chain.nonce)
        one.chain.block += 0 if ahead else 6
        looks = one.chain.looks
        await eventually(lambda: one.chain.looks >= looks + 6)
        assert not one.journal.newest[7].final
        one.chain.block = 106
        one.chain.elsewhere = None
        await eventually(lambda: one.journal.newest[7].final)


async def test_nothing_is_final_while_too_few_endpoints_answer() -> None:
    async with bench() as one:
        sending = one.send()
        one.chain.mine(await one.hash_of(7))
        assert State.MINED == await sending
        one.chain.enough_now = 3
        one.chain.block += 5
        looks = one.chain.looks
        await eventually(lambda: one.chain.looks >= looks + 6)
        assert not one.journal.newest[7].final
        one.chain.enough_now = 2
        await eventually(lambda: one.journal.newest[7].final)


async def test_what_only_another_endpoint_has_is_found_while_others_wait_to_be_final(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender_module, "_AGREED_AGAIN_S", 0.0)
    async with bench([record(7), record(8)]) as one:
        one.chain.mine(record(7).hashes[0])
        await eventually(lambda: one.journal.newest.get(7, record(7)).state == State.MINED)
        one.chain.mined_elsewhere = {}
        one.chain.block = 106
        sent = record(8).hashes[0]
        one.chain.mined_elsewhere[sent] = Receipt(sent, 102, "block 102", succeeded=True, gas_used=21_000)
        await eventually(lambda: one.journal.newest.get(8, record(8)).state == State.MINED)
        assert not one.journal.newest[7].final


async def test_no_single_endpoint_decides_that_a_nonce_is_used_by_a_stranger() -> None:
    async with bench() as one:
        sending = one.send()
        sent = await one.hash_of(7)
        one.chain.elsewhere = Head(one.chain.block, 7)
        one.chain.nonce = 8
        looks = one.chain.looks
        await eventually(lambda: one.chain.looks >= looks + 6)
        assert (State.SENT, False) == (one.journal.newest[7].state, sending.done())
        one.chain.nonce = 7
        one.chain.elsewhere = None
        one.chain.mine(sent)
        assert State.MINED == await sending


async def test_a_receipt_that_comes_late_takes_back_that_its_transaction_is_lost() -> None:
    async with bench() as one:
        sending = one.send()
        sent = await one.hash_of(7)
        one.chain.nonce = 8
        assert State.LOST == await sending
        one.chain.mined[sent] = Receipt(sent, 101, "block 101", succeeded=True, gas_used=21_000, cost_wei=2_100_000)
        await eventually(lambda: one.journal.newest[7].state == State.MINED)
        assert [PARTY_A] == [left.party_a for left in one.unmined]
        one.chain.block = 106
        await eventually(lambda: one.journal.newest[7].final)
        assert "2100000" == one.journal.newest[7].cost_wei


async def test_a_nonce_that_a_stranger_loses_again_is_used_for_what_it_was_meant_for() -> None:
    async with bench([record(7, State.LOST)]) as one:
        one.chain.nonce = 7
        await eventually(lambda: {record(7).raw} == set(one.chain.taken))
        one.chain.mine(record(7).hashes[0])
        await eventually(lambda: one.journal.newest[7].state == State.MINED)


async def test_a_wrong_clock_of_one_endpoint_frees_nothing_of_the_day_and_forgets_nothing() -> None:
    async with bench(limits=WIDE._replace(day_wei=11_000_000)) as one:
        sending = one.send()
        one.chain.mine(await one.hash_of(7))
        assert State.MINED == await sending
        one.chain.time_s += 10**6
        one.chain.behind_s = 10**6
        with pytest.raises(CeilingInTheWay, match="a day to cost at most 11000000 wei"):
            await one.send()
        # All of them may be wrong for a while. Whatever they say, a charge is for its window.
        assert (10_500_000, 0) == one.ceilings.spent_wei(10**7, PURPOSE.closes_s)
        with pytest.raises(CeilingInTheWay, match="a day to cost at most 11000000 wei"):
            await one.ceilings.expect_room(10**6, PURPOSE.closes_s, 10**7)
        one.chain.time_s, one.chain.behind_s = OPEN_S, 0
        with pytest.raises(CeilingInTheWay, match="a day to cost at most 11000000 wei"):
            await one.send()


async def test_what_leaves_the_chain_is_sent_again_and_its_account_is_told() -> None:
    async with bench([record(7, State.MINED, 99)]) as one:
        await eventually(lambda: 1 == len(one.unmined) and {record(7).raw} == set(one.chain.taken))
        assert (PARTY_A, 99) == (one.unmined[0].party_a, one.unmined[0].left_block)
        assert State.SENT == one.journal.newest[7].state
        settled = asyncio.create_task(one.sender.settle(PARTY_A))
        one.chain.mine(record(7).hashes[0])
        await settled


async def test_what_is_final_is_on_record_as_final_and_not_looked_for_any_more() -> None:
    async with bench() as one:
        sending = one.send()
        one.chain.mine(await one.hash_of(7))
        assert State.MINED == await sending
        assert not one.journal.newest[7].final
        one.chain.block = 106
        await eventually(lambda: one.journal.newest[7].final)
        assert str(21_000 * 105) == one.journal.newest[7].cost_wei
        looks = one.chain.looks
        sending = one.send()
        one.chain.mined.clear()
        one.chain.mine(await one.hash_of(8))
        assert State.MINED == await sending
        assert one.chain.looks > looks
        assert [] == one.unmined


async def test_a_nonce_that_nobody_knows_is_filled() -> None:
    async with bench([record(8)]) as one:
        await eventually(lambda: 7 in one.journal.newest)
        assert ("", ()) == (one.journal.newest[7].party_a, one.journal.newest[7].hashes)
        one.chain.mine(one.journal.newest[7].cancels[0])
        await eventually(lambda: one.journal.newest[7].state == State.CANCELLED)


async def test_a_nonce_is_not_filled_while_too_few_endpoints_answer() -> None:
    async with bench([record(8)]) as one:
        one.chain.enough_now = 3
        looks = one.chain.looks
        await eventually(lambda: one.chain.looks >= looks + 6)
        assert 7 not in one.journal.newest
        one.chain.enough_now = 2
        await eventually(lambda: 7 in one.journal.newest)


async def test_a_nonce_whose_transaction_is_final_is_not_filled_where_endpoints_are_behind() -> None:
    final = msgspec.structs.replace(record(7, State.MINED, 90), final=True)
    async with bench([final, record(8)]) as one:
        looks = one.chain.looks
        await eventually(lambda: one.chain.looks >= looks + 6)
        assert 7 not in one.journal.newest
        one.chain.nonce = 8
        one.chain.mine(record(8).hashes[0])
        one.chain.block += 5
        sending = one.send()
        await one.hash_of(9)
        await eventually(lambda: one.journal.newest[8].final)
        one.chain.nonce = 8
        looks = one.chain.looks
        await eventually(lambda: one.chain.looks >= looks + 6)
        assert one.journal.newest[8].final
        one.chain.nonce = 9
        one.chain.mine(one.journal.newest[9].hashes[0])
        assert State.MINED == await sending


async def test_it_does_not_start_with_a_nonce_that_too_few_endpoints_tell() -> None:
    one = Bench(60.0, WIDE, SIGNER)
    one.chain.enough_now = 3
    with pytest.raises(NodeDown, match="expected 3 endpoints to tell the signer's next nonce, found 2"):
        await one.sender.start([])


async def test_a_node_that_is_down_is_asked_again() -> None:
    async with bench() as one:
        sending = one.send()
        sent = await one.hash_of(7)
        one.chain.is_down = True
        one.chain.mine(sent)
        assert not sending.done()
        one.chain.is_down = False
        assert State.MINED == await sending
