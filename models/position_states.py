"""Rows of ``position-states`` as whoever shows them reads them: an account's newest notices, numbered as they changed.

| column | meaning |
|---|---|
| ``states`` | the notices, newest first; each has ``seq``, its number, and ``modify_time``, Unix s |
| ``due_ms`` of a notice | it waits until then, and is shown to nobody before |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import msgspec

from models.body_reader import body_reader
from models.codec import decode_row
from models.engine.tables import POSITION_STATES

if TYPE_CHECKING:
    from collections.abc import Mapping

Body = dict[str, Any]

EMPTY: Mapping[str, Any] = {"applied": [-1, -1, -1], "count": 0, "quotes": {}, "states": []}
"""The body of an account without a row."""


class _Shown(TypedDict):
    """What whoever shows notices looks at."""

    source: str
    id: str
    version: int
    create_time: int
    modify_time: int
    last_seen_action: str
    action_status: str
    state_type: str
    seq: int
    push: bool
    at: NotRequired[list[int]]
    block: NotRequired[int]
    quote_id: NotRequired[int]
    temp_quote_id: NotRequired[int]
    symbol_id: NotRequired[int]
    filled_amount_open: NotRequired[str]
    filled_amount_close: NotRequired[str]
    avg_price_open: NotRequired[str]
    avg_price_close: NotRequired[str]
    failure_type: NotRequired[str]
    failure_message: NotRequired[str]
    error_code: NotRequired[int]
    order_type: NotRequired[int]
    due_ms: NotRequired[int]


class _ShownBody(msgspec.Struct):
    count: int
    states: list[_Shown]


class _Numbered(msgspec.Struct, gc=False):
    seq: int
    push: bool


class _NumberedBody(msgspec.Struct):
    count: int
    states: list[_Numbered]


_read_shown = body_reader(POSITION_STATES, _ShownBody)
_read_numbered = body_reader(POSITION_STATES, _NumberedBody)


def body_of_row(row: bytes) -> Body:
    """The body of a row of ``position-states``, whose notices have numbers; whatever else one lacks is not looked at.

    Raises:
        BadRow: It is none.
    """
    _read_numbered(row)
    return decode_row(row).body


def shown_in(row: bytes) -> list[Body]:
    """The notices that stand in a row, newest first, with the columns that are shown.

    Raises:
        BadRow: It is none of ``position-states``, or a notice lacks what each has, or has a column of another kind.
    """
    return shown({"states": _read_shown(row).states})


def shown(body: Mapping[str, Any]) -> list[Body]:
    """The notices that stand, newest first; those that wait are not among them."""
    return [one for one in body["states"] if "due_ms" not in one]
