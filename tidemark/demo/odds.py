"""Random events of a given probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


def happens(random: Random, probability: float) -> bool:
    """Draw whether something of this probability, 0 to 1, happens."""
    return random.random() < probability
