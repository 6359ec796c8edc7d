"""What a venue adds in a form of its own, as ``meta`` and ``info``: any JSON that rows and frames can hold as well."""

from __future__ import annotations

from typing import Any

from models.codec import NUMBER_MAX
from models.errors import BadRecord

FREE_FORM_DEPTH_MAX = 32
"""How deep its lists and objects may stand in each other. Rows and frames are written to 254 levels, and have some of
their own around it; what cannot be written would end whoever writes the row, whenever the record is read."""


def expect_free_form(name: str, value: Any, depth: int = 0) -> None:  # noqa: ANN401 - whatever a venue sends
    """Refuse what a row or a frame could not hold.

    Args:
        name: The field's name, for the message.
        value: What JSON says in the field.
        depth: In how many lists and objects of the field ``value`` stands.

    Raises:
        BadRecord: It is deeper than ``FREE_FORM_DEPTH_MAX``, or has a whole number beyond 63 bits.
    """
    if value is None:
        return
    if isinstance(value, int) and abs(value) > NUMBER_MAX:
        msg = f"expected whole numbers within 63 bits in {name}, found {str(value)[:80]}: send larger ones as texts"
        raise BadRecord(msg)
    if not isinstance(value, dict | list):
        return
    if depth == FREE_FORM_DEPTH_MAX:
        msg = f"expected at most {FREE_FORM_DEPTH_MAX} lists and objects within each other in {name}, found more"
        raise BadRecord(msg)
    for one in value.values() if isinstance(value, dict) else value:
        expect_free_form(name, one, depth + 1)
