"""Transactions on their way, over a chain that the test holds."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes
from prometheus_client import REGISTRY

from streams.funder.chain_view import Chain, Head, NodeDown
from streams.funder.funding_journal import Journal
from streams.funder.funding_records import Record, Transaction
from streams.funder.sender import Purpose, Sender, State
from streams.funder.signer import Fees, Signer
from streams.node.answers import Receipt
from streams.node.endpoints import Node
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

SIGNER = Signer(Account.from_key("0x" + "42" * 32), 1)
TO, PARTY_A = "0x" + "d1" * 20, "0x" + "0a" * 20
PURPOSE = Purpose(PARTY_A, (), 1_000)
OPEN_S, CLOSED_S = 1_000, 1_001


class HeldChain(Chain):
    """Takes transactions and mines those that the test names."""

    def __init__(self) -> None:
        super().__init__(Node("main", (), 1), TO)
        self.block, self.nonce, self.time_s = 100, 7, OPEN_S
        self.is_down = False
        self.looks = 0
        self.taken: list[str] = []
        self.mined: dict[str, Receipt] = {}

    def mine(self, sent: str, *, succeeded: bool | None = True) -> None:
        self.block += 1
        self.nonce += 1
        self.mined[sent] = Receipt(sent, self.block, f"block {self.block}", succeeded, 21_000)

    async def head(self, signer: str) -> Head:
        assert SIGNER.address == signer
        if self.is_down:
            msg = "down"
            raise NodeDown(msg)
        return Head(self.block, self.nonce)

    async def receipts(self, hashes: Sequence[str]) -> dict[str, Receipt]:
        self.looks += 1
        return {one: self.mined[one] for one in hashes if one in self.mined}

    async def pending_time_s(self) -> int:
        return self.time_s

    async def fees(self) -> tuple[int, int]:
        return 100, 10

    async def send(self, raw: str) -> str | None:
        self.taken.append(raw)
        return None


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

    def __init__(self, replace_after_s: float) -> None:
        self.chain, self.journal = HeldChain(), HeldJournal()
        self.unmined: list[str] = []
        self.sender = Sender(
            "main",
            self.chain,
            SIGNER,
            self.journal,
            depth=5,
            replace_after_s=replace_after_s,
            on_unmined=self.unmined.append,
        )

    def send(self) -> asyncio.Task[State]:
        return asyncio.create_task(self.sender.send(TO, b"\x01", 50_000, PURPOSE))

    async def hash_of(self, nonce: int) -> str:
        await eventually(lambda: nonce in self.journal.newest)
        return self.journal.newest[nonce].hashes[-1]


@asynccontextmanager
async def bench(
    records: Iterable[Transaction] = (), *, replace_after_s: float = 60.0, chain_block: int = 100
) -> AsyncIterator[Bench]:
    one = Bench(replace_after_s)
    one.chain.block = chain_block
    await one.sender.start(records)
    looking = asyncio.create_task(one.sender.run(0.001))
    yield one
    looking.cancel()
    await asyncio.wait([looking])


def record(nonce: int, state: State = State.SENT, block: int | None = None) -> Transaction:
    signed = SIGNER.sign(nonce=nonce, to=TO, data=b"\x01", gas=50_000, fees=Fees(100, 10))
    block_hash = None if block is None else f"block {block}"
    return Transaction(
        signer=SIGNER.address,
        nonce=nonce,
        party_a=PARTY_A,
        charges=(),
        state=state,
        closes_s=1_000,
        raw=signed.raw,
        hashes=(signed.hash,),
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
        await eventually(lambda: len(one.chain.taken) == 1)
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


async def test_a_nonce_that_went_to_a_stranger_is_lost() -> None:
    async with bench() as one:
        sending = one.send()
        await one.hash_of(7)
        one.chain.nonce = 8
        assert State.LOST == await sending
        assert State.LOST == one.journal.newest[7].state


async def test_what_waits_is_replaced_at_higher_fees_and_any_of_its_hashes_may_be_mined() -> None:
    async with bench(replace_after_s=0.01) as one:
        sending = one.send()
        first = await one.hash_of(7)
        await eventually(lambda: len(one.journal.newest[7].hashes) >= 2)
        transactions = [TypedTransaction.from_bytes(HexBytes(raw)).as_dict() for raw in one.chain.taken[:2]]
        assert transactions[1]["maxFeePerGas"] * 10 >= transactions[0]["maxFeePerGas"] * 11
        one.chain.mine(first)
        assert State.MINED == await sending


async def test_what_is_of_no_more_use_gives_its_nonce_to_nothing() -> None:
    async with bench([record(7)]) as one:
        one.chain.time_s = CLOSED_S
        await eventually(lambda: 7 in one.journal.newest)
        cancels = one.journal.newest[7].cancels
        nothing = TypedTransaction.from_bytes(HexBytes(one.journal.newest[7].raw)).as_dict()
        assert ("0x", SIGNER.address) == (HexBytes(nothing["data"]).to_0x_hex(), HexBytes(nothing["to"]).to_0x_hex())
        one.chain.mine(cancels[0])
        await eventually(lambda: one.journal.newest[7].state == State.CANCELLED)


async def test_what_leaves_the_chain_is_sent_again_and_its_account_is_told() -> None:
    async with bench([record(7, State.MINED, 99)]) as one:
        await eventually(lambda: [PARTY_A] == one.unmined and [record(7).raw] == one.chain.taken)
        assert State.SENT == one.journal.newest[7].state
        settled = asyncio.create_task(one.sender.settle(PARTY_A))
        one.chain.mine(record(7).hashes[0])
        await settled


async def test_what_is_deep_in_the_chain_is_not_looked_for_any_more() -> None:
    async with bench([record(6, State.MINED, 90)]) as one:
        sending = one.send()
        one.chain.mine(await one.hash_of(7))
        assert State.MINED == await sending
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
