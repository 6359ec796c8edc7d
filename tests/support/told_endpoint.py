"""Endpoints that say what a test has them say, of a chain with a block a second."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from streams.funder.chain_errors import PATIENCE
from streams.funder.chain_view import Chain
from streams.node.endpoints import Node
from streams.node.rpc import CallReverted, EndpointDown, EndpointSlow
from tests.support.clocks import LoopClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.node.rpc import Call, Outcome

DIAMOND = "0x" + "d1" * 20
BEGAN_S = 1_000
TX = "0x" + "ab" * 32


class Told:
    """An endpoint of a chain with a block a second, which is ``blocks`` and ``clock_s`` off.

    Args:
        label: Its name.
        blocks: How many blocks its head is off.
        clock_s: How many seconds the times of its blocks are off.
    """

    def __init__(self, label: str, blocks: int = 0, clock_s: int = 0) -> None:
        self.label = label
        self.blocks, self.clock_s = blocks, clock_s
        self.frozen_s: float | None = None
        # The time that its blocks have, and its pending one alone, where that stands still.
        self.clock_stands_s: int | None = None
        self.pending_s: int | None = None
        self.hangs = self.is_down = False
        self.refuses = False
        self.reason = "no"
        self.call_s = 0.0
        self.mines = False
        self.code = "0x"
        # What a call answers, where that is something else, and the gas that one would take.
        self.called: str | None = None
        self.gas = 100_000
        self.asked = 0

    async def ask(self, calls: Sequence[Call], timeout_s: float) -> list[Outcome]:
        if self.hangs:
            self.asked += 1
            await asyncio.sleep(timeout_s)
            msg = f"{self.label}: no answer"
            raise EndpointSlow(msg)
        if self.is_down:
            self.asked += 1
            msg = f"{self.label}: 503"
            raise EndpointDown(msg)
        await asyncio.sleep(self.call_s * len(calls))
        return [self._answer(*call) for call in calls]

    async def close(self) -> None:
        """Do nothing."""

    @property
    def head(self) -> int:
        now_s = asyncio.get_running_loop().time() if self.frozen_s is None else self.frozen_s
        return 100 + int(now_s) + self.blocks

    def _answer(self, method: str, params: list[Any]) -> Outcome:
        match method:
            case "eth_chainId":
                return "0x1"
            case "eth_getBlockByNumber":
                number = self.head + (params[0] == "pending") if params[0].isalpha() else int(params[0], 16)
                time_s = BEGAN_S + number - 100 - self.blocks + self.clock_s
                time_s = time_s if self.clock_stands_s is None else self.clock_stands_s
                if params[0] == "pending" and self.pending_s is not None:
                    time_s = self.pending_s
                return {"number": hex(number), "timestamp": hex(time_s)} if number <= self.head + 1 else None
            case "eth_getTransactionCount":
                return "0x7"
            case "eth_getTransactionReceipt" if self.mines:
                return {
                    "transactionHash": params[0], "blockNumber": "0x10", "blockHash": TX, "status": "0x1",
                    "gasUsed": "0x5208",
                }  # fmt: skip
            case "eth_call" | "eth_estimateGas" if self.refuses:
                return CallReverted(self.reason, f"execution reverted: {self.reason}", b"", self.label)
            case "eth_estimateGas":
                return hex(self.gas)
            case "eth_call" if self.called is not None:
                return self.called
            case _:
                return self.code


def chain_over(*endpoints: Told, ours_s: int = 0) -> Chain:
    """The chain over some endpoints; our own clock showed ``ours_s`` when theirs were at ``BEGAN_S``, Unix s."""
    return Chain(Node("main", endpoints, 1, PATIENCE), DIAMOND, LoopClock(ours_s * 1_000))
