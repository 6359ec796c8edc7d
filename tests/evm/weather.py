"""Which storms there are: what happens in each of them, and what one of the endpoints does all the time meanwhile."""

from __future__ import annotations

import os
import random

from tests.evm.flaky import LIES

STORMS = int(os.environ.get("TIDEMARK_TEST_STORMS") or 0)
"""How many storms were asked for; without any there is one."""
_FIRST = int(os.environ.get("TIDEMARK_TEST_SEED") or 0)
SEEDS = range(_FIRST, _FIRST + max(1, STORMS))

REFUSED = "the judge refuses it"
"""Said where an executor did not do what the judge says, in place of any other failure."""

KINDS = (
    ("fork", "fork and kill"),
    ("spike", "suggest"),
    ("kill", "late"),
    ("stall", "odds"),
    ("worker", "ingest"),
    ("close", "leap"),
)
"""What may happen, in pairs: one of each happens in a storm, and the other one in the next storm."""


def kinds_of(seed: int) -> list[str]:
    """What happens in a storm, and in which order: in one with an even seed and the next one all there is.

    Args:
        seed: The storm's.
    """
    draw = random.Random(seed // 2)
    halves = [draw.sample(pair, len(pair)) for pair in KINDS]
    draw.shuffle(halves)
    return [half[seed % 2] for half in halves]


def lie_of(seed: int) -> str:
    """What one of three endpoints does all the time; every other two storms have but one, which does nothing of it."""
    number = seed // 4 * 2 + seed % 2
    return LIES[number % len(LIES)] if seed // 2 % 2 else ""
