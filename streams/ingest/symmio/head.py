"""The follower of the chain's head: it writes every block above the final one, and rolls back those the chain left."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from prometheus_client import Counter

from models.chain_records import Rollback, Watermark
from models.errors import TidemarkError
from streams.ingest.symmio.backfill import REMOVED_LOGS, backfill
from streams.node.blocks import make_blocks, read_logs
from streams.node.rpc import BadAnswer, Refused
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from models.chain_records import Block
    from streams.ingest.symmio.chain_journal import Journal
    from streams.node.blocks import Header
    from streams.node.endpoints import Node

_log = logging.getLogger(__name__)

_REORGANISATIONS = Counter("tidemark_chain_reorganisations_total", "Branches that were left.", ("deployment",))
_ROLLED_BACK = Counter("tidemark_chain_rolled_back_blocks_total", "Blocks of branches that were left.", ("deployment",))

# Few enough that a node answers them at once, many enough that a few batches cover a finality depth.
_BATCH_BLOCKS = 16


class DeepReorganisation(TidemarkError):
    """The chain has left a block that was taken as final. Raise ``finality_depth``, and start a new epoch."""


class Follower:
    """Keeps a deployment's topic up to date with its chain.

    ``in_step`` is the node's head while the topic stands at it, None while there is more to read.

    Args:
        node: Where the chain is read.
        journal: Where the records go.
        addresses: Addresses of the contracts whose logs are kept.
        finality_depth: How many blocks below the head a block is taken as final.
    """

    def __init__(self, node: Node, journal: Journal, addresses: Sequence[str], finality_depth: int) -> None:
        self._node = node
        self._journal = journal
        self._tail = journal.tail
        self._addresses = list(addresses)
        self._finality_depth = finality_depth
        self._backoff = Backoff(0.2, 10.0)
        self._marked: tuple[str, int] | None = None
        self.in_step: Header | None = None

    async def follow(self, wait_for_head: Callable[[], Awaitable[None]]) -> None:
        """Advance for ever, once after each ``wait_for_head``.

        Raises:
            DeepReorganisation: The chain left a block that was taken as final.
        """
        while True:
            try:
                await self.advance()
            except Refused as error:
                _log.warning("node refused deployment=%s reason=%s", self._journal.deployment, error)
                await asyncio.sleep(self._backoff.next_s())
            else:
                self._backoff.reset()
                await wait_for_head()

    async def advance(self) -> None:
        """Bring the topic to the node's head, through reorganisations on the way.

        Raises:
            DeepReorganisation: The chain left a block that was taken as final.
            Refused: No endpoint in order answers.
        """
        while True:
            self.in_step = None
            head = await self._node.head()
            if head.number < self._tail.covered:
                # An older head says nothing of our blocks; if it is of a shorter branch, that is seen once it is as
                # long.
                return
            if await self._has_left(head):
                await self._roll_back()
                continue
            final = await self.final_below(head)
            if final > self._tail.covered:
                await backfill(self._node, self._journal, self._addresses, final)
            if await self._append(head):
                await self._mark(head, final)
                self.in_step = head
                return
            await asyncio.sleep(self._backoff.next_s())

    async def final_below(self, head: Header) -> int:
        """Find the highest final block at ``head``: by depth, or the node's ``finalized`` one where that is higher."""
        finalized = await self._node.finalized()
        by_depth = head.number - self._finality_depth
        return min(head.number, max(by_depth, self._tail.final, -1 if finalized is None else finalized))

    async def _has_left(self, head: Header) -> bool:
        covered = self._tail.covered
        known = self._tail.hash_of(covered)
        if known is None:
            return False
        if head.number == covered:
            return head.hash != known
        if head.number == covered + 1:
            return head.parent != known
        header = await self._node.header(covered)
        return header is not None and header.hash != known

    async def _roll_back(self) -> None:
        known = list(self._tail.known())
        headers = await self._node.headers([block.number for block in known])
        covered = self._tail.covered
        for block, header in zip(known, headers, strict=True):
            if header is not None and header.hash == block.hash:
                await self._journal.write([Rollback(ancestor=block.number, hash=block.hash)])
                _REORGANISATIONS.labels(self._journal.deployment).inc()
                _ROLLED_BACK.labels(self._journal.deployment).inc(covered - block.number)
                _log.warning(
                    "rolled back deployment=%s head=%d ancestor=%d hash=%s",
                    self._journal.deployment,
                    covered,
                    block.number,
                    block.hash,
                )
                return
        msg = (
            f"expected {self._journal.deployment}'s chain to hold block {known[-1].number} {known[-1].hash}, which was "
            f"taken as final, found another there: a reorganisation deeper than finality_depth {self._finality_depth}. "
            "Check the node; if the chain did turn, raise finality_depth and ingest it anew under another name"
        )
        raise DeepReorganisation(msg)

    async def _append(self, head: Header) -> bool:
        while self._tail.covered < head.number:
            first = self._tail.covered + 1
            line = await self._line(first, min(head.number, first + _BATCH_BLOCKS - 1))
            blocks = await self._with_logs(line)
            if not blocks:
                return False
            await self._journal.write(blocks)
        return True

    async def _line(self, first: int, last: int) -> list[Header]:
        line: list[Header] = []
        parent = self._tail.hash_of(first - 1)
        for header in await self._node.headers(range(first, last + 1)):
            if header is None or parent not in (None, header.parent):
                break
            line.append(header)
            parent = header.hash
        return line

    async def _with_logs(self, line: Sequence[Header]) -> list[Block]:
        answers = await self._node.ask_many(
            [(("eth_getLogs", [{"blockHash": header.hash, "address": self._addresses}]), read_logs) for header in line]
        )
        REMOVED_LOGS.labels(self._journal.deployment).inc(sum(answer.removed for answer in answers))
        try:
            return make_blocks(line, [log for answer in answers for log in answer.logs])
        except BadAnswer as error:
            _log.warning("logs of another block deployment=%s reason=%s", self._journal.deployment, error)
            return []

    async def _mark(self, head: Header, final: int) -> None:
        if (head.hash, final) != self._marked:
            await self._journal.write([Watermark(head=head.number, head_time_s=head.time_s, final=final)])
            self._marked = (head.hash, final)
