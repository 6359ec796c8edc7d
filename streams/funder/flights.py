"""One transaction of the signer on its way: what a look at the chain means for it.

* The chain has used the nonce, and has none of our hashes: after some looks somebody else's transaction seems to have
  it, and ours is ``lost``. That is no end: its receipt may only be late, or a reorganisation may free the nonce.
* A transaction whose receipt has no status is in the chain, and what it did is unknown: it is neither mined, reverted
  nor lost.
* Whatever it is becomes final once the block that used the nonce is deep enough.
* One endpoint is enough for what can be taken back; that a nonce is used by none of ours, and that something is final,
  two have to say (``agreed_chain.py``).
"""

from __future__ import annotations

import asyncio
from enum import Enum, StrEnum, auto
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from models.symmio.funding_records import Transaction
    from streams.funder.agreed_chain import Head, Sights
    from streams.node.answers import Receipt

# Endpoints differ: one may know that a nonce is used and not have its receipt yet, so this many looks have to agree.
LOOKS_TO_BE_SURE = 3
"""How many looks in a row have to see the same before it is acted upon."""

_replace = msgspec.structs.replace


class State(StrEnum):
    """What became of a transaction, as far as the chain says now."""

    SENT = "sent"
    MINED = "mined"
    REVERTED = "reverted"
    CANCELLED = "cancelled"
    LOST = "lost"


class Change(Enum):
    """What a look at the chain changed."""

    NOTHING = auto()
    LANDED = auto()
    LEFT = auto()
    FINAL = auto()


