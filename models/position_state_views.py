"""Position states as users of our own protocol see them: by id, amounts exact, instants twice, no field null."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.errors import BadRow
from models.ids import split_key
from models.instants import ns_text, rfc3339
from models.position_states import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

View = dict[str, Any]

_PARTS = (
    "source",
    "version",
    "quote_id",
    "temp_quote_id",
    "symbol_id",
    "filled_amount_open",
    "filled_amount_close",
    "avg_price_open",
    "avg_price_close",
    "last_seen_action",
    "action_status",
    "state_type",
    "failure_type",
    "failure_message",
    "error_code",
    "order_type",
    "block",
)


def position_states_view(key: str, body: Mapping[str, Any]) -> View:
    """Make the view of an account's newest position states by id.

    Args:
        key: ``<deployment>:<address>``.
        body: Body of its ``position-states`` row.

    Raises:
        BadRow: The body lacks what it must have.
    """
    deployment, address = split_key(key.encode())
    try:
        states = {state["id"]: position_state_view(state) for state in shown(body)}
    except (KeyError, TypeError, ValueError) as error:
        msg = f"expected the body of a position-states row, found {dict(body)!r:.200} ({error!r})"
        raise BadRow(msg) from error
    return {"account": key, "deployment": deployment, "address": address, "states": states}


def position_state_view(state: Mapping[str, Any]) -> View:
    """Make the view of one state; ``state`` is one of those that ``shown`` returns."""
    return {
        "id": state["id"],
        **{name: state[name] for name in _PARTS if state.get(name) is not None},
        "created": rfc3339(state["create_time"] * 1000),
        "created_ns": ns_text(state["create_time"] * 1000),
        "modified": rfc3339(state["modify_time"] * 1000),
        "modified_ns": ns_text(state["modify_time"] * 1000),
    }
