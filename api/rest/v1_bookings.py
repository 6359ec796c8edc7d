"""``/v1/accounts/{account}/bookings`` and ``…/closed-positions``: what happened to an account, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.http.keys import HISTORY, SETTINGS
from api.http.problems import NOT_KNOWN, Problem
from api.rest.gzip_bodies import json_answer
from api.rest.known import account_of_path, known_account
from api.rest.pages import CURSOR, LIMIT, LIMIT_DEFAULT, bad_cursor, cursor_after, page
from api.rest.query import Parameter, Query, bad_parameter, instant
from api.tables.history import BookingWindow, NoAnswer
from models.booking_requests import BOOKING_BYTES_MAX, BOOKINGS_MAX, CLOSED_PAGE_MAX, FIRST_PLACE
from models.booking_views import booking_view, closed_position_view
from models.bookings import NAMES
from models.instants import ns_text, rfc3339
from streams.settings.venues import booking_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from api.rest.known import AccountId
    from models.booking_requests import BookingsAnswer, Place
    from models.views import View

_BOOKINGS, _CLOSED = "bookings", "closed-positions"
_FROM, _TO = instant("from"), instant("to")
# SQLite's greatest integer; no instant is later.
_NEVER_MS = 2**63 - 1
# A record has fewer parts, and bookings, by far.
_PARTS = 2**31


def _kinds(text: str) -> tuple[str, ...] | None:
    kinds = tuple(dict.fromkeys(text.split(",")))
    return kinds if all(kind in NAMES for kind in kinds) else None


_KIND: Parameter[tuple[str, ...]] = Parameter("kind", f"one or more of {', '.join(NAMES)}, with commas between", _kinds)


async def account_bookings(request: web.Request) -> web.Response:
    """Answer a page of what opened, closed, charged and paid an account."""
    query = Query(request, _KIND, _FROM, _TO, LIMIT, CURSOR)
    account = account_of_path(request)
    window = _window(query, _BOOKINGS, query.get(_KIND) or (), query.get(LIMIT) or LIMIT_DEFAULT)
    found = await _found(request, account, window)
    places = [one.place for one in found.bookings]
    body = await page(map(booking_view, found.bookings), _cursor(_BOOKINGS, places, found))
    return await json_answer(request, {**_head(request, account, window, found), **body})


async def account_closed_positions(request: web.Request) -> web.Response:
    """Answer a page of the positions of an account that were closed, each with what all its bookings come to."""
    query = Query(request, _FROM, _TO, LIMIT, CURSOR)
    account = account_of_path(request)
    most = min(query.get(LIMIT) or LIMIT_DEFAULT, CLOSED_PAGE_MAX)
    window = _window(query, _CLOSED, (), most)._replace(is_closed=True)
    found = await _found(request, account, window)
    places = [one.place for one in found.closed]
    told = _told(request, account)
    views = (closed_position_view(one, told) for one in found.closed)
    body = await page(views, _cursor(_CLOSED, places, found))
    return await json_answer(request, {**_head(request, account, window, found), **body})


def _window(query: Query, name: str, kinds: tuple[str, ...], most: int) -> BookingWindow:
    from_ms, to_ms = query.get(_FROM) or 0, query.get(_TO)
    if to_ms is not None and from_ms >= to_ms:
        raise bad_parameter(_FROM.name, f"an instant before {rfc3339(to_ms)}", rfc3339(from_ms))
    return BookingWindow(kinds, from_ms, _NEVER_MS if to_ms is None else to_ms, _before(query, name), most)


def _before(query: Query, name: str) -> Place:
    match query.get(CURSOR):
        case None:
            return FIRST_PLACE
        case [str(of), int(offset), int(part), int(number)] if (
            of == name and 0 <= offset <= _NEVER_MS and -1 <= part < _PARTS and 0 <= number < _PARTS
        ):
            return offset, part, number
        case _:
            raise bad_cursor()


async def _found(request: web.Request, account: AccountId, window: BookingWindow) -> BookingsAnswer:
    known_account(request, account)
    source = request.app[HISTORY]
    try:
        if source is not None:
            return await source.bookings(account.key, window)
    except NoAnswer as error:
        raise Problem(NOT_KNOWN, "who keeps bookings does not answer, try again in some seconds") from error
    raise Problem(NOT_KNOWN, "this replica knows nobody who keeps bookings")


def _head(request: web.Request, account: AccountId, window: BookingWindow, found: BookingsAnswer) -> View:
    """What each answer says of what is held."""
    bytes_max = BOOKINGS_MAX * BOOKING_BYTES_MAX
    view: View = {
        "account": account.key,
        "told": list(_told(request, account)),
        "kept": BOOKINGS_MAX,
        "bytes_max": bytes_max,
    }
    if found.cut_ms is not None:
        held_ms = found.cut_ms + 1
        view |= {"held_from": rfc3339(held_ms), "held_from_ns": ns_text(held_ms)}
    return {**view, "is_cut": found.cut_ms is not None and window.from_ms <= found.cut_ms}


def _told(request: web.Request, account: AccountId) -> Sequence[str]:
    return booking_names(request.app[SETTINGS].deployments[account.deployment])


def _cursor(name: str, places: Sequence[Place], found: BookingsAnswer) -> str | None:
    return cursor_after([name, *places[-1]]) if found.has_more and places else None
