"""What several endpoints come to that say different things: something is so where two say it, or all there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

T = TypeVar("T")

ENOUGH = 2
"""So many endpoints make something so."""


def is_agreed(said: Iterable[bool]) -> bool:
    """Whether two say so, or all of those that there are."""
    votes = list(said)
    return bool(votes) and sum(votes) >= min(ENOUGH, len(votes))


def agreed(told: Sequence[T]) -> T | None:
    """Find what two say, or the only one does; None where no two say the same."""
    return next((one for one in told if is_agreed(one == other for other in told)), None)


def highest_agreed(told: Collection[int]) -> int:
    """The highest number that two have come to, or the only one has; not empty."""
    return sorted(told)[-min(ENOUGH, len(told))]


def ample(told: Collection[int]) -> int:
    """The number that is enough whoever is wrong, where too little costs more than too much; not empty.

    Of three or more it is the highest one that two have come to, of two the higher one.
    """
    return max(told) if len(told) <= ENOUGH else highest_agreed(told)
