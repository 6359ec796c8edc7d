"""Rows of ``position-states`` as whoever shows them reads them: an account's newest notices, numbered as they changed.

| column | meaning |
|---|---|
| ``states`` | the notices, newest first; each has ``seq``, its number, and ``modify_time``, Unix s |
| ``due_ms`` of a notice | it waits until then, and is shown to nobody before |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.body_reader import no_row
from models.codec import decode_row
from models.engine.tables import POSITION_STATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

Body = dict[str, Any]

_NUMBERED = {"seq", "push"}
_NEEDED = {"id", "create_time", "modify_time", "last_seen_action", "action_status", "state_type"}

EMPTY: Mapping[str, Any] = {"applied": [-1, -1, -1], "count": 0, "quotes": {}, "states": []}
"""The body of an account without a row."""


def body_of_row(row: bytes) -> Body:
    """The body of a row of ``position-states``, whose notices have numbers; whatever else one lacks is not looked at.

    Raises:
        BadRow: It is none.
    """
    body = decode_row(row).body
    try:
        _expect_columns(body["states"], _NUMBERED)
        int(body["count"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise no_row(row, POSITION_STATES, error) from error
    return body


def shown_in(row: bytes) -> list[Body]:
    """The notices that stand in a row, newest first.

    Raises:
        BadRow: It is none of ``position-states``, or a notice lacks what each has.
    """
    states = shown(body_of_row(row))
    try:
        _expect_columns(states, _NEEDED)
    except KeyError as error:
        raise no_row(row, POSITION_STATES, error) from error
    return states


def _expect_columns(states: Iterable[Body], names: AbstractSet[str]) -> None:
    for one in states:
        if not one.keys() >= names:
            raise KeyError(*(names - one.keys()))


def shown(body: Mapping[str, Any]) -> list[Body]:
    """The notices that stand, newest first; those that wait are not among them."""
    return [one for one in body["states"] if "due_ms" not in one]
