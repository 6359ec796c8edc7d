"""``/v1/position-states``: what engines and chains said of positions, of all accounts and of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from api.http.keys import FEEDS, SETTINGS
from api.rest.event_list import EventList
from api.rest.gzip_bodies import tagged_json_answer
from api.rest.known import account_of_path, account_parameter, etag_of, row_of, unreadable_row
from api.rest.pages import CURSOR, LIMIT
from api.rest.query import Query, choice, whole
from models.body_reader import NOT_DECODED, no_row
from models.codec import NUMBER_MAX, ORDER_BYTES
from models.engine.tables import POSITION_STATES
from models.errors import BadRow
from models.position_state_views import position_state_view, position_states_view
from models.position_states import shown_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiohttp import web

    from api.rest.timeline import Event
    from models.views import View

# Temporary ids of quotes are negative.
_QUOTE_ID = whole("quote_id", -NUMBER_MAX, NUMBER_MAX)
_SINCE_NS = whole("since_ns", 0, NUMBER_MAX)
_NS_A_SECOND = 10**9


class _State(msgspec.Struct, gc=False):
    modify_time: int
    seq: int
    quote_id: int | None = None
    temp_quote_id: int | None = None
    due_ms: int | None = None


class _Body(msgspec.Struct, gc=False):
    states: list[_State]


_decode_body = msgspec.json.Decoder(_Body).decode


class PositionStateEndpoints:
    """The endpoints of position states."""

    def __init__(self) -> None:
        self._list = EventList(POSITION_STATES, _events, _views)

    async def every(self, request: web.Request) -> web.Response:
        """Answer a page of states, newest first."""
        deployments = request.app[SETTINGS].deployments
        account, deployment = account_parameter(deployments), choice("deployment", deployments)
        query = Query(request, account, deployment, _QUOTE_ID, _SINCE_NS, LIMIT, CURSOR)
        quote_id, since_ns = query.get(_QUOTE_ID), query.get(_SINCE_NS)
        return await self._list.answer(
            request,
            query,
            one=query.get(account),
            deployment=query.get(deployment),
            is_wanted=lambda tags: quote_id is None or quote_id in tags,
            # Places are minus the time, so this one is the first of the second before.
            end=None if since_ns is None else (1 - _first_second(since_ns),),
        )

    async def of_account(self, request: web.Request) -> web.Response:
        """Answer the states of an account, by id."""
        query = Query(request, _QUOTE_ID, _SINCE_NS)
        quote_id, since_ns = query.get(_QUOTE_ID), query.get(_SINCE_NS)
        account = account_of_path(request)
        row = row_of(request, account, request.app[FEEDS].position_states, POSITION_STATES)

        def is_wanted(state: Mapping[str, Any]) -> bool:
            return quote_id in {None, state.get("quote_id"), state.get("temp_quote_id")} and (
                since_ns is None or state["modify_time"] >= _first_second(since_ns)
            )

        try:
            states = [] if row is None else [one for one in shown_in(row) if is_wanted(one)]
            view = position_states_view(account.key, {"states": states})
        except BadRow as error:
            raise unreadable_row(POSITION_STATES, account.key, row or b"", error) from error
        return await tagged_json_answer(request, etag_of(request, row), view)


def _first_second(since_ns: int) -> int:
    """Return the first whole second at or after an instant, in Unix s."""
    return -(-since_ns // _NS_A_SECOND)


def _events(key: bytes, row: bytes) -> Iterator[Event]:
    try:
        states = _decode_body(memoryview(row)[ORDER_BYTES:]).states
    except NOT_DECODED as error:
        raise no_row(row, POSITION_STATES, error) from error
    for one in states:
        if one.due_ms is None:
            ids = tuple(quote_id for quote_id in (one.quote_id, one.temp_quote_id) if quote_id is not None)
            yield -one.modify_time, key, -one.seq, ids


def _views(_key: str, row: bytes, numbers: set[int]) -> dict[int, View]:
    return {-one["seq"]: position_state_view(one) for one in shown_in(row) if -one["seq"] in numbers}
