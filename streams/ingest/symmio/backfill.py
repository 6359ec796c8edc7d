"""Backfill: final history is read by ``eth_getLogs``, in ranges as wide as the node takes them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from models.chain_records import Watermark
from streams.ingest.symmio.range_reader import NoWitness
from streams.ingest.symmio.ranges import LogRange
from streams.node.blocks import make_blocks
from streams.node.rpc import BadAnswer, TooMuch
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from models.chain_records import Block
    from streams.ingest.symmio.chain_journal import Journal
    from streams.ingest.symmio.doubts import Doubts
    from streams.ingest.symmio.range_reader import RangeReader
    from streams.node.blocks import Header
    from streams.node.endpoints import Node

_log = logging.getLogger(__name__)

_TRIES = 5


async def backfill(node: Node, reader: RangeReader, journal: Journal, doubts: Doubts, last: int) -> None:
    """Write the blocks that hold logs, from the first one that the topic does not cover to ``last``.

    After each range a Watermark says how far the topic reaches. A stop loses nothing: the next start goes on there.

    Args:
        node: Where headers are read.
        reader: Reads the logs.
        journal: Where the records go.
        doubts: Is told of answers that do not fit together.
        last: Number of the last block to write; it is final.

    Raises:
        BlockTooLarge: The logs of one block are more than any endpoint gives.
        RpcError: No endpoint in order answers.
    """
    width = LogRange(journal.deployment)
    while (first := journal.tail.covered + 1) <= last:
        end = width.end(first, last)
        try:
            blocks, edge = await _read_range(node, reader, doubts, first, end)
        except TooMuch as error:
            width.narrow(first, end, error)
            continue
        await journal.write([*blocks, Watermark(head=end, head_time_s=edge.time_s, final=end)])
        _log.info("backfilled deployment=%s first=%d last=%d blocks=%d", journal.deployment, first, end, len(blocks))
        width.widen(sum(len(block.logs) for block in blocks))


async def _read_range(
    node: Node, reader: RangeReader, doubts: Doubts, first: int, end: int
) -> tuple[list[Block], Header]:
    """Read a range until logs and headers are of one branch.

    Raises:
        BadAnswer: They are not, several times: there may be no such blocks, so the head is to be looked at again.
    """
    backoff = Backoff(0.5, 5.0)
    tries_left = _TRIES
    while True:
        try:
            found = await reader.read(first, end)
            headers = await node.headers_of_past(sorted({log.number for log in found.logs} - {end}))
            blocks = make_blocks([*headers, found.edge], found.logs)
            return [block for block in blocks if block.logs], found.edge
        except BadAnswer as error:
            doubts.apart(first, end, str(error))
            tries_left -= 1
            if not tries_left:
                raise
        except NoWitness as error:
            _log.warning("history waits deployment=%s first=%d reason=%s", node.deployment, first, error)
        await asyncio.sleep(backoff.next_s())
