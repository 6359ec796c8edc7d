"""Position states as legacy clients read them: bare objects on the socket, and a list over REST.

An address is written with EIP-55's capitals, times are Unix seconds. ``quote_id`` is the temporary one until the chain
has given the quote its own. ``version`` and ``failure_message`` are present only where the engine sent them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from eth_utils.address import to_checksum_address

from models.errors import BadRow
from models.ids import split_key

if TYPE_CHECKING:
    from collections.abc import Mapping

View = dict[str, Any]

_AMOUNTS = ("filled_amount_open", "filled_amount_close", "avg_price_open", "avg_price_close")


def notification_frame(key: str, state: Mapping[str, Any]) -> View:
    """Make a state as ``position-state-ws3`` sends it: an amount that is absent or zero is the number 0.

    Args:
        key: ``<deployment>:<address>``.
        state: One of ``states`` in the body of a ``position-states`` row.

    Raises:
        BadRow: The state lacks what it must have.
    """
    return _view(key, state, nothing=0)


def notification_item(key: str, state: Mapping[str, Any]) -> View:
    """Make a state as ``position-state`` answers it: as above, but an amount that is absent or zero is the text "0"."""
    return _view(key, state, nothing="0")


# A frame is made for each state and each client's address once; a checksum takes 20 µs.
@lru_cache(maxsize=4_096)
def checksummed(address: str) -> str:
    """An address with the capitals of EIP-55.

    Raises:
        ValueError: ``address`` is not 0x and 40 hex digits.
    """
    return to_checksum_address(address)


def _view(key: str, state: Mapping[str, Any], *, nothing: int | str) -> View:
    try:
        temp_quote_id = state.get("temp_quote_id")
        view: View = {
            "id": state["id"],
            "create_time": state["create_time"],
            "modify_time": state["modify_time"],
            "quote_id": state.get("quote_id", temp_quote_id),
            "temp_quote_id": temp_quote_id,
            "counterparty_address": checksummed(split_key(key.encode())[1]),
            "state_type": state["state_type"],
            **{name: _amount(state.get(name), nothing) for name in _AMOUNTS},
            "last_seen_action": state["last_seen_action"],
            "action_status": state["action_status"],
            "failure_type": state.get("failure_type"),
            "error_code": state.get("error_code", 0),
        }
        for name in ("order_type", "failure_message"):
            if name in state:
                view[name] = state[name]
        if state["version"]:
            view["version"] = state["version"]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        msg = f"expected a state of a position-states row, found {dict(state)!r:.200} ({error!r})"
        raise BadRow(msg) from error
    return view


def _amount(text: str | None, nothing: int | str) -> int | str:
    return nothing if text is None or not text.strip("0.") else text
