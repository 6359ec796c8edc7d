"""``/v1/accounts``: all accounts in an order, one account, and the positions of one."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from api.dialects.native.subjects import digest_of
from api.http.keys import ACCOUNTS, FEEDS, FRESHNESS, SETTINGS, VIEWS
from api.rest.gzip_bodies import json_answer, tagged_json_answer
from api.rest.known import (
    account_of_path,
    etag_of,
    expect_read,
    known_account,
    readable,
    unreadable_account,
    unsupported_deployments,
)
from api.rest.pages import CURSOR, LIMIT, LIMIT_DEFAULT, bad_cursor, cursor_after, page_of_rows
from api.rest.query import Query, address, amount, choice, flag
from api.tables.ranking import UNREADABLE, Entry, Order, Sort
from api.tables.turns import next_turn
from models.codec import decode_row
from models.engine.tables import VALUATIONS
from models.errors import BadRow
from models.freshness import AS_IT_SAYS, aged
from models.valuations import SUSPECT, UNPRICED, UNSUPPORTED, VALUED
from models.views import View, absent_account, unsupported_account

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from aiohttp import web

    from api.tables.ranking import Line

_LIST = "accounts"
_OWNER = address("owner")
_STATUS = choice("status", (VALUED, UNPRICED, SUSPECT, UNSUPPORTED, UNREADABLE))
_LIQUIDATABLE = flag("liquidatable")
_MIN_NOTIONAL = amount("min_notional")
_SORT = choice("sort", [sort for sort in Sort if sort is not Sort.OWNER])
_DIRECTION = choice("direction", ("asc", "desc"))

# Without a direction the largest come first, and of distances the smallest: the accounts nearest to liquidation.
_DESCENDING_BY_DEFAULT = {Sort.UPNL: True, Sort.NOTIONAL: True, Sort.DISTANCE: False, Sort.ADDRESS: False}
# Making a view and encoding it takes some 35 µs.
_VIEWS_BETWEEN_YIELDS = 8


async def accounts(request: web.Request) -> web.Response:
    """Answer a page of accounts without their positions."""
    deployment = choice("deployment", request.app[SETTINGS].deployments)
    query = Query(request, deployment, _OWNER, _STATUS, _LIQUIDATABLE, _MIN_NOTIONAL, _SORT, _DIRECTION, LIMIT, CURSOR)
    order = _order(query)
    start = _start(query, order)
    limit = query.get(LIMIT) or LIMIT_DEFAULT
    expect_read(request.app[FEEDS].valuations, VALUATIONS)
    hidden = unsupported_deployments(request)
    is_in_scope = _scope(query.get(deployment), readable(request))
    is_asked_for = _filter(query, hidden)

    def is_wanted(key: bytes, line: Line) -> bool:
        return is_asked_for(line) and is_in_scope(key, line)

    def is_doubtful(key: bytes, line: Line) -> bool:
        # What is asked for is not known of it; of a hidden deployment's it would not be said.
        return line.deployment not in hidden and not is_asked_for(line) and is_in_scope(key, line)

    entries: list[Entry] = []
    async for entry, _ in request.app[ACCOUNTS].walk(order, start, is_wanted, query.get(_OWNER)):
        entries.append(entry)
        if len(entries) > limit:
            break
    items = []
    for number, (_, _, key) in enumerate(islice(entries, limit), start=1):
        row = request.app[FEEDS].valuations.rows.get(key)
        if row is not None:
            items.append(_item(key.decode(), row, hidden, request.app))
        if number % _VIEWS_BETWEEN_YIELDS == 0:
            await next_turn()
    unreadable = sum(item["status"] == UNREADABLE for item in items)
    unreadable += await request.app[ACCOUNTS].unreadable(is_doubtful)
    next_cursor = _cursor(order, entries[limit - 1]) if len(entries) > limit else None
    return await json_answer(request, await page_of_rows(items, next_cursor, beside=unreadable))


async def account(request: web.Request) -> web.Response:
    """Answer one account with its positions."""
    return await _one(request, request.app[VIEWS].account)


async def account_positions(request: web.Request) -> web.Response:
    """Answer the positions of one account."""
    return await _one(request, request.app[VIEWS].positions)


async def _one(request: web.Request, view: Callable[[str, dict[str, Any]], View]) -> web.Response:
    Query(request)
    known = known_account(request, account_of_path(request))
    etag = etag_of(request, known.row)
    if known.body is None:
        return await tagged_json_answer(request, f"{etag}.{UNSUPPORTED}", unsupported_account(known.key))
    try:
        freshness = request.app[FRESHNESS]
        aging = freshness.aging(freshness.whose(known.key), known.body)
        shown = view(known.key, aged(known.body, aging))
    except BadRow as error:
        raise unreadable_account(known.key, known.row, error) from error
    if aging != AS_IT_SAYS:
        etag = f"{etag}.{digest_of([*aging])}"
    return await tagged_json_answer(request, etag, shown)


def _order(query: Query) -> Order:
    sort = Sort(query.get(_SORT) or Sort.NOTIONAL)
    direction = query.get(_DIRECTION)
    return Order(sort, _DESCENDING_BY_DEFAULT[sort] if direction is None else direction == "desc")


def _scope(deployment: str | None, may_read: Callable[[bytes, str], bool]) -> Callable[[bytes, Line], bool]:
    return lambda key, line: deployment in {None, line.deployment} and may_read(key, line.deployment)


def _filter(query: Query, hidden: Collection[str]) -> Callable[[Line], bool]:
    owner, status, liquidatable = query.get(_OWNER), query.get(_STATUS), query.get(_LIQUIDATABLE)
    least_e18 = query.get(_MIN_NOTIONAL)

    def is_asked_for(line: Line) -> bool:
        is_hidden = line.deployment in hidden
        return (
            (owner is None or (line.owner == owner and not is_hidden))
            and (status is None or (UNSUPPORTED if is_hidden else line.status) == status)
            and (liquidatable is None or (line.liquidatable is liquidatable and not is_hidden))
            and (
                least_e18 is None
                or (line.notional_e18 is not None and line.notional_e18 >= least_e18 and not is_hidden)
            )
        )

    return is_asked_for


def _item(key: str, row: bytes, hidden: Collection[str], app: web.Application) -> View:
    if key.partition(":")[0] in hidden:
        return unsupported_account(key)
    try:
        body, freshness = decode_row(row).body, app[FRESHNESS]
        return app[VIEWS].figures(key, aged(body, freshness.aging(freshness.whose(key), body)))
    except BadRow:
        return {**absent_account(key), "status": UNREADABLE}


def _cursor(order: Order, entry: Entry) -> str:
    is_unknown, value, key = entry
    return cursor_after([_LIST, order.sort, order.is_descending, is_unknown, str(value), key.decode()])


def _start(query: Query, order: Order) -> Entry | None:
    match query.get(CURSOR):
        case None:
            return None
        case [str(name), order.sort, order.is_descending, bool(is_unknown), str(value), str(key)] if (
            name == _LIST and _is_number(value)
        ):
            # This is the smallest entry that comes after the cursor's.
            return is_unknown, int(value), key.encode() + b"\0"
        case _:
            raise bad_cursor()


def _is_number(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit()
