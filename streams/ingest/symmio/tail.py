"""The end of a deployment's topic: how far it reaches, and the blocks that may still be rolled back."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, assert_never

from models.chain_records import Block, Checkpoint, Join, Joined, Rollback, Watermark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from models.chain_records import ChainRecord


class Known(NamedTuple):
    """A block's number and hash, as the topic has them."""

    number: int
    hash: str


class Tail:
    """Folds the records of one deployment, in topic order, into where to go on.

    ``covered`` is the highest block up to which every log is in the topic, ``final`` the highest that will not be
    rolled back. While the topic has no record of the deployment, both are -1 and ``is_empty`` is True. ``joining`` is
    the block of a join that has begun and not ended, ``marked`` the last record where that is a watermark.
    """

    def __init__(self) -> None:
        self.is_empty = True
        self.covered = -1
        self.final = -1
        self.joining: int | None = None
        self.marked: Watermark | None = None
        self._hashes: dict[int, str] = {}
        self._blocks: dict[int, Block] = {}

    def begin_at(self, block: int) -> None:
        """Take the blocks before ``block`` as covered and final: the deployment's history begins there.

        Where the topic says what is final, nothing changes. A process that was killed after its first blocks, and
        before its first watermark, has left a topic that does not say it.
        """
        if self.final < 0:
            self.covered, self.final = max(self.covered, block - 1), block - 1

    def apply(self, record: ChainRecord) -> None:
        """Move on by one record."""
        self.is_empty = False
        self.marked = record if isinstance(record, Watermark) else None
        match record:
            case Block():
                self.covered, self.joining = record.number, None
                self._hashes[record.number] = record.hash
                self._blocks[record.number] = record
            case Watermark():
                self.covered = max(record.head, self.covered)
                self._settle(max(record.final, self.final))
            case Rollback():
                self.covered = record.ancestor
                self._keep(lambda number: number <= record.ancestor)
                self._hashes[record.ancestor] = record.hash
            case Join():
                self.joining = record.block
                self._keep(lambda _: False)
                self._hashes[record.block] = record.hash
            case Joined():
                self.joining = None
                self.covered = record.block
                self._settle(record.block)
            case Checkpoint():
                pass
            case _:
                assert_never(record)

    def hash_of(self, number: int) -> str | None:
        """Find the hash of a block not below ``final``, in its record or as the parent hash of the next one."""
        child = self._blocks.get(number + 1)
        return self._hashes.get(number) or (None if child is None else child.parent)

    def blocks(self, first: int) -> list[Block]:
        """List the blocks from ``first`` on that the topic holds above ``final``, in order."""
        return [self._blocks[number] for number in sorted(self._blocks) if number >= max(first, self.final + 1)]

    def known(self) -> Iterator[Known]:
        """Yield the blocks whose hash is known, highest first, down to ``final``."""
        numbers = self._hashes.keys() | {number - 1 for number in self._blocks}
        for number in sorted(numbers, reverse=True):
            known_hash = self.hash_of(number)
            if known_hash is not None and number >= self.final:
                yield Known(number, known_hash)

    def _settle(self, final: int) -> None:
        self.final = final
        self._keep(lambda number: number >= final)

    def _keep(self, is_kept: Callable[[int], bool]) -> None:
        self._hashes = {number: text for number, text in self._hashes.items() if is_kept(number)}
        self._blocks = {number: block for number, block in self._blocks.items() if is_kept(number)}
