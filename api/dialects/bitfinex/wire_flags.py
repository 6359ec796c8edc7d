"""The flags of ``conf``, and how values are spelt under them.

Payloads are built of Python values: a ``float`` is a decimal, a ``Ms`` a time, and an ``int`` is neither.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from models.instants import rfc3339

DEC_S = 8
TIME_S = 32
TIMESTAMP = 32_768
SEQ_ALL = 65_536
# Of public books, which there are none of here; clients ask for them all the same.
OB_CHECKSUM = 131_072
BULK_UPDATES = 536_870_912

_KNOWN = DEC_S | TIME_S | TIMESTAMP | SEQ_ALL | OB_CHECKSUM | BULK_UPDATES


class Ms(int):
    """A time in Unix ms, which ``TIME_S`` spells as a date."""


def are_flags(value: object) -> bool:
    """Whether a client's ``flags`` are a number made of flags that exist."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0 and not value & ~_KNOWN


def spelt(value: Any, flags: int) -> Any:  # noqa: ANN401 - whatever JSON has
    """Spell a payload as the client's flags ask for.

    Args:
        value: The payload, of JSON's types and ``Ms``.
        flags: The client's flags.

    Returns:
        The payload itself where no flag concerns it.
    """
    return _spelt(value, flags) if flags & (DEC_S | TIME_S) else value


def _spelt(value: Any, flags: int) -> Any:  # noqa: ANN401 - whatever JSON has
    match value:
        case list() | tuple():
            return [_spelt(one, flags) for one in value]
        case dict():
            return {name: _spelt(one, flags) for name, one in value.items()}
        case float() if flags & DEC_S:
            # The shortest digits that give the same double, without an exponent.
            return f"{Decimal(repr(value)).normalize():f}"
        case Ms() if flags & TIME_S:
            return rfc3339(value)
        case _:
            return value
