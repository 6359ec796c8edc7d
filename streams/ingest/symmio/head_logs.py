"""The logs of blocks at the head, as their index has them by now: it may lag behind the headers."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from models.bloom import hints_at
from streams.ingest.symmio.range_reader import REMOVED_LOGS
from streams.node.blocks import make_blocks, read_logs
from streams.node.rpc import BadAnswer, RpcError
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from models.chain_records import Block
    from streams.node.blocks import FoundLog, Header
    from streams.node.endpoints import Node
    from streams.node.rpc import Call

_log = logging.getLogger(__name__)

# What these do not find, the comparison before the block is final does: the head does not wait for it.
_LOOKS_AGAIN = 2


class HeadLogs:
    """Reads the logs of single blocks by their hash.

    Args:
        node: Where the chain is read.
        addresses: The contracts whose logs are kept.
    """

    def __init__(self, node: Node, addresses: Sequence[str]) -> None:
        self._node = node
        self._addresses = list(addresses)

    async def blocks(self, line: Sequence[Header]) -> list[Block]:
        """Make a block of each header, with its logs; none where the logs are of other blocks.

        Where a block's bloom hints at logs and there are none, they are asked for again, elsewhere if possible.

        Raises:
            RpcError: No endpoint in order answers.
        """
        if not line:
            return []
        try:
            found, label = await self._ask(line, ())
            missing = self._missing(line, found)
            backoff = Backoff(0.1, 0.5)
            for _ in range(_LOOKS_AGAIN):
                if not missing:
                    break
                await asyncio.sleep(backoff.next_s())
                found += await self._asked_again(missing, label)
                missing = self._missing(line, found)
            return make_blocks(line, found)
        except BadAnswer as error:
            _log.warning("logs of another block deployment=%s reason=%s", self._node.deployment, error)
            return []

    def _missing(self, line: Sequence[Header], found: Sequence[FoundLog]) -> list[Header]:
        with_logs = {log.block_hash for log in found}
        return [header for header in line if header.hash not in with_logs and hints_at(header.bloom, self._addresses)]

    async def _asked_again(self, missing: Sequence[Header], label: str) -> list[FoundLog]:
        for than in ((label,), ()):
            try:
                return (await self._ask(missing, than))[0]
            except RpcError as error:
                _log.info("no second look deployment=%s reason=%s", self._node.deployment, error)
        return []

    async def _ask(self, line: Sequence[Header], than: Collection[str]) -> tuple[list[FoundLog], str]:
        calls: list[Call] = [
            ("eth_getLogs", [{"blockHash": header.hash, "address": self._addresses}]) for header in line
        ]
        answers, label = await self._node.ask_elsewhere(
            calls, lambda results: [read_logs(result) for result in results], than=than
        )
        REMOVED_LOGS.labels(self._node.deployment).inc(sum(answer.removed for answer in answers))
        return [log for answer in answers for log in answer.logs], label
