"""Transactions on their way, over a chain that the test holds."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes
from prometheus_client import REGISTRY

from models.money import E18
from models.symmio.funding_plan import LATE_S
from models.symmio.funding_records import CeilingMet, ChargeCells, Epoch, Record, Transaction
from streams.funder import sender as sender_module
from streams.funder.agreed_chain import Head, Sight, Sights, Times, times_of
from streams.funder.ceilings import CeilingInTheWay, Ceilings, Limits, TooMuchGas, bound_wei
from streams.funder.chain_errors import NodeDown
from streams.funder.chain_view import Chain, Moment
from streams.funder.data_fees import ORACLE
from streams.funder.fees import Fees
from streams.funder.flights import State
from streams.funder.funding_journal import Journal
from streams.funder.local_key import LocalKey
from streams.funder.sender import Purpose, Sender
from streams.funder.signer import Signed, Signer
from streams.node.answers import Receipt
from streams.node.endpoints import Node
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

ACCOUNT = Account.from_key("0x" + "42" * 32)
SIGNER = Signer(LocalKey(ACCOUNT), 1)
TO, PARTY_A = "0x" + "d1" * 20, "0x" + "0a" * 20
PURPOSE = Purpose(PARTY_A, (), 1_000)
OPEN_S, CLOSED_S = 1_000, 1_001
WIDE = Limits(Fees(10**12, 10**11), 10**7, 10**18, 10**18)


class HeldChain(Chain):
    """Takes transactions and mines those that the test names."""

    def __init__(self) -> None:
        super().__init__(Node("main", (), 1), TO)
        self.block, self.nonce, self.time_s = 100, 7, OPEN_S
        # How far another endpoint's clock is behind.
        self.behind_s = 0
        self.is_down = False
        self.looks = 0
        self.base_wei, self.tip_wei = 100, 10
        self.refusal: str | None = None
        self.taken: list[str] = []
        self.mined: dict[str, Receipt] = {}
        # What another endpoint has, where that is something else.
        self.elsewhere: Head | None = None
        self.mined_elsewhere: dict[str, Receipt] | None = None
        self.changed: frozenset[int] = frozenset()
        self.unsure: frozenset[int] = frozenset()
        self.oracle: dict[str, int | None] | None = None

    async def is_deployed(self, address: str) -> bool | None:
        assert ORACLE == address
        return self.oracle is not None

    async def number_of(self, address: str, view: tuple[str, Sequence[str], Sequence[object]]) -> int | None:
        assert ORACLE == address
        assert self.oracle is not None
        return self.oracle[view[0]]

    def mine(self, sent: str, *, succeeded: bool | None = True) -> None:
        self.block += 1
        self.nonce += 1
        self.mined[sent] = Receipt(sent, self.block, f"block {self.block}", succeeded, 21_000, 21_000 * 105)

    async def head(self, signer: str) -> Head:
        assert SIGNER.address == signer
        if self.is_down:
            msg = "down"
            raise NodeDown(msg)
        return Head(self.block, self.nonce)

    async def receipts(self, hashes: Sequence[str]) -> dict[str, Receipt]:
        self.looks += 1
        return {one: self.mined[one] for one in hashes if one in self.mined}

    async def sights(self, signer: str, hashes: Sequence[str]) -> Sights:
        assert SIGNER.address == signer
        return Sights(
            [
                Sight(head, {one: mined[one] for one in hashes if one in mined})
                for head, mined in (
                    (Head(self.block, self.nonce), self.mined),
                    (
                        self.elsewhere or Head(self.block, self.nonce),
                        self.mined if self.mined_elsewhere is None else self.mined_elsewhere,
                    ),
                )
            ]
        )

    async def times(self) -> Times:
        return times_of([self.time_s, self.time_s - self.behind_s])

    async def moment(self, kinds: Mapping[int, tuple[int, int]]) -> Moment:
        return Moment(await self.agreed_time_s(), self.changed & kinds.keys(), self.unsure & kinds.keys())

    async def fees(self) -> tuple[int, int]:
        return self.base_wei, self.tip_wei

    async def send(self, raw: str) -> str | None:
        self.taken.append(raw)
        return self.refusal


class HeldJournal(Journal):
    """Keeps what is written."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    async def write(self, records: Iterable[Record]) -> None:
        self.records += records

    @property
    def newest(self) -> dict[int, Transaction]:
        return {one.nonce: one for one in self.records if isinstance(one, Transaction)}


class Bench:
    """A sender between the two."""

    def __init__(self, replace_after_s: float, limits: Limits, signer: Signer) -> None:
        self.chain, self.journal = HeldChain(), HeldJournal()
        self.unmined: list[Transaction] = []
        self.ceilings = Ceilings("main", SIGNER.address, limits, self.journal)
        self.sender = Sender(
            "main",
            self.chain,
            signer,
            self.journal,
            ceilings=self.ceilings,
            depth=5,
            replace_after_s=replace_after_s,
            coin_e18=2_000 * E18,
            on_unmined=self.unmined.append,
        )

    def send(self) -> asyncio.Task[State | None]:
        return asyncio.create_task(self.sender.send(TO, b"\x01", 50_000, PURPOSE))

    async def hash_of(self, nonce: int) -> str:
        await eventually(lambda: nonce in self.journal.newest)
        return self.journal.newest[nonce].hashes[-1]


