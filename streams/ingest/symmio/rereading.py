"""The second reading of blocks that were written at the head: by range, before they are said to be final.

A log's index may lag behind its block's header, so what was read at the head may lack logs without an error. A block
that differs is written anew, after a rollback to the block before it.
"""

from __future__ import annotations

import logging
from itertools import groupby
from typing import TYPE_CHECKING

from models.chain_records import Block, Rollback
from streams.ingest.symmio.range_reader import NoWitness
from streams.node.blocks import FoundLog
from streams.node.rpc import TooMuch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.chain_records import RawLog
    from streams.ingest.symmio.chain_journal import Journal
    from streams.ingest.symmio.doubts import Doubts
    from streams.ingest.symmio.range_reader import RangeReader
    from streams.node.endpoints import Node

_log = logging.getLogger(__name__)

_BLOCKS_AT_ONCE = 1_000


class Rereading:
    """Compares what the topic holds above its final block with what the chain says by range.

    Args:
        node: Where headers of blocks are read that the topic does not hold.
        reader: Reads the ranges.
        journal: Where the records go.
        doubts: Is told of blocks that are written anew.
    """

    def __init__(self, node: Node, reader: RangeReader, journal: Journal, doubts: Doubts) -> None:
        self._node = node
        self._reader = reader
        self._journal = journal
        self._tail = journal.tail
        self._doubts = doubts

    async def settle(self, last: int) -> bool:
        """Compare every block above the final one up to ``last``, and write anew what differs.

        Args:
            last: A number not above what the topic covers.

        Returns:
            Whether the topic holds now what the chain says. False where the node answers of another branch, or the
            setting asks for a second endpoint and none answers: it is to be tried again.

        Raises:
            RpcError: No endpoint in order answers.
        """
        first = self._tail.final + 1
        width = _BLOCKS_AT_ONCE
        while first <= last:
            end = min(last, first + width - 1)
            try:
                if not await self._settle_range(first, end):
                    return False
            except TooMuch:
                if first == end:
                    raise
                width = (end - first + 1) // 2
                continue
            except NoWitness as error:
                _log.warning("not final yet deployment=%s reason=%s", self._journal.deployment, error)
                return False
            first = end + 1
        return True

    async def _settle_range(self, first: int, last: int) -> bool:
        written = {block.number: block for block in self._tail.blocks(first)}
        ours = frozenset(
            FoundLog(block.number, block.hash, log)
            for block in written.values()
            if block.number <= last
            for log in block.logs
        )
        told = await self._reader.read(first, last, ours)
        known = self._tail.hash_of(last)
        if known is not None and told.edge.hash != known:
            self._doubts.apart(first, last, f"block {last} is {known} in the topic, {told.edge.hash} at the node")
            return False
        theirs = frozenset(told.logs)
        differing = sorted({log.number for log in ours ^ theirs})
        if not differing:
            return True
        logs = {
            number: tuple(found.log for found in some)
            for number, some in groupby(told.logs, key=lambda found: found.number)
        }
        mended = await self._mended(written, differing, logs)
        if mended is None or any(_is_of_another(log, mended) for log in theirs):
            self._doubts.apart(first, last, "logs name other blocks than the topic holds")
            return False
        await self._write(written | mended, differing)
        return True

    async def _mended(
        self, written: Mapping[int, Block], differing: Sequence[int], logs: Mapping[int, tuple[RawLog, ...]]
    ) -> dict[int, Block] | None:
        mended = {}
        for number in differing:
            block = written.get(number)
            if block is None:
                header = await self._node.header(number)
                if header is None:
                    return None
                block = Block(number, header.hash, header.parent, header.time_s, ())
            mended[number] = Block(block.number, block.hash, block.parent, block.time_s, logs.get(number, ()))
        return mended

    async def _write(self, blocks: Mapping[int, Block], differing: Sequence[int]) -> None:
        first = differing[0]
        after = [blocks[number] for number in sorted(blocks) if number >= first]
        await self._journal.write([Rollback(first - 1, blocks[first].parent), *after])
        self._doubts.mended(differing)


def _is_of_another(log: FoundLog, blocks: Mapping[int, Block]) -> bool:
    return log.number in blocks and blocks[log.number].hash != log.block_hash
