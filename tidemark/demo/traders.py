"""The owners of the simulated sub-accounts, and how each sub-account trades."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tidemark.demo.market import INSTRUMENTS
from tidemark.demo.multi_account import made_up_address
from tidemark.demo.odds import happens

OWNERS, MULTI_ACCOUNTS, ACCOUNTS = 60, 2, 200

_NAMES = ("Main", "Scalps", "Swing", "Hedge", "Alts", "Majors", "Carry", "Momentum", "Long term", "Test")


@dataclass(frozen=True, slots=True)
class Trader:
    """How one sub-account trades.

    Attributes:
        funds: Its collateral in whole units.
        positions: How many positions it holds at most.
        stake_percent: The range of the share of its free margin that it puts into a position, in percent.
        appetite: How likely it opens a position on its turn, 0 to 1.
        markets: Indices into ``INSTRUMENTS``.
    """

    owner: str
    multi_account: int
    name: str
    funds: int
    positions: int
    leverage: int
    stake_percent: tuple[int, int]
    appetite: float
    markets: tuple[int, ...]


def make_trader(seed: int, number: int) -> Trader:
    """Make the trader of the sub-account ``number``, from 0 to ``ACCOUNTS`` - 1."""
    random = Random(f"{seed}:trader:{number}")
    # The first accounts are given to the owners in turn, so that each owner has one.
    owner = number if number < OWNERS else int(OWNERS * random.random() ** 2)
    gambles = happens(random, 0.2)
    return Trader(
        owner=made_up_address(seed, "owner", owner),
        multi_account=0 if happens(random, 0.7) else 1,
        name=random.choice(_NAMES),
        funds=round(10 ** random.uniform(2.5, 5)),
        positions=random.randint(2, 5) if gambles else random.randint(1, 8),
        leverage=random.randint(35, 60) if gambles else random.choice((2, 3, 5, 5, 10, 10, 15, 20)),
        stake_percent=(45, 90) if gambles else (5, 30),
        appetite=random.uniform(0.3, 0.9),
        markets=tuple(random.sample(range(len(INSTRUMENTS)), random.randint(1, len(INSTRUMENTS)))),
    )
