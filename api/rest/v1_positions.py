"""``/v1/positions``: the open positions of all accounts, by address and quote id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.http.keys import ACCOUNTS, FEEDS, FRESHNESS, SETTINGS, STANDINGS, VIEWS
from api.http.problems import NOT_KNOWN, Problem
from api.rest.gzip_bodies import json_answer
from api.rest.known import (
    account_parameter,
    expect_read,
    known_account,
    readable,
    unreadable_account,
    unsupported_deployments,
)
from api.rest.pages import CURSOR, LIMIT, LIMIT_DEFAULT, bad_cursor, cursor_after, page_of_rows
from api.rest.query import Parameter, Query, choice
from api.tables.ranking import Entry, Order, Sort, entry_by_address
from api.tables.turns import next_turn
from models.codec import NUMBER_MAX, decode_row
from models.engine.tables import VALUATIONS
from models.errors import BadRow
from models.freshness import aged
from models.ids import split_key
from streams.process.unreadable_rows import note_unreadable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

    from api.rest.known import AccountId
    from api.tables.ranking import Line
    from models.views import View

_LIST = "positions"


def _market(text: str) -> frozenset[int | str] | None:
    """The ids that a text may stand for: markets of some venues have numbers, of others names, even such of digits."""
    if text.isascii() and text.removeprefix("-").isdecimal():
        is_number = text.isdecimal() and len(text) <= len(str(NUMBER_MAX)) and int(text) <= NUMBER_MAX
        return frozenset((int(text), text)) if is_number else None
    return frozenset((text,)) if text else None


_SYMBOL_ID: Parameter[frozenset[int | str]] = Parameter(
    "symbol_id", f"a whole number from 0 to {NUMBER_MAX}, or a name", _market
)
_BY_ADDRESS = Order(Sort.ADDRESS, is_descending=False)
# An account of 150 positions takes some 2 ms; most accounts have few positions, and take 15 µs.
_ACCOUNTS_BETWEEN_YIELDS = 5

_Place = tuple[Entry, tuple[bool, int | str]]
"""A position's place in the list: its account's place, and that of its id: numbers come before texts."""


async def positions(request: web.Request) -> web.Response:
    """Answer a page of positions."""
    deployments = request.app[SETTINGS].deployments
    account, deployment = account_parameter(deployments), choice("deployment", deployments)
    query = Query(request, account, deployment, _SYMBOL_ID, LIMIT, CURSOR)
    after, limit, markets = _after(query), query.get(LIMIT) or LIMIT_DEFAULT, query.get(_SYMBOL_ID)
    one, of_deployment = query.get(account), query.get(deployment)
    rows = _rows_of_all(request, after, of_deployment, markets) if one is None else _row_of(request, one, of_deployment)
    items: list[View] = []
    unreadable = 0
    async for key, row in rows:
        held = _positions(key, row, request.app, is_asked_for=one is not None)
        unreadable += held is None
        items += [
            position
            for position in held or ()
            if (markets is None or position["symbol_id"] in markets) and (after is None or _place(position) > after)
        ]
        if len(items) > limit:
            break
    if one is None:
        unreadable += await _unreadable(request, of_deployment)
    next_cursor = None if len(items) <= limit else _cursor(items[limit - 1])
    return await json_answer(request, await page_of_rows(items[:limit], next_cursor, beside=unreadable))


async def _row_of(request: web.Request, one: AccountId, deployment: str | None) -> AsyncIterator[tuple[str, bytes]]:
    known = known_account(request, one)
    if known.body is None:
        raise Problem(NOT_KNOWN, f"deployment {one.deployment} is unsupported, and so its positions are unknown")
    if deployment in {None, one.deployment}:
        yield known.key, known.row


async def _unreadable(request: web.Request, deployment: str | None) -> int:
    """How many rows hide positions: of accounts, and of deployments that may be supported or not."""
    hidden, may_read = unsupported_deployments(request), readable(request)
    standings = request.app[STANDINGS]
    doubtful = [name for name in hidden if deployment in {None, name} and not standings.is_readable(name)]

    def is_counted(key: bytes, line: Line) -> bool:
        is_in_scope = line.deployment not in hidden and deployment in {None, line.deployment}
        return is_in_scope and may_read(key, line.deployment)

    return len(doubtful) + await request.app[ACCOUNTS].unreadable(is_counted)


async def _rows_of_all(
    request: web.Request, after: _Place | None, deployment: str | None, markets: frozenset[int | str] | None
) -> AsyncIterator[tuple[str, bytes]]:
    feed = request.app[FEEDS].valuations
    expect_read(feed, VALUATIONS)
    hidden, may_read = unsupported_deployments(request), readable(request)

    def is_wanted(key: bytes, line: Line) -> bool:
        return (
            bool(line.symbols)
            and line.deployment not in hidden
            and deployment in {None, line.deployment}
            and (markets is None or not markets.isdisjoint(line.symbols))
            and may_read(key, line.deployment)
        )

    found = 0
    async for (_, _, key), _ in request.app[ACCOUNTS].walk(_BY_ADDRESS, after and after[0], is_wanted):
        row = feed.rows.get(key)
        if row is None:
            continue
        yield key.decode(), row
        found += 1
        if found % _ACCOUNTS_BETWEEN_YIELDS == 0:
            await next_turn()


def _positions(key: str, row: bytes, app: web.Application, *, is_asked_for: bool) -> list[View] | None:
    """An account's positions in order; None where its row cannot be read, which is an answer where it is asked for.

    Raises:
        Problem: The row of the account that is asked for cannot be read.
    """
    try:
        body, freshness = decode_row(row).body, app[FRESHNESS]
        aging = freshness.aging(freshness.whose(key), body)
        shown = app[VIEWS].positions(key, aged(body, aging))["positions"]
    except BadRow as error:
        if is_asked_for:
            raise unreadable_account(key, row, error) from error
        note_unreadable(VALUATIONS, key.encode(), row, error)
        return None
    place = {"account": key, "deployment": split_key(key.encode())[0]}
    in_order = sorted(shown.values(), key=lambda position: _place_of_id(position["quote_id"]))
    return [{**place, **position} for position in in_order]


def _place(position: View) -> _Place:
    return entry_by_address(position["account"].encode()), _place_of_id(position["quote_id"])


def _place_of_id(position_id: int | str) -> tuple[bool, int | str]:
    return isinstance(position_id, str), position_id


def _cursor(position: View) -> str:
    return cursor_after([_LIST, position["account"], position["quote_id"]])


def _after(query: Query) -> _Place | None:
    match query.get(CURSOR):
        case None:
            return None
        case [str(name), str(key), int() | str() as position_id] if name == _LIST:
            return entry_by_address(key.encode()), _place_of_id(position_id)
        case _:
            raise bad_cursor()
