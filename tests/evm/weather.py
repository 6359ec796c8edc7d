"""What happens to a chain, its node and the executors of funding in a storm."""

from __future__ import annotations

import asyncio
import os
import random
from typing import TYPE_CHECKING

from tests.evm.flaky import LIES
from tests.evm.market import account

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.evm.killer import Killer
    from tests.evm.market import Scene

GWEI = 10**9
STORMS = int(os.environ.get("TIDEMARK_TEST_STORMS") or 0)
"""How many storms were asked for; without any there is a short one."""
_FIRST = int(os.environ.get("TIDEMARK_TEST_SEED") or 0)
SEEDS = range(_FIRST, _FIRST + max(1, STORMS))

KINDS = ("fork", "fork", "kill", "spike", "stall", "suggest", "late", "odds")
OWN_KINDS = (*KINDS, "worker", "ingest", "close", "leap")
"""What happens where there are a worker and an ingest, too; two storms, the first of which is even, have each of it."""


def kinds_of(seed: int, kinds: Sequence[str]) -> list[str]:
    """What happens in a storm, and in which order: in a storm and the next one, where it is even, all of the kinds.

    Args:
        seed: The storm's.
        kinds: What may happen; what is there twice happens twice.
    """
    order = random.Random(seed // 2).sample(kinds, len(kinds))
    half = len(kinds) // 2
    return order[half:] if seed % 2 else order[:half]


def lie_of(seed: int) -> str:
    """What one of three endpoints does all the time; every other two storms have but one, which does nothing of it."""
    number = seed // 4 * 2 + seed % 2
    return LIES[number % len(LIES)] if seed // 2 % 2 else ""


async def happen(kind: str, one: Scene, killer: Killer, draw: random.Random, *, depth: int) -> None:
    """Let one thing happen, and what follows from it for a while.

    Args:
        kind: One of ``KINDS``.
        one: The scene.
        killer: Has the executors.
        draw: Decides how bad it is.
        depth: A fork is shorter than this.
    """
    match kind:
        case "fork":
            await one.chain.ask("anvil_reorg", draw.randint(1, depth - 1), [])
        case "kill":
            await killer.kill_one()
        case "spike":
            await one.chain.ask("anvil_setNextBlockBaseFeePerGas", hex(draw.choice((5, 15, 40, 200)) * GWEI))
        case "stall":
            await one.chain.mine_every(0)
            await one.chain.ask("evm_setAutomine", False)  # noqa: FBT003 - JSON-RPC
            await asyncio.sleep(2 * draw.random())
            await one.chain.mine_every(1)
        case "suggest":
            one.node.suggests_wei = draw.choice((0, 3 * GWEI, 5_000 * GWEI))
        case "late":
            one.node.late_s = draw.choice((0.0, 2.0, 6.0))
        case _:
            one.node.odds = draw.choice((0.0, 0.05, 0.1))
    await asyncio.sleep(2 * draw.random())


async def meddle(one: Scene, draw: random.Random) -> None:
    """Others act for the accounts all the time: signatures fetched before are stale."""
    while True:
        await one.diamond.send("act", one.party_b, account(draw.randrange(6)))
        await asyncio.sleep(draw.random() * 3)
