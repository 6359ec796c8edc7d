"""Whatever clients of the legacy sockets send, it is read as a list or as none, and never fails."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from api.dialects.symmio.funding_rate_ws import parse_symbols
from api.dialects.symmio.position_state_ws import parse_addresses

_ADDRESSES = st.from_regex(r"0[xX][0-9a-fA-F]{38,42}", fullmatch=True)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | _ADDRESSES,
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["address", "symbols", "x"]), inner),
    max_leaves=8,
)
_TEXTS = st.text(st.characters()) | _JSON.map(json.dumps) | st.integers(0, 3_000).map(lambda deep: "[" * deep)


@given(_TEXTS)
@settings(max_examples=300)
def test_addresses_are_of_the_list_in_its_order_in_lower_case(text: str) -> None:
    found = parse_addresses(text)

    assert found is None or all(re.fullmatch(r"0x[0-9a-f]{40}", one) for one in found)
    assert (found is None) == (listed(text, "address") is None)
    assert found is None or found == [
        one for one in said(listed(text, "address")) if re.fullmatch(r"0x[0-9a-f]{40}", one)
    ]


@given(_TEXTS)
@settings(max_examples=300)
def test_symbols_are_the_texts_of_the_list_each_once(text: str) -> None:
    found = parse_symbols(text)

    assert (found is None) == (listed(text, "symbols") is None or isinstance(listed(text, "symbols"), str))
    assert found is None or list(dict.fromkeys(one for one in listed(text, "symbols") if isinstance(one, str))) == [
        *found
    ]


def listed(text: str, name: str) -> Any:  # noqa: ANN401 - JSON
    """What the message says under the name, or the message itself where it is a list; None where neither is."""
    try:
        message = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    found = message.get(name) if isinstance(message, dict) else message
    return found if isinstance(found, list) or (isinstance(found, str) and isinstance(message, dict)) else None


def said(found: object) -> list[str]:
    ones = [found] if isinstance(found, str) else found
    assert isinstance(ones, list)
    return [one.strip().strip('"').strip().lower() for one in ones if isinstance(one, str)]


def _refuse(constant: str) -> float:
    raise ValueError(constant)