class SlowKey:
    """Signs once it may."""

    address = SIGNER.address

    def __init__(self) -> None:
        self.asked = 0
        self.may = asyncio.Event()

    async def sign(self, fields: dict[str, Any]) -> Signed:
        self.asked += 1
        await self.may.wait()
        return await LocalKey(ACCOUNT).sign(fields)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "_LOOK_AGAIN_S", 0.0)
    monkeypatch.setattr(sender_module, "_RESEND_S", 0.005)


@asynccontextmanager
async def bench(
    records: Iterable[Transaction] = (),
    *,
    replace_after_s: float = 60.0,
    chain_block: int = 100,
    limits: Limits = WIDE,
    signer: Signer = SIGNER,
) -> AsyncIterator[Bench]:
    one = Bench(replace_after_s, limits, signer)
    one.chain.block = chain_block
    await one.sender.start(records)
    looking = asyncio.create_task(one.sender.run(0.001))
    yield one
    looking.cancel()
    await asyncio.wait([looking])


@cache
def record(nonce: int, state: State = State.SENT, block: int | None = None) -> Transaction:
    fields = {"type": 2, "chainId": 1, "nonce": nonce, "to": TO, "value": 0, "data": b"\x01", "gas": 50_000}
    signed = ACCOUNT.sign_transaction(
        {**fields, "to": bytes.fromhex(TO[2:]), "maxFeePerGas": 100, "maxPriorityFeePerGas": 10}
    )
    block_hash = None if block is None else f"block {block}"
    return Transaction(
        signer=SIGNER.address,
        nonce=nonce,
        party_a=PARTY_A,
        charges=(),
        state=state,
        closes_s=1_000,
        raw="0x" + bytes(signed.raw_transaction).hex(),
        hashes=("0x" + bytes(signed.hash).hex(),),
        gas=50_000,
        signed_s=OPEN_S,
        worst_wei=str(100 * 50_000),
        max_fee_wei="100",
        tip_wei="10",
        block=block,
        block_hash=block_hash,
    )


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


def _unclear() -> float | None:
    return REGISTRY.get_sample_value("tidemark_funding_unclear_transactions", {"deployment": "main"})


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


def fields_of(raw: str) -> dict[str, int]:
    found: dict[str, int] = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    return found


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


async def taken_again(chain: HeldChain) -> None:
    seen = len(chain.taken)
    await eventually(lambda: len(chain.taken) > seen)


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


def met(ceiling: str) -> float | None:
    labels = {"deployment": "main", "signer": SIGNER.address, "ceiling": ceiling}
    return REGISTRY.get_sample_value("tidemark_funding_ceiling_met", labels)


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
        one.chain.refusal = refusal
        sending = one.send()
        await eventually(lambda: 7 in one.journal.newest and len(one.journal.newest[7].hashes) == 2)
        one.chain.refusal = None
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


async def test_what_was_spent_counts_for_a_day_also_while_a_window_is_open_that_closes_hours_later() -> None:
    day_s, closes_s = 86_400, 50_000
    spent = msgspec.structs.replace(record(1, State.MINED, 9), closes_s=closes_s, final=True, cost_wei="5")
    now_s = closes_s + day_s - 60
    async with bench() as one:
        one.ceilings.note(spent)
        one.ceilings.note(msgspec.structs.replace(record(2), closes_s=now_s + 3_600, signed_s=now_s))
        assert 5 + 5_000_000 == one.ceilings.spent_wei(now_s, 0)[1]
        assert 5_000_000 == one.ceilings.spent_wei(now_s + 60, 0)[1]


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
        sending = asyncio.create_task(one.sender.send(TO, b"\x01", 50_000, purpose))
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
        one.chain.refusal = "insufficient funds for gas * price + value"
        assert State.SENT == await one.send()
        assert not await one.sender.settle(PARTY_A)
        one.chain.refusal = None
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


async def test_a_node_that_is_down_is_asked_again() -> None:
    async with bench() as one:
        sending = one.send()
        sent = await one.hash_of(7)
        one.chain.is_down = True
        one.chain.mine(sent)
        assert not sending.done()
        one.chain.is_down = False
        assert State.MINED == await sending


IN_MARKET = PURPOSE._replace(charges=(ChargeCells(1, Epoch(1_000, 100, 900), "1", "1", symbol_id=5),))


async def test_a_charge_of_a_market_that_was_changed_meanwhile_is_not_handed_out_but_its_nonce_is_filled() -> None:
    key = SlowKey()
    async with bench(signer=Signer(key, 1)) as one:
        sending = asyncio.create_task(one.sender.send(TO, b"\x01", 50_000, IN_MARKET))
        await eventually(lambda: key.asked == 1)
        one.chain.changed = frozenset({5})
        key.may.set()
        await eventually(lambda: 7 in one.journal.newest and one.journal.newest[7].cancels != ())
        sent = one.journal.newest[7]
        assert sent.raw in one.chain.taken
        assert all(fields_of(raw)["value"] == 0 and not bytes(fields_of(raw)["data"]) for raw in one.chain.taken)
        one.chain.mine(sent.cancels[0])
        assert State.CANCELLED == await sending


async def test_a_charge_waits_while_endpoints_differ_about_its_market() -> None:
    async with bench() as one:
        one.chain.unsure = frozenset({5})
        sending = asyncio.create_task(one.sender.send(TO, b"\x01", 50_000, IN_MARKET))
        sent = await one.hash_of(7)
        looks = one.chain.looks
        await eventually(lambda: one.chain.looks >= looks + 6)
        assert ([], ()) == (one.chain.taken, one.journal.newest[7].cancels)
        one.chain.unsure = frozenset()
        await eventually(lambda: one.chain.taken != [])
        one.chain.mine(sent)
        assert State.MINED == await sending


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
