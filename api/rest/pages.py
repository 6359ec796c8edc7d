"""Pages of a list, and the opaque cursor after which the next page begins.

A cursor holds the place of the last thing shown, not how many came before it. So things that are added, removed or
moved do not shift what follows.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import orjson

from api.rest.query import Parameter, bad_parameter, whole
from api.tables.turns import next_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from api.http.problems import Problem
    from api.rest.query import Query

LIMIT = whole("limit", 1, 1_000)
LIMIT_DEFAULT = 100

# The longest cursor holds two figures and a key, each of some 60 characters.
_CURSOR_MAX_CHARACTERS = 1_000
# Encoding an account takes some 2 µs, and one of many positions ten times that.
_ITEMS_BETWEEN_YIELDS = 50


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
    """Make the cursor after something; ``place`` begins with the list's name, and all of it can be encoded as JSON."""
    return urlsafe_b64encode(orjson.dumps(place)).rstrip(b"=").decode()


def bad_cursor() -> Problem:
    """Make the problem of a cursor that belongs to another list or order."""
    return bad_parameter(CURSOR.name, CURSOR.expected, "one of another list, order or direction")


def keys_of_page(
    query: Query, name: str, keys: Iterable[str], place: Callable[[str], Any]
) -> tuple[list[str], str | None]:
    """Choose the keys on the page that a query asks for.

    Args:
        query: Has a limit and a cursor.
        name: The list's name, which its cursors hold.
        keys: All keys of the list, in any order.
        place: Gives a key's place in the list; it raises ValueError for what cannot be a key of it.

    Returns:
        The keys in order of their places, and the cursor of the next page, None where this is the last one.

    Raises:
        Problem: The cursor is not one of this list.
    """
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


async def page_of_rows(
    items: Iterable[Mapping[str, Any] | None], next_cursor: str | None, *, beside: int = 0
) -> dict[str, Any]:
    """Make the body of a page of what rows of tables say, with how many of them cannot be read.

    Args:
        items: What is on the page; None for a row that belongs there and cannot be read, which is left out.
        next_cursor: The cursor of the next page; None on the last one.
        beside: How many more rows cannot be read of which it is not known whether they belong on the page, or which
            stand on it as such.
    """
    known = list(items)
    readable = [item for item in known if item is not None]
    return {**await page(readable, next_cursor), "unreadable": len(known) - len(readable) + beside}


async def page(items: Iterable[Mapping[str, Any]], next_cursor: str | None) -> dict[str, Any]:
    """Make a page's body, whose items are encoded in turn with other long work: a thousand at once would take 2 ms.

    Args:
        items: What is on the page.
        next_cursor: The cursor of the next page; None on the last one.
    """
    encoded: list[orjson.Fragment] = []
    for number, item in enumerate(items, start=1):
        encoded.append(orjson.Fragment(orjson.dumps(item)))
        if number % _ITEMS_BETWEEN_YIELDS == 0:
            await next_turn()
    whole_page: dict[str, Any] = {"items": encoded}
    if next_cursor is not None:
        whole_page["next_cursor"] = next_cursor
    return whole_page
