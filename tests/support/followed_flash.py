"""Both chains of Flash, and an ingest that follows them and writes into a list."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from models.flash.chain_accounts import FLASH_ACCOUNTS, FLASH_REFERENCES
from models.flash.flash_accounts import encode_account
from tests.support.eventually import eventually
from tests.support.flash import SOL_LONG, basket, position
from tests.support.hostile_solana import RecordingOutlet, following, going_on, two_chains
from tidemark.demo.solana_node import SolanaNode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BASKET = encode_account(basket(position(SOL_LONG)))
OTHER = encode_account(basket(position(SOL_LONG, "100")))


class World:
    """Two chains, a node of each, and what the ingest wrote."""

    def __init__(self) -> None:
        self.base, self.rollup = two_chains()
        self.outlet = RecordingOutlet()

    @asynccontextmanager
    async def followed(self, *, reread_ms: int = 100) -> AsyncIterator[tuple[SolanaNode, SolanaNode]]:
        nodes = SolanaNode(self.base), SolanaNode(self.rollup)
        async with following([nodes[0]], [nodes[1]], self.outlet, reread_ms=reread_ms) as followed:
            for follower in followed.followers.values():
                await eventually(follower.is_read.is_set, 60)
            slots = asyncio.create_task(going_on(self.base, self.rollup))
            try:
                yield nodes
            finally:
                slots.cancel()

    def said(self) -> list[dict[str, Any]]:
        return [json.loads(value or b"null") for _, value in self.outlet.of(FLASH_ACCOUNTS)]

    def times(self) -> list[int]:
        clocks = (value for key, value in self.outlet.of(FLASH_REFERENCES) if key == b"flash:clock")
        return [json.loads(value or b"")["unix_s"] for value in clocks]

    async def until_said(self, count: int) -> list[dict[str, Any]]:
        await eventually(lambda: len(self.said()) >= count, 60)
        return self.said()


class CountingNode(SolanaNode):
    """Counts the questions that it is asked, and may refuse them."""

    asked = 0
    refuses = False

    def respond(self, body: bytes) -> bytes:
        self.asked += 1
        return b"" if self.refuses and b"getSlot" not in body else super().respond(body)
