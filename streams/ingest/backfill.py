"""Reading final history: ``eth_getLogs`` over ranges as wide as the node takes them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from models.chain import Watermark
from models.errors import TidemarkError
from streams.ingest.backoff import Backoff
from streams.ingest.blocks import make_blocks, read_logs
from streams.ingest.rpc import BadAnswer, TooMuch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.chain import Block
    from streams.ingest.blocks import FoundLog, Header
    from streams.ingest.endpoints import Node
    from streams.ingest.journal import Journal

_log = logging.getLogger(__name__)

_RANGE = Gauge("tidemark_chain_log_range_blocks", "Blocks asked for in one eth_getLogs.", ("deployment",))
REMOVED_LOGS = Counter("tidemark_chain_removed_logs_total", "Logs a node said were removed.", ("deployment",))

# Most providers take 2,000 blocks; those that take more are soon asked for more.
_FIRST_RANGE_BLOCKS = 2_000
_WIDEST_RANGE_BLOCKS = 50_000
# A range's records are held in memory until they are written: about 20 MB.
_MANY_LOGS = 10_000
_ATTEMPTS = 5


class BlockTooLarge(TidemarkError):
    """No endpoint gives the logs of a single block. Add an endpoint with a higher limit of results."""


class Disagreement(TidemarkError):
    """Logs and headers of a final block keep naming different hashes. Check that all endpoints serve one chain."""


async def backfill(node: Node, journal: Journal, addresses: Sequence[str], last: int) -> None:
    """Write the blocks that hold logs of ``addresses``, after what the topic covers and up to ``last``, a final block.

    After each range a Watermark says how far the topic reaches; a stop at any moment is made good by the next start.

    Raises:
        BlockTooLarge: The logs of one block are more than any endpoint gives.
        Disagreement: The endpoints do not agree about final blocks.
        Refused: No endpoint in order answers.
    """
    width = _FIRST_RANGE_BLOCKS
    while (first := journal.tail.covered + 1) <= last:
        end = min(last, first + width - 1)
        _RANGE.labels(journal.deployment).set(end - first + 1)
        try:
            blocks, edge = await _read_range(node, addresses, first, end)
        except TooMuch as error:
            if end == first:
                msg = f"expected the logs of block {first} in one answer, found: {error}"
                raise BlockTooLarge(msg) from error
            width = max(1, (end - first + 1) // 2)
            _log.info("log range halved deployment=%s blocks=%d reason=%s", journal.deployment, width, error)
            continue
        await journal.write([*blocks, Watermark(head=end, head_time_s=edge.time_s, final=end)])
        _log.info("backfilled deployment=%s first=%d last=%d blocks=%d", journal.deployment, first, end, len(blocks))
        if sum(len(block.logs) for block in blocks) < _MANY_LOGS // 2:
            width = min(_WIDEST_RANGE_BLOCKS, width * 2)


async def _read_range(node: Node, addresses: Sequence[str], first: int, end: int) -> tuple[list[Block], Header]:
    backoff = Backoff(0.5, 5.0)
    for _ in range(_ATTEMPTS):
        found = await _logs_between(node, addresses, first, end)
        headers = await node.headers(sorted({log.number for log in found} | {end}))
        try:
            blocks = make_blocks([header for header in headers if header is not None], found)
        except BadAnswer as error:
            _log.warning("final blocks disagree deployment=%s first=%d reason=%s", node.deployment, first, error)
        else:
            if (edge := headers[-1]) is not None:
                return [block for block in blocks if block.logs], edge
        await asyncio.sleep(backoff.next_s())
    msg = (
        f"expected logs and headers of blocks {first} to {end} to agree, found other hashes {_ATTEMPTS} times; "
        "check that every endpoint serves the same chain"
    )
    raise Disagreement(msg)


async def _logs_between(node: Node, addresses: Sequence[str], first: int, end: int) -> list[FoundLog]:
    query = {"fromBlock": hex(first), "toBlock": hex(end), "address": list(addresses)}
    found = await node.ask([("eth_getLogs", [query])], lambda results: read_logs(results[0]), is_divisible=end > first)
    REMOVED_LOGS.labels(node.deployment).inc(found.removed)
    return found.logs
