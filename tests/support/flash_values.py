"""Random accounts of Flash, of all that their layouts allow."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from hypothesis import strategies as st

from models.flash import borsh
from models.flash.flash_accounts import DISCRIMINATORS

if TYPE_CHECKING:
    from random import Random

    from models.flash.borsh import Kind

A = TypeVar("A")

KINDS = sorted(DISCRIMINATORS, key=lambda of: of.__name__)


def accounts(of: type[A]) -> st.SearchStrategy[A]:
    """Accounts of a class, or parts of such."""
    return st.builds(partial(random_account, of), st.randoms(use_true_random=False))


def random_account(of: type[A], rng: Random) -> A:
    """An account of a class, or a part of such, of which many a number is the least or the greatest there is."""
    return cast("A", _random(borsh.layout(cast("Any", of)), rng))


def _random(kind: Kind, rng: Random) -> object:
    match kind:
        case borsh.Integer(least=size, signed=signed):
            low, high = (-(2 ** (8 * size - 1)), 2 ** (8 * size - 1) - 1) if signed else (0, 2 ** (8 * size) - 1)
            return rng.choice((low, high, rng.randint(low, high)))
        case borsh.Raw(least=size):
            return rng.randbytes(size)
        case borsh.Times(times=times, of=of):
            return tuple(_random(of, rng) for _ in range(times))
        case borsh._Flag():
            return rng.choice((False, True))
        case borsh._Choice(of=of):
            return rng.choice(list(of))
        case borsh._Text():
            return rng.choice(("", "Crypto.1", "Größe"))
        case borsh._Many(of=of):
            return tuple(_random(of, rng) for _ in range(rng.randint(0, 2)))
        case borsh.Layout(of=of, kinds=kinds):
            return of(*[_random(one, rng) for _, one in kinds])
        case _:
            raise AssertionError(kind)
