"""Which branch of the chain the topic's blocks are on, and the way back where the chain has left it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from prometheus_client import Counter

from models.chain_records import Rollback
from models.errors import TidemarkError
from streams.node.blocks import read_optional_header
from streams.node.rpc import RpcError

if TYPE_CHECKING:
    from streams.ingest.symmio.chain_journal import Journal
    from streams.ingest.symmio.tail import Known
    from streams.node.blocks import Header
    from streams.node.endpoints import Node

_log = logging.getLogger(__name__)

_REORGANISATIONS = Counter("tidemark_chain_reorganisations_total", "Branches that were left.", ("deployment",))
_ROLLED_BACK = Counter("tidemark_chain_rolled_back_blocks_total", "Blocks of branches that were left.", ("deployment",))

# A chain that turned goes on saying so; an endpoint on a branch of its own comes back within a few looks, or others
# contradict it.
_LOOKS_AT_OLDEST = 5


class DeepReorganisation(TidemarkError):
    """The chain has left a block that was taken as final. Raise ``finality_depth``, and start a new epoch."""


class Branches:
    """Follows a deployment's chain from one branch to another.

    Args:
        node: Where the chain is read.
        journal: Where the records go.
        finality_depth: How many blocks below the head a block is taken as final.
    """

    def __init__(self, node: Node, journal: Journal, finality_depth: int) -> None:
        self._node = node
        self._journal = journal
        self._tail = journal.tail
        self._finality_depth = finality_depth
        self._contradictions = 0

    async def has_left(self, head: Header) -> bool:
        """Tell whether ``head``, which is not below what the topic covers, is on another branch than the topic."""
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

    async def roll_back(self) -> None:
        """Roll back to the highest block that the node's chain shares with the topic.

        Where there is none, the oldest that can still be left is looked for at every endpoint. Those that have another
        one there are put aside where others contradict them; nothing is rolled back then.

        Raises:
            DeepReorganisation: The chain left a block that was taken as final, as every endpoint in order says, and
                goes on saying.
        """
        known = list(self._tail.known())
        headers = await self._node.headers([block.number for block in known])
        for block, header in zip(known, headers, strict=True):
            if header is not None and header.hash == block.hash:
                self._contradictions = 0
                await self._roll_back_to(block)
                return
        await self._look_at_oldest(known[-1])

    async def _roll_back_to(self, block: Known) -> None:
        covered = self._tail.covered
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

    async def _look_at_oldest(self, block: Known) -> None:
        told = await self._told_by_each(block.number)
        others = {label: header for label, header in told.items() if header is None or header.hash != block.hash}
        if len(others) < len(told):
            for label in others:
                self._node.distrust(label, f"expected block {block.number} to be {block.hash}, as others say")
        if len(others) < len(told) or None in others.values() or not told:
            self._contradictions = 0
            return
        self._contradictions += 1
        if self._contradictions < _LOOKS_AT_OLDEST:
            return
        msg = (
            f"expected {self._journal.deployment}'s chain to hold block {block.number} {block.hash}, which was "
            f"taken as final, found another there: a reorganisation deeper than finality_depth {self._finality_depth}. "
            "Check the node; if the chain did turn, raise finality_depth and ingest it anew under another name"
        )
        raise DeepReorganisation(msg)

    async def _told_by_each(self, number: int) -> dict[str, Header | None]:
        """Ask every endpoint in order for a block's header."""
        told: dict[str, Header | None] = {}
        while True:
            try:
                header, label = await self._node.ask_elsewhere(
                    [("eth_getBlockByNumber", [hex(number), False])],
                    lambda results: read_optional_header(results[0]),
                    than=tuple(told),
                )
            except RpcError:
                return told
            told[label] = header