class Flight:
    """A transaction that may still get into the chain, or leave it.

    Args:
        record: What is on record of it.
    """

    def __init__(self, record: Transaction) -> None:
        self.record = record
        self.done: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        if not self.is_pending:
            self.done.set_result(State(record.state))
        self.is_stored = True
        self.is_unclear = False
        # Whether it would pay another epoch, since a market of its charges was changed, or revert: it is taken back.
        self.is_void = False
        # Which address it calls, and with what, until it is handed to a node first.
        self.call: tuple[str, bytes] | None = None
        # Whether a pool may have it though it is not known here to have been handed to one.
        self.may_be_out = False
        # Set while nobody is to wait for it: no node takes it, or it can do nothing any more.
        self.is_stuck = asyncio.Event()
        self.signed_s = 0.0
        self.signed_block = 0
        self.sent_s = 0.0
        self.looked_s = 0.0
        self._absences = 0
        self._used_block = 0
        self._refusals = 0

    @property
    def is_pending(self) -> bool:
        """Whether it is not in the chain, as far as is known, and may get there."""
        return self.record.state == State.SENT

    @property
    def hashes(self) -> tuple[str, ...]:
        """The hashes of all that were signed under its nonce."""
        return self.record.hashes + self.record.cancels

    @property
    def kinds(self) -> dict[int, tuple[int, int]]:
        """Funding epoch and window, in s, at which its markets are charged, by their ids."""
        charges = self.record.charges
        return {one.symbol_id: (one.epoch.epoch_s, one.epoch.window_s) for one in charges if one.symbol_id}

    def is_of_no_use(self, chain_s: int) -> bool:
        """Whether its charges would do nothing any more, or pay another epoch, so that it is taken back.

        Args:
            chain_s: The chain's time, Unix s.
        """
        record = self.record
        is_expired = record.expires_s is not None and chain_s > record.expires_s
        return self.is_void or is_expired or chain_s > record.closes_s

    def was_handed_over(self, *, is_taken: bool) -> None:
        """Note what became of it when it was handed to every node; a single refusal may be that of a passing state."""
        self._refusals = 0 if is_taken else self._refusals + 1
        if is_taken:
            self.is_stuck.clear()
        elif self._refusals >= LOOKS_TO_BE_SURE:
            self.is_stuck.set()

    async def done_or_stuck(self) -> bool:
        """Wait until it is in the chain, or lost; return False where that is not to be waited for any more."""
        stuck = asyncio.ensure_future(self.is_stuck.wait())
        try:
            either: list[asyncio.Future[Any]] = [self.done, stuck]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stuck.cancel()
        return self.done.done()

    def is_for_good(self, head: Head, receipt: Receipt | None, depth: int) -> bool:
        """Whether a look would come to something that is not believed of one endpoint: it is final, or is lost.

        Args:
            head: The newest block, and the signer's nonce in it, by one endpoint.
            receipt: That of any of its hashes, by one endpoint.
            depth: After how many blocks a block is final.
        """
        if receipt is None:
            return head.nonce > self.record.nonce
        return receipt.succeeded is not None and head.block - receipt.block >= depth

    def look(self, receipt: Receipt | None) -> Change:
        """Take in what one endpoint says of it, where that is not for good.

        Args:
            receipt: That of any of its hashes; None where its nonce is not used.
        """
        if receipt is None:
            return self._unused()
        self._absences = 0
        self.is_unclear = receipt.succeeded is None
        if self.is_unclear or receipt.block_hash == self.record.block_hash:
            return Change.NOTHING
        self.record = _mined(self.record, receipt)
        return Change.LANDED

    def weigh(self, sights: Sights, depth: int) -> Change:
        """Take in what all endpoints say of it, which may be for good.

        Args:
            sights: The chain as each of them has it.
            depth: After how many blocks a block is final.
        """
        if not sights.are_enough:
            return Change.NOTHING
        head, receipt = sights.head, sights.receipt(self.hashes)
        if receipt is None:
            return self._used(head, depth) if head.nonce > self.record.nonce else self._unused()
        change = self.look(receipt)
        if change is not Change.NOTHING or self.is_unclear:
            return change
        landed = _mined(self.record, receipt)
        if landed.state != self.record.state:
            # What one endpoint said of it was not so.
            self.record = landed
            return Change.LANDED
        if sights.are_deep(receipt, depth):
            self.record = _replace(self.record, final=True, cost_wei=str(_cost_wei(self.record, receipt)))
            return Change.FINAL
        return Change.NOTHING

    def _unused(self) -> Change:
        """The nonce is free: it waits, or it has left the chain."""
        self.is_unclear = False
        self._absences = 0
        if self.is_pending:
            return Change.NOTHING
        self.record = _left(self.record, State.SENT)
        self.done = asyncio.get_running_loop().create_future()
        self.was_handed_over(is_taken=True)
        self.sent_s = 0.0
        return Change.LEFT

    def _used(self, head: Head, depth: int) -> Change:
        """The nonce is used, and none of ours has it."""
        self.is_unclear = False
        record = self.record
        self._absences += 1
        if self._absences == 1:
            self._used_block = head.block
        if self._absences < LOOKS_TO_BE_SURE:
            return Change.NOTHING
        if record.state != State.LOST:
            self.record = _left(record, State.LOST)
            return Change.LANDED
        if head.block - self._used_block < depth:
            return Change.NOTHING
        # No endpoint has a receipt of ours. Where all of them miss it, one of ours was paid for all the same: what that
        # came to is not known, and it goes on counting with the most that it can cost.
        self.record = _replace(record, final=True)
        return Change.FINAL


def _left(record: Transaction, state: State) -> Transaction:
    left_block = record.left_block if record.block is None else record.block
    return _replace(
        record, state=state, block=None, block_hash=None, gas_used=None, cost_wei=None, left_block=left_block
    )


def _mined(record: Transaction, receipt: Receipt) -> Transaction:
    done = State.MINED if receipt.succeeded else State.REVERTED
    return _replace(
        record,
        state=State.CANCELLED if receipt.hash in record.cancels else done,
        block=receipt.block,
        block_hash=receipt.block_hash,
        gas_used=receipt.gas_used,
        cost_wei=str(_cost_wei(record, receipt)),
    )


def _cost_wei(record: Transaction, receipt: Receipt) -> int:
    # What a node does not tell is taken to be the most that was allowed.
    if receipt.cost_wei is None:
        return receipt.gas_used * int(record.max_fee_wei) + int(record.data_wei)
    return receipt.cost_wei + (int(record.data_wei) if receipt.has_operator_fee else 0)
