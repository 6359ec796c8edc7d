"""The simulated chain: a block a second, hashes, one-block reorganisations, and the ledger behind it.

Everything follows from the seed and the second of block 0, so a chain made anew has the same hashes. A block that
loses its place to a sibling is seen only by those who follow the head at that time.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING

from tidemark.demo.actors import Population
from tidemark.demo.books import Reverted
from tidemark.demo.contract import Contract
from tidemark.demo.ledger import Ledger, Past
from tidemark.demo.multi_account import made_up_address

if TYPE_CHECKING:
    from tidemark.demo.actors import Transaction
    from tidemark.demo.events import Log
    from tidemark.demo.market import Market

FINALITY_DEPTH = 12
START_BLOCK = 1

# One in so many blocks is first seen with a sibling's content, and replaced a second later.
_BLOCKS_PER_FORK = 60
_E8_TO_E18 = 10**10


@dataclass(frozen=True, slots=True)
class Block:
    """A block. Each of its ``transactions`` is the list of its logs in order."""

    number: int
    hash: str
    parent: str
    time_s: int
    transactions: tuple[tuple[Log, ...], ...]

    def transaction_hash(self, index: int) -> str:
        """Return the hash of the transaction at ``index``."""
        return _hash(self.hash, index)


class Chain:
    """The simulated chain, which holds only block 0 until it is grown.

    Args:
        seed: What everything random follows from.
        genesis_s: The time of block 0, in Unix s.
        market: The prices.
    """

    def __init__(self, seed: int, genesis_s: int, market: Market) -> None:
        self.genesis_s = genesis_s
        self.ledger = Ledger()
        self.contract = Contract(made_up_address(seed, "diamond"), made_up_address(seed, "fee collector"), self.ledger)
        self.population = Population(seed, self.contract)
        self._seed = seed
        self._market = market
        self._provisional = False
        self._blocks = [Block(0, _hash(seed, genesis_s), "0x" + "00" * 32, genesis_s, ())]
        self._by_hash = {self.head.hash: self.head}

    @property
    def head(self) -> Block:
        """The newest block."""
        return self._blocks[-1]

    @property
    def final(self) -> int:
        """The newest block that no reorganisation can reach."""
        return max(0, self.head.number - FINALITY_DEPTH)

    def block(self, number: int) -> Block | None:
        """Return the block at ``number`` on the current branch, None beyond the head."""
        return self._blocks[number] if 0 <= number < len(self._blocks) else None

    def block_by_hash(self, block_hash: str) -> Block | None:
        """Return a block of any branch that was seen since the chain was made, None where none has that hash."""
        return self._by_hash.get(block_hash)

    def stands(self, block: Block) -> bool:
        """Whether ``block`` is on the current branch."""
        return self.block(block.number) == block

    def past(self, block: Block) -> Past:
        """Return the contracts' storage at the end of a block of the current branch."""
        return Past(self.ledger, block.number)

    def grow_to(self, number: int, *, forks: bool) -> list[Block]:
        """Make blocks up to ``number``.

        Args:
            number: The new head; nothing happens when it is not above the old one.
            forks: Whether a block that is to lose its place may be the new head.

        Returns:
            The blocks followers of the head hear of, in order; the first may replace the old head.
        """
        heard = []
        if self._provisional and number > self.head.number:
            self._drop_head()
        while self.head.number < number:
            following = self.head.number + 1
            lost = forks and following == number and _is_forked(following)
            block = self._make(following, branch=1 if lost else 0)
            self._provisional = lost
            heard.append(block)
        return heard

    def _drop_head(self) -> None:
        self._blocks.pop()
        self.ledger.undo()
        self._provisional = False

    def _make(self, number: int, *, branch: int) -> Block:
        time_s = self.genesis_s + number
        marks = self._market.marks_e8(number)
        self.contract.begin(number, time_s, {i: mark * _E8_TO_E18 for i, mark in enumerate(marks, start=1)})
        random = Random(f"{self._seed}:{self.genesis_s}:{number}:{branch}")
        plan = self.population.set_up() if number == START_BLOCK else self.population.transactions(number, random)
        block = Block(
            number=number,
            hash=_hash(self.head.hash, number, branch),
            parent=self.head.hash,
            time_s=time_s,
            transactions=tuple(logs for transaction in plan if (logs := self._run(transaction))),
        )
        self._blocks.append(block)
        self._by_hash[block.hash] = block
        return block

    def _run(self, transaction: Transaction) -> tuple[Log, ...]:
        self.contract.logs = []
        with suppress(Reverted):
            transaction()
        return tuple(self.contract.logs)


def _is_forked(number: int) -> bool:
    return number % _BLOCKS_PER_FORK == _BLOCKS_PER_FORK // 2


def _hash(*parts: object) -> str:
    return f"0x{sha256(repr(parts).encode()).hexdigest()}"
