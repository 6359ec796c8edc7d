"""Random accounts of Flash, of all that their layouts allow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from models.flash import borsh
from models.flash.flash_accounts import DISCRIMINATORS

if TYPE_CHECKING:
    from typing import NamedTuple

    from models.flash.borsh import Kind

KINDS = sorted(DISCRIMINATORS, key=lambda of: of.__name__)


def accounts(of: type[NamedTuple]) -> st.SearchStrategy[Any]:
    """Accounts of a class, or parts of such."""
    return _values(borsh.layout(of))


def _values(kind: Kind) -> st.SearchStrategy[Any]:
    match kind:
        case borsh.Integer(least=size, signed=True):
            return st.integers(-(2 ** (8 * size - 1)), 2 ** (8 * size - 1) - 1)
        case borsh.Integer(least=size):
            return st.integers(0, 2 ** (8 * size) - 1)
        case borsh.Raw(least=size):
            return st.binary(min_size=size, max_size=size)
        case borsh.Times(times=times, of=of):
            return st.tuples(*[_values(of)] * times)
        case borsh._Flag():
            return st.booleans()
        case borsh._Choice(of=of):
            return st.sampled_from(list(of))
        case borsh._Text():
            return st.text(max_size=8)
        case borsh._Many(of=of):
            return st.lists(_values(of), max_size=3).map(tuple)
        case borsh.Layout(of=of, kinds=kinds):
            return st.tuples(*[_values(one) for _, one in kinds]).map(lambda values: of(*values))
        case _:
            raise AssertionError(kind)
