"""What a signer has left for gas: told while the node answers, and left as it was while it does not."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY

from streams.funder import signer_balance
from streams.funder.chain_errors import NodeDown
from streams.funder.chain_view import Chain
from streams.funder.signer_balance import tell_balance
from streams.node.endpoints import Node
from streams.process.clock import SystemClock
from tests.support.eventually import eventually

if TYPE_CHECKING:
    import pytest

SIGNER = "0x" + "5e" * 20


class Purse(Chain):
    def __init__(self) -> None:
        super().__init__(Node("main", (), 1), "0x" + "d1" * 20, SystemClock())
        self.asked = 0
        self.has_wei: int | None = 10**18

    async def balance_wei(self, address: str) -> int:
        assert SIGNER == address
        self.asked += 1
        if self.has_wei is None:
            raise NodeDown
        return self.has_wei


def told() -> float | None:
    return REGISTRY.get_sample_value("tidemark_funding_balance_wei", {"deployment": "main", "signer": SIGNER})


async def test_the_balance_follows_the_chain_and_stands_while_the_node_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signer_balance, "_EVERY_S", 0.0)
    purse = Purse()
    telling = asyncio.create_task(tell_balance("main", purse, SIGNER))
    try:
        await eventually(lambda: told() == 10**18)
        purse.has_wei = None
        asked = purse.asked
        await eventually(lambda: purse.asked >= asked + 2)
        assert 10**18 == told()
        purse.has_wei = 7
        await eventually(lambda: told() == 7)
    finally:
        telling.cancel()
        with suppress(asyncio.CancelledError):
            await telling
