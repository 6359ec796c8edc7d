"""What verify reads of a row of valuations beside what it compares: a row that lacks it, or has it otherwise, is none.

Columns that are only compared may be whatever they are: they differ from what is made anew, or they do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from models.engine.tables import VALUATIONS
from models.errors import BadRow
from models.provenance import MADE_FROM, named_marks

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Version(msgspec.Struct):
    venue: str
    settings: str


class _MadeFrom(_Version):
    at_ms: int
    references: dict[str, tuple[int, int]] = {}


class _Conversion(msgspec.Struct):
    mark: str | None
    mark_key: str | None
    mark_offset: int | None


class _Position(_Conversion):
    symbol: int | str


class _Mark(msgspec.Struct):
    mark_key: str
    mark_offset: int


class _Columns(msgspec.Struct):
    account_order: tuple[int, int]
    position: tuple[int, int]
    status: str
    stale: int
    positions: list[_Position]
    made_from: _MadeFrom
    conversions: dict[str, _Conversion] = {}


def version_of(body: Mapping[str, Any]) -> tuple[str, str] | None:
    """Which venue with which version of its figures made a row, and under which settings; None of one that says none.

    Args:
        body: The row's.

    Raises:
        BadRow: It names its inputs otherwise than any version does.
    """
    made = body.get(MADE_FROM)
    if made is None:
        return None
    said = _converted(made, _Version)
    return said.venue, said.settings


def expect_columns(body: Mapping[str, Any]) -> None:
    """Expect that a row of this version of the figures has what verify reads of it.

    Args:
        body: The row's.

    Raises:
        BadRow: It has not.
    """
    _converted(body, _Columns)
    for one in named_marks(body):
        _converted(one, _Mark)


def _converted(value: Any, kind: type[Any]) -> Any:  # noqa: ANN401 - JSON
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        msg = f"expected a row of {VALUATIONS}, found one that is otherwise: {error}"
        raise BadRow(msg) from error
