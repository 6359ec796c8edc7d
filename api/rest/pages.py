"""Pages of a list: how many things are on one, and the opaque cursor after which the next one begins.

A cursor holds the place of the last thing shown, not a count of things before it: others that come, go or move do not
shift what follows.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import orjson

from api.rest.query import Parameter, bad_parameter, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from api.http.problems import Problem
    from api.rest.query import Query

LIMIT = whole("limit", 1, 1_000)
LIMIT_DEFAULT = 100

# The longest holds two figures and a key of some 60 characters each.
_CURSOR_MAX_CHARACTERS = 1_000


def _read(text: str) -> list[Any] | None:
    if len(text) > _CURSOR_MAX_CHARACTERS or not text.isascii():
        return None
    try:
        parts = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, orjson.JSONDecodeError):
        return None
    return parts if isinstance(parts, list) else None


CURSOR: Parameter[list[Any]] = Parameter("cursor", "the next_cursor of an answer to the same question", _read)


def cursor_after(place: Sequence[object]) -> str:
    """The cursor after something at ``place``: the name of its list, and what else JSON can hold."""
    return urlsafe_b64encode(orjson.dumps(place)).rstrip(b"=").decode()


def bad_cursor() -> Problem:
    """The problem of a cursor that belongs to another question."""
    return bad_parameter(CURSOR.name, CURSOR.expected, "one of another list, order or direction")


def keys_of_page(
    query: Query, name: str, keys: Iterable[str], place: Callable[[str], Any]
) -> tuple[list[str], str | None]:
    """The keys on the page that is asked for of the list ``name``, by their places, and the cursor of the next one."""
    ordered = sorted(keys, key=place)
    match query.get(CURSOR):
        case None:
            at = 0
        case [str(of), str(key)] if of == name:
            try:
                at = bisect_right(ordered, place(key), key=place)
            except ValueError as error:
                raise bad_cursor() from error
        case _:
            raise bad_cursor()
    until = at + (query.get(LIMIT) or LIMIT_DEFAULT)
    return ordered[at:until], cursor_after([name, ordered[until - 1]]) if until < len(ordered) else None


def page(items: Iterable[dict[str, Any]], next_cursor: str | None) -> dict[str, Any]:
    """A page as it is answered; None: it is the last one."""
    whole_page: dict[str, Any] = {"items": list(items)}
    if next_cursor is not None:
        whole_page["next_cursor"] = next_cursor
    return whole_page
