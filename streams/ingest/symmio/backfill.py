"""Reading final history: ``eth_getLogs`` over ranges as wide as the node takes them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from prometheus_client import Counter

from models.chain_records import Watermark
from models.errors import TidemarkError
from streams.ingest.symmio.ranges import LogRange
from streams.node.blocks import make_blocks, read_logs
from streams.node.rpc import BadAnswer, TooMuch
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.chain_records import Block
    from streams.ingest.symmio.chain_journal import Journal
    from streams.node.blocks import FoundLog, Header
    from streams.node.endpoints import Node

_log = logging.getLogger(__name__)

REMOVED_LOGS = Counter("tidemark_chain_removed_logs_total", "Logs a node said were removed.", ("deployment",))

_ATTEMPTS = 5


class Disagreement(TidemarkError):
    """Logs and headers of final blocks keep naming different hashes. Check that all endpoints serve one chain."""


async def backfill(node: Node, journal: Journal, addresses: Sequence[str], last: int) -> None:
    """Write the blocks that hold logs of ``addresses``, after what the topic covers and up to ``last``, a final block.

    After each range a Watermark says how far the topic reaches; a stop at any moment is made good by the next start.

    Raises:
        BlockTooLarge: The logs of one block are more than any endpoint gives.
        Disagreement: The endpoints do not agree about final blocks.
        Refused: No endpoint in order answers.
    """
    width = LogRange(journal.deployment)
    while (first := journal.tail.covered + 1) <= last:
        end = width.end(first, last)
        try:
            blocks, edge = await _read_range(node, addresses, first, end)
        except TooMuch as error:
            width.narrow(first, end, error)
            continue
        await journal.write([*blocks, Watermark(head=end, head_time_s=edge.time_s, final=end)])
        _log.info("backfilled deployment=%s first=%d last=%d blocks=%d", journal.deployment, first, end, len(blocks))
        width.widen(sum(len(block.logs) for block in blocks))


async def _read_range(node: Node, addresses: Sequence[str], first: int, end: int) -> tuple[list[Block], Header]:
    backoff = Backoff(0.5, 5.0)
    for _ in range(_ATTEMPTS):
        found = await logs_between(node, first, end, {"address": list(addresses)})
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


async def logs_between(node: Node, first: int, end: int, wanted: dict[str, object]) -> list[FoundLog]:
    """Return the logs of a range in chain order; ``wanted`` is the query's ``address`` and ``topics``.

    Raises:
        TooMuch: The range is to be halved.
        Refused: No endpoint in order answers.
    """
    query = {"fromBlock": hex(first), "toBlock": hex(end), **wanted}
    found = await node.ask([("eth_getLogs", [query])], lambda results: read_logs(results[0]), is_divisible=end > first)
    REMOVED_LOGS.labels(node.deployment).inc(found.removed)
    return found.logs
