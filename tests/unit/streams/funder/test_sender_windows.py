"""Charges that are of no use any more, and who waits for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from models.symmio.funding_plan import LATE_S
from streams.funder import sender as sender_module
from streams.funder.fees import Fees
from streams.funder.flights import State
from streams.funder.signer import Signer
from tests.support.eventually import eventually
from tests.support.sender_bench import (
    CLOSED_S,
    IN_MARKET,
    OPEN_S,
    PARTY_A,
    PURPOSE,
    SIGNER,
    TO,
    WIDE,
    SlowKey,
    bench,
    fields_of,
    record,
)
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    import pytest


async def test_what_was_spent_counts_for_a_day_also_while_a_window_is_open_that_closes_hours_later() -> None:
    day_s, closes_s = 86_400, 50_000
    spent = msgspec.structs.replace(record(1, State.MINED, 9), closes_s=closes_s, final=True, cost_wei="5")
    now_s = closes_s + day_s - 60
    async with bench() as one:
        one.ceilings.note(spent)
        one.ceilings.note(msgspec.structs.replace(record(2), closes_s=now_s + 3_600, signed_s=now_s))
        assert 5 + 5_000_000 == one.ceilings.spent_wei(now_s, 0)[1]
        assert 5_000_000 == one.ceilings.spent_wei(now_s + 60, 0)[1]


async def test_what_is_of_no_more_use_gives_its_nonce_to_nothing() -> None:
    async with bench([record(7)]) as one:
        one.chain.time_s = CLOSED_S
        await eventually(lambda: 7 in one.journal.newest)
        cancels = one.journal.newest[7].cancels
        nothing = TypedTransaction.from_bytes(HexBytes(one.journal.newest[7].raw)).as_dict()
        assert ("0x", SIGNER.address) == (HexBytes(nothing["data"]).to_0x_hex(), HexBytes(nothing["to"]).to_0x_hex())
        one.chain.mine(cancels[0])
        await eventually(lambda: one.journal.newest[7].state == State.CANCELLED)


async def test_a_charge_is_not_handed_out_after_its_window_though_nothing_can_be_signed_in_its_place() -> None:
    async with bench([record(7)], limits=WIDE._replace(fees=Fees(300, 30))) as one:
        one.chain.time_s, one.chain.base_wei = CLOSED_S, 301
        await eventually(lambda: one.chain.looks >= 10)
        assert [] == one.chain.taken
        one.chain.base_wei = 100
        await eventually(lambda: one.chain.taken != [])
        assert {one.journal.newest[7].raw} == set(one.chain.taken)
        assert one.journal.newest[7].cancels != ()


async def test_a_charge_that_was_signed_for_so_long_that_its_window_closed_is_not_handed_out() -> None:
    key = SlowKey()
    async with bench(signer=Signer(key, 1)) as one:
        sending = one.send()
        await eventually(lambda: key.asked == 1)
        one.chain.time_s = CLOSED_S
        key.may.set()
        await eventually(lambda: 7 in one.journal.newest and one.journal.newest[7].cancels != ())
        cancel = one.journal.newest[7]
        await eventually(lambda: one.chain.taken != [])
        assert {cancel.raw} == set(one.chain.taken)
        one.chain.mine(cancel.cancels[0])
        assert State.CANCELLED == await sending


async def test_a_replacement_that_was_signed_for_so_long_that_its_window_closed_is_not_handed_out() -> None:
    key = SlowKey()
    async with bench([record(7)], replace_after_s=0.01, signer=Signer(key, 1)) as one:
        await eventually(lambda: one.chain.taken != [])
        one.chain.block += 1
        await eventually(lambda: key.asked == 1)
        one.chain.taken.clear()
        one.chain.time_s = CLOSED_S
        key.may.set()
        await eventually(lambda: one.chain.taken != [])
        assert {one.journal.newest[7].raw} == set(one.chain.taken)
        assert one.journal.newest[7].cancels != ()


async def test_nothing_is_signed_where_the_window_closed_while_others_had_the_signer() -> None:
    key = SlowKey()
    async with bench(signer=Signer(key, 1)) as one:
        first, second = one.send(), one.send()
        await eventually(lambda: key.asked == 1)
        one.chain.time_s = CLOSED_S
        key.may.set()
        assert await second is None
        await eventually(lambda: 7 in one.journal.newest and one.journal.newest[7].cancels != ())
        one.chain.mine(one.journal.newest[7].cancels[0])
        assert State.CANCELLED == await first
        assert {7} == set(one.journal.newest)


async def test_a_charge_is_handed_out_while_one_endpoint_says_that_its_window_is_open() -> None:
    async with bench() as one:
        one.chain.time_s, one.chain.behind_s = CLOSED_S, 1
        sending = one.send()
        one.chain.mine(await one.hash_of(7))
        assert State.MINED == await sending


async def test_who_waits_for_what_no_node_takes_is_let_go_until_one_takes_it() -> None:
    async with bench() as one:
        one.chain.turns_down = "insufficient funds for gas * price + value"
        assert State.SENT == await one.send()
        assert not await one.sender.settle(PARTY_A)
        one.chain.turns_down = None
        taken = len(one.chain.taken)
        await eventually(lambda: len(one.chain.taken) >= taken + 2)
        settled = asyncio.create_task(one.sender.settle(PARTY_A))
        one.chain.mine(await one.hash_of(7))
        assert await settled


async def test_who_waits_for_what_can_do_nothing_any_more_is_let_go() -> None:
    async with bench(limits=WIDE._replace(fees=Fees(300, 30))) as one:
        sending = one.send()
        await one.hash_of(7)
        # It cannot be taken back, and stays under way.
        one.chain.base_wei = 301
        one.chain.time_s = OPEN_S + LATE_S + 1
        assert State.SENT == await sending
        assert one.sender.is_watching(PARTY_A)


async def test_a_charge_of_a_market_that_was_changed_meanwhile_is_not_handed_out_but_its_nonce_is_filled() -> None:
    key = SlowKey()
    async with bench(signer=Signer(key, 1)) as one:
        sending = asyncio.create_task(one.sender.send(TO, b"\x01", IN_MARKET))
        await eventually(lambda: key.asked == 1)
        one.chain.changed = frozenset({5})
        key.may.set()
        await eventually(lambda: 7 in one.journal.newest and one.journal.newest[7].cancels != ())
        sent = one.journal.newest[7]
        assert sent.raw in one.chain.taken
        assert all(fields_of(raw)["value"] == 0 and not bytes(fields_of(raw)["data"]) for raw in one.chain.taken)
        one.chain.mine(sent.cancels[0])
        assert State.CANCELLED == await sending


async def test_a_charge_that_the_contract_would_refuse_by_the_time_it_is_signed_is_not_handed_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with bench() as one:
        one.chain.refusals = ["the signature is not of this state"]
        sending = one.send()
        await eventually(lambda: 7 in one.journal.newest and one.journal.newest[7].cancels != ())
        await eventually(lambda: one.chain.taken != [])
        assert not any(bytes(fields_of(raw)["data"]) for raw in one.chain.taken)
        one.chain.mine(one.journal.newest[7].cancels[0])
        assert State.CANCELLED == await sending
    assert "taken back, since it would revert nonce=7: the signature is not of this state" in caplog.text


def test_the_nonce_of_a_charge_that_is_taken_back_is_filled_at_once_since_later_ones_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender_module, "_RESEND_S", 3.0)

    async def taken_back_after_s() -> float:
        async with bench() as one:
            one.chain.refusals = ["the signature is not of this state"]
            await asyncio.sleep(10)
            began_s = asyncio.get_running_loop().time()
            sending = one.send()
            await eventually(lambda: one.chain.taken != [])
            took_s = asyncio.get_running_loop().time() - began_s
            one.chain.mine(one.journal.newest[7].cancels[0])
            assert State.CANCELLED == await sending
            return took_s

    assert run_in_no_time(taken_back_after_s()) < 1


async def test_what_reverted_and_what_was_taken_back_has_come_to_nothing_for_its_epoch_and_account() -> None:
    epoch = IN_MARKET.charges[0].epoch
    sent = [
        msgspec.structs.replace(record(nonce, state, block=nonce), charges=IN_MARKET.charges)
        for nonce, state in enumerate((State.MINED, State.REVERTED, State.CANCELLED, State.CANCELLED))
    ]
    async with bench([*sent, record(4, State.CANCELLED, block=4)]) as one:
        assert (3, [1]) == (
            one.sender.failures(PARTY_A, {epoch}), [found.nonce for found in one.sender.reverts(PARTY_A, {epoch})]
        )  # fmt: skip
        assert 0 == one.sender.failures(TO, {epoch})
        assert 0 == one.sender.failures(PARTY_A, {epoch._replace(pays_s=0)})


async def test_what_is_in_a_pool_already_is_not_taken_back_since_it_would_be_refused_beside_itself() -> None:
    async with bench(replace_after_s=0.01) as one:
        sending = one.send()
        await one.hash_of(7)
        await eventually(lambda: one.chain.taken != [])
        one.chain.refusals = ["the epoch is paid"] * 100
        one.chain.block += 1
        await eventually(lambda: len(one.journal.newest[7].hashes) >= 2)
        assert ((), 100) == (one.journal.newest[7].cancels, len(one.chain.refusals))
        one.chain.mine(await one.hash_of(7))
        assert State.MINED == await sending


async def test_a_charge_whose_signature_has_expired_is_taken_back_since_it_could_only_revert() -> None:
    async with bench() as one:
        purpose = PURPOSE._replace(closes_s=OPEN_S + 100, expires_s=OPEN_S + 10)
        sending = asyncio.create_task(one.sender.send(TO, b"\x01", purpose))
        await one.hash_of(7)
        one.chain.time_s = OPEN_S + 10
        looks = one.chain.looks
        await eventually(lambda: one.chain.looks >= looks + 3)
        assert [()] == [sent.cancels for sent in one.journal.newest.values()]
        one.chain.time_s = OPEN_S + 11
        await eventually(lambda: one.journal.newest[7].cancels != ())
        one.chain.mine(one.journal.newest[7].cancels[0])
        assert State.CANCELLED == await sending


async def test_whoever_comes_next_hands_out_no_charge_whose_signature_has_expired() -> None:
    expired = msgspec.structs.replace(record(7), expires_s=OPEN_S - 1)
    async with bench([expired]) as one:
        await eventually(lambda: one.chain.taken != [])
        assert {one.journal.newest[7].raw} == set(one.chain.taken)
        assert one.journal.newest[7].cancels


async def test_whoever_comes_next_hands_out_no_charge_that_the_contract_would_refuse_by_now() -> None:
    async with bench() as one:
        one.chain.is_down = True
        one.chain.refusals = ["the signature is not of this state"]
        await one.sender.start([record(7)])
        one.chain.is_down = False
        await eventually(lambda: one.chain.taken != [])
        assert not any(bytes(fields_of(raw)["data"]) for raw in one.chain.taken)
        one.chain.mine(one.journal.newest[7].cancels[0])
        await eventually(lambda: one.journal.newest[7].state == State.CANCELLED)


async def test_whoever_comes_next_takes_nothing_back_that_a_pool_has_since_it_would_be_refused_beside_itself() -> None:
    async with bench() as one:
        one.chain.refusals, one.chain.pooled = ["the epoch is paid"], {record(7).hashes[0]}
        await one.sender.start([record(7)])
        await eventually(lambda: one.chain.taken != [])
        assert ({record(7).raw}, 1) == ({*one.chain.taken}, len(one.chain.refusals))


async def test_a_charge_waits_while_endpoints_differ_about_its_market() -> None:
    async with bench() as one:
        one.chain.unsure = frozenset({5})
        sending = asyncio.create_task(one.sender.send(TO, b"\x01", IN_MARKET))
        sent = await one.hash_of(7)
        looks = one.chain.looks
        await eventually(lambda: one.chain.looks >= looks + 6)
        assert ([], ()) == (one.chain.taken, one.journal.newest[7].cancels)
        one.chain.unsure = frozenset()
        await eventually(lambda: one.chain.taken != [])
        one.chain.mine(sent)
        assert State.MINED == await sending
