"""The follower of the chain's head: it writes every block above the final one, and says which blocks are final."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from models.chain_records import Watermark
from streams.ingest.symmio.backfill import backfill
from streams.ingest.symmio.branches import Branches
from streams.ingest.symmio.head_logs import HeadLogs
from streams.ingest.symmio.range_reader import RangeReader, Wanted
from streams.ingest.symmio.ranges import BlockTooLarge
from streams.ingest.symmio.rereading import Rereading
from streams.node.rpc import RpcError
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streams.ingest.symmio.chain_journal import Journal
    from streams.ingest.symmio.doubts import Doubts
    from streams.node.blocks import Header
    from streams.node.endpoints import Node
    from streams.settings import SymmioSettings

_log = logging.getLogger(__name__)

# Few enough that a node answers them at once, many enough that a few batches cover a finality depth.
_BATCH_BLOCKS = 16
# Blocks are compared before they are final in groups of a share of finality_depth: a comparison costs as many calls for
# many blocks as for one, and final stays behind by less than a group.
_GROUPS_OF_DEPTH = 4
# A node without the finalized tag is not asked for it at every head.
_HEADS_WITHOUT_TAG = 30
# A chain that stands still for so many of its blocks' times is looked at as if it were final, and again each time after
# twice as long: what a lagging index left out is not to wait for the next block.
_STILL_BLOCKS = 4
_STILL_S = (3.0, 30.0)
# How much of the mean time between blocks the newest ones make up.
_NEW_BLOCKS_SHARE = 0.2
_LONGEST_STILL_S = 300.0


class Follower:
    """Keeps a deployment's topic up to date with its chain.

    ``in_step`` is the node's head while the topic stands at it, None while there is more to read.

    Args:
        node: Where the chain is read.
        journal: Where the records go.
        settings: The deployment's.
        doubts: Is told what was not proven.
    """

    def __init__(self, node: Node, journal: Journal, settings: SymmioSettings, doubts: Doubts) -> None:
        addresses = (settings.diamond, *settings.multi_accounts)
        self._node = node
        self._journal = journal
        self._tail = journal.tail
        self._doubts = doubts
        self._finality_depth = settings.finality_depth
        self._group = max(1, settings.finality_depth // _GROUPS_OF_DEPTH)
        self._reader = RangeReader(node, Wanted(addresses), settings.witness, doubts)
        self._rereading = Rereading(node, self._reader, journal, doubts)
        self._branches = Branches(node, journal, settings.finality_depth)
        self._head_logs = HeadLogs(node, addresses)
        self._backoff = Backoff(0.2, 10.0)
        self._heads_without_tag = 0
        self._block_s = 0.0
        self._came_s: float | None = None
        self._moved_s = 0.0
        self._still_s = _STILL_S[0]
        self._compare_backoff = Backoff(1.0, 30.0)
        self._compare_after_s = 0.0
        self.in_step: Header | None = None

    async def follow(self, wait_for_head: Callable[[], Awaitable[None]]) -> None:
        """Advance for ever, once after each ``wait_for_head``.

        Raises:
            DeepReorganisation: The chain left a block that was taken as final.
        """
        while True:
            try:
                await self.advance()
            except (RpcError, BlockTooLarge) as error:
                _log.warning("node refused deployment=%s reason=%s", self._journal.deployment, error)
                await asyncio.sleep(self._backoff.next_s())
            else:
                self._backoff.reset()
                await wait_for_head()

    async def advance(self) -> None:
        """Bring the topic to the node's head, through reorganisations on the way.

        Raises:
            DeepReorganisation: The chain left a block that was taken as final.
            BlockTooLarge: The logs of one block are more than any endpoint gives.
            RpcError: No endpoint in order answers.
        """
        while True:
            self.in_step = None
            head = await self._node.head()
            if head.number < self._tail.covered:
                # An older head says nothing of our blocks; if it is of a shorter branch, that is seen once it is as
                # long.
                return
            if await self._branches.has_left(head):
                covered = self._tail.covered
                await self._branches.roll_back()
                if covered == self._tail.covered:
                    await asyncio.sleep(self._backoff.next_s())
                continue
            final = await self.final_below(head)
            if final > self._tail.covered:
                if not await self._is_there(head):
                    await asyncio.sleep(self._backoff.next_s())
                    continue
                # Backfill says of all that it passes that it is final, so also of what was read at the head before.
                if not await self._rereading.settle(self._tail.covered):
                    await asyncio.sleep(self._backoff.next_s())
                    continue
                await backfill(self._node, self._reader, self._journal, self._doubts, final)
            covered = self._tail.covered
            if await self._append(head):
                self._note_movement(self._tail.covered - covered)
                await self._mark(head, final)
                self.in_step = head
                return
            await asyncio.sleep(self._backoff.next_s())

    async def final_below(self, head: Header) -> int:
        """Find the highest final block at ``head``: by depth, or the node's ``finalized`` one where that is higher."""
        finalized = await self._finalized()
        by_depth = head.number - self._finality_depth
        return min(head.number, max(by_depth, self._tail.final, -1 if finalized is None else finalized))

    async def _is_there(self, head: Header) -> bool:
        """Tell whether the chain has a block that was told as its newest one; final is counted down from it."""
        found = await self._node.header(head.number)
        return found is not None and found.hash == head.hash

    async def _finalized(self) -> int | None:
        if self._heads_without_tag > 0:
            self._heads_without_tag -= 1
            return None
        finalized = await self._node.finalized()
        if finalized is None:
            self._heads_without_tag = _HEADS_WITHOUT_TAG
        return finalized

    async def _append(self, head: Header) -> bool:
        while self._tail.covered < head.number:
            first = self._tail.covered + 1
            blocks = await self._head_logs.blocks(await self._line(first, head))
            if not blocks:
                return False
            await self._journal.write(blocks)
        return True

    async def _line(self, first: int, head: Header) -> list[Header]:
        line: list[Header] = []
        parent = self._tail.hash_of(first - 1)
        last = min(head.number, first + _BATCH_BLOCKS - 1)
        headers = [head] if first == head.number else await self._node.headers(range(first, last + 1))
        for header in headers:
            if header is None or parent not in (None, header.parent):
                break
            line.append(header)
            parent = header.hash
        return line

    def _note_movement(self, blocks: int) -> None:
        if blocks <= 0:
            return
        now_s = asyncio.get_running_loop().time()
        if self._came_s is not None:
            self._block_s += ((now_s - self._came_s) / blocks - self._block_s) * _NEW_BLOCKS_SHARE
        self._came_s = self._moved_s = now_s
        shortest_s, longest_s = _STILL_S
        self._still_s = min(longest_s, max(shortest_s, _STILL_BLOCKS * self._block_s))

    async def _mark(self, head: Header, final: int) -> None:
        mark = Watermark(head=head.number, head_time_s=head.time_s, final=await self._compared(final))
        if mark != self._tail.marked:
            await self._journal.write([mark])

    async def _compared(self, final: int) -> int:
        """Compare blocks with the chain if it is time to, and return the highest one that is final by now."""
        now_s = asyncio.get_running_loop().time()
        is_still = now_s - self._moved_s >= self._still_s
        is_group = final - self._tail.final >= self._group
        if now_s < self._compare_after_s or not (is_still or is_group):
            return self._tail.final
        last = self._tail.covered if is_still else final
        if not await self._settle(last):
            self._compare_after_s = now_s + self._compare_backoff.next_s()
            return self._tail.final
        self._compare_backoff.reset()
        if is_still:
            self._still_s = min(_LONGEST_STILL_S, 2 * self._still_s)
            self._moved_s = now_s
        return min(final, last)

    async def _settle(self, last: int) -> bool:
        try:
            return await self._rereading.settle(last)
        except RpcError as error:
            # The head does not wait for what is to be final.
            _log.warning("blocks not compared deployment=%s reason=%s", self._journal.deployment, error)
            return False
