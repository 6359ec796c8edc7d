"""A sender of funding between a chain, a key and a journal that a test holds."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes
from prometheus_client import REGISTRY

from models.money import E18
from models.symmio.funding_records import ChargeCells, Epoch, Record, Transaction
from streams.funder.agreed_chain import Head, Sight, Sights
from streams.funder.ceilings import Ceilings, Limits
from streams.funder.chain_errors import NodeDown
from streams.funder.chain_view import Chain, Moment
from streams.funder.clocks import Times, times_of
from streams.funder.data_fees import ORACLE
from streams.funder.fees import Fees
from streams.funder.flights import State
from streams.funder.funding_journal import Journal
from streams.funder.local_key import LocalKey
from streams.funder.sender import Purpose, Sender
from streams.funder.signer import Signed, Signer
from streams.node.answers import Receipt
from streams.node.endpoints import Node
from streams.process.clock import SystemClock
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence


ACCOUNT = Account.from_key("0x" + "42" * 32)


SIGNER = Signer(LocalKey(ACCOUNT), 1)


TO, PARTY_A = "0x" + "d1" * 20, "0x" + "0a" * 20


PURPOSE = Purpose(PARTY_A, (), 1_000)


OPEN_S, CLOSED_S = 1_000, 1_001


# With its margin that is 50,000.
GAS = 40_000


WIDE = Limits(Fees(10**12, 10**11), 10**7, 10**18, 10**18)


class HeldChain(Chain):
    """Takes transactions and mines those that the test names."""

    def __init__(self) -> None:
        super().__init__(Node("main", (), 1), TO, SystemClock())
        self.block, self.nonce, self.time_s = 100, 7, OPEN_S
        # How far another endpoint's clock is behind.
        self.behind_s = 0
        self.is_down = False
        self.looks = 0
        self.base_wei, self.tip_wei = 100, 10
        # What a pool says that takes nothing.
        self.turns_down: str | None = None
        # What the contract says to calls, one after the other, and then that it takes them.
        self.refusals: list[str | None] = []
        self.taken: list[str] = []
        # What a pool has though it did not take it here.
        self.pooled: set[str] = set()
        self.mined: dict[str, Receipt] = {}
        # What other endpoints have, where that is something else.
        self.others = 1
        self.elsewhere: Head | None = None
        self.mined_elsewhere: dict[str, Receipt] | None = None
        self.enough_now = 2
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
                    *[
                        (
                            self.elsewhere or Head(self.block, self.nonce),
                            self.mined if self.mined_elsewhere is None else self.mined_elsewhere,
                        )
                    ]
                    * self.others,
                )
            ],
            self.enough_now,
        )

    async def times(self) -> Times:
        return times_of([self.time_s, self.time_s - self.behind_s])

    async def moment(self, kinds: Mapping[int, tuple[int, int]]) -> Moment:
        return Moment(await self.agreed_time_s(), self.changed & kinds.keys(), self.unsure & kinds.keys())

    async def fees(self) -> tuple[int, int]:
        return self.base_wei, self.tip_wei

    async def send(self, raw: str) -> str | None:
        self.taken.append(raw)
        return self.turns_down

    async def is_known(self, hashes: Sequence[str]) -> bool:
        return not self.pooled.isdisjoint(hashes)

    async def gas_of(self, sender: str, to: str, data: bytes, most: int) -> int:
        assert (SIGNER.address, TO) == (sender, to)
        assert data
        assert most > 0
        return GAS

    async def refusal(self, sender: str, to: str, data: bytes) -> str | None:
        assert (SIGNER.address, TO) == (sender, to)
        assert data
        return self.refusals.pop(0) if self.refusals else None


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
        return asyncio.create_task(self.sender.send(TO, b"\x01", PURPOSE))

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


def _unclear() -> float | None:
    return REGISTRY.get_sample_value("tidemark_funding_unclear_transactions", {"deployment": "main"})


def fields_of(raw: str) -> dict[str, int]:
    found: dict[str, int] = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    return found


async def taken_again(chain: HeldChain) -> None:
    seen = len(chain.taken)
    await eventually(lambda: len(chain.taken) > seen)


def met(ceiling: str) -> float | None:
    labels = {"deployment": "main", "signer": SIGNER.address, "ceiling": ceiling}
    return REGISTRY.get_sample_value("tidemark_funding_ceiling_met", labels)


IN_MARKET = PURPOSE._replace(charges=(ChargeCells(1, Epoch(1_000, 100, 900), "1", "1", symbol_id=5),))
