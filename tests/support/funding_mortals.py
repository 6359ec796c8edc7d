"""What an executor of funding reaches the world through, which ends with it: at each step of its life it may die.

Everything between the executor and the world is such a step: before a question, after the answer, before a record is
written and after it, before a signature and after it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from models.symmio.funding_records import Settled
from models.symmio.open_funding import OpenFunding
from streams.funder.diamond_calls import PairSignature
from streams.funder.funding_journal import Journal
from streams.funder.muon import Muon
from tests.support.funding_chain import DIAMOND, FundingChain, signed_state
from tests.support.funding_endpoint import FundingEndpoint

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence

    from models.symmio.funding_records import Record
    from streams.funder.local_key import LocalKey
    from streams.funder.signer import Signed
    from streams.node.rpc import Call
    from streams.node.rpc import Outcome as Answered


class Life:
    """One executor's life: it ends at the step of that number, and whatever it does then has no effect any more."""

    def __init__(self, ends_at: int | None) -> None:
        self._ends_at = ends_at
        self.steps = 0
        self.ended = asyncio.Event()

    async def step(self) -> None:
        """Go on, or never again."""
        self.steps += 1
        if self.steps == self._ends_at:
            self.ended.set()
        if self.ended.is_set():
            await asyncio.get_running_loop().create_future()


class Mortal(FundingEndpoint):
    """An endpoint, as an executor reaches it that may die meanwhile."""

    def __init__(self, endpoint: FundingEndpoint, life: Life) -> None:
        self.label = endpoint.label
        self._endpoint = endpoint
        self._life = life

    async def ask(self, calls: Sequence[Call], timeout_s: float) -> list[Answered]:
        await self._life.step()
        answers = await self._endpoint.ask(calls, timeout_s)
        await self._life.step()
        return answers


class MortalJournal(Journal):
    """Writes to a list that outlives it, each record with when it was written, Unix ms."""

    def __init__(self, topic: list[tuple[int, Record]], life: Life) -> None:
        self._written = topic
        self._life = life
        self._open = OpenFunding()
        self._settled_ms = next((one.since_ms for _, one in reversed(topic) if isinstance(one, Settled)), 0)

    def needed(self) -> list[Record]:
        """What whoever comes reads: nothing of before the newest record of what is settled."""
        found = [(at_ms, record) for at_ms, record in self._written if at_ms >= self._settled_ms]
        for at_ms, record in found:
            self._open.add(record, at_ms)
        return [record for _, record in found]

    async def write(self, records: Iterable[Record]) -> None:
        taken = list(records)
        await self._life.step()
        at_ms = int(asyncio.get_running_loop().time() * 1_000)
        self._written += [(at_ms, one) for one in self._settling(taken, at_ms, every_ms=1)]
        await self._life.step()


class MortalKey:
    """Signs, after a while."""

    def __init__(self, key: LocalKey, life: Life, slowest_s: float, draw: random.Random) -> None:
        self.address = key.address
        self._key = key
        self._life = life
        self._slowest_s = slowest_s
        self._draw = draw

    async def sign(self, fields: dict[str, Any]) -> Signed:
        await self._life.step()
        await asyncio.sleep(self._slowest_s * self._draw.random())
        signed = await self._key.sign(fields)
        await self._life.step()
        return signed


class MortalMuon(Muon):
    """Signs the pair's nonces."""

    def __init__(self, chain: FundingChain, life: Life) -> None:
        self._chain = chain
        self._life = life

    async def sign(self, party_a: str, party_b: str) -> PairSignature:
        await self._life.step()
        state = signed_state(self._chain, party_b, party_a)
        signature = PairSignature(state, self._chain.now_s, 0, 0, b"", 1, DIAMOND, DIAMOND)
        await self._life.step()
        return signature
