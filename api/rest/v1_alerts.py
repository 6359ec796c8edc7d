"""``/v1/alerts``: the transitions by which alarms came on and went off, of all accounts and of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from api.dialects.native.subjects import digest_of
from api.http.keys import FEEDS, FRESHNESS, SETTINGS
from api.rest.event_list import EventList
from api.rest.gzip_bodies import tagged_json_answer
from api.rest.known import account_of_path, account_parameter, etag_of, row_of, unreadable_row
from api.rest.pages import CURSOR, LIMIT
from api.rest.query import Query, choice, flag
from models.alert_views import alerts_view
from models.alerts import HEDGER_KINDS, TRANSITION_KINDS
from models.body_reader import NOT_DECODED, no_row
from models.codec import ORDER_BYTES, decode_row
from models.engine.tables import ALERTS
from models.errors import BadRow
from models.freshness import with_causes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from api.rest.timeline import Event, Tags
    from models.views import View

_NEVER: dict[str, Any] = {"alarms": (), "transitions": ()}
"""The body of an account of which no alarm was ever on."""

_ALARM_OF = {kind: kinds[0] for kinds in TRANSITION_KINDS for kind in kinds}
_KIND = choice("kind", tuple(_ALARM_OF))
_ON = flag("on")
# All events share these tags: the kind, and whether the alarm has been on since then.
_TAGS = {(kind, is_on): (kind, is_on) for kind in _ALARM_OF for is_on in (True, False)}


class _Made(msgspec.Struct, gc=False, frozen=True):
    at_ms: int = 0


class _Transition(msgspec.Struct, gc=False):
    id: str
    kind: str
    as_of_ms: int
    hedger: str = ""
    made_from: _Made = _Made()


class _Body(msgspec.Struct, gc=False):
    alarms: set[str]
    transitions: list[_Transition]
    hedgers_since_ms: dict[str, int | None] = {}
    hedger_transitions: list[_Transition] = []


_decode_body = msgspec.json.Decoder(_Body).decode


class AlertEndpoints:
    """The endpoints of alerts."""

    def __init__(self) -> None:
        self._list = EventList(ALERTS, _events, _views)

    async def every(self, request: web.Request) -> web.Response:
        """Answer a page of transitions, newest first."""
        deployments = request.app[SETTINGS].deployments
        account, deployment = account_parameter(deployments), choice("deployment", deployments)
        query = Query(request, account, deployment, _KIND, _ON, LIMIT, CURSOR)
        kind, on = query.get(_KIND), query.get(_ON)

        def is_wanted(tags: Tags) -> bool:
            of_kind, is_on = tags
            return kind in {None, of_kind} and on in {None, is_on}

        return await self._list.answer(
            request, query, one=query.get(account), deployment=query.get(deployment), is_wanted=is_wanted
        )

    async def of_account(self, request: web.Request) -> web.Response:
        """Answer which alarms of an account are on, and its newest transitions."""
        Query(request)
        account = account_of_path(request)
        row = row_of(request, account, request.app[FEEDS].alerts, ALERTS)
        try:
            view = alerts_view(account.key, _NEVER if row is None else decode_row(row).body)
        except BadRow as error:
            raise unreadable_row(ALERTS, account.key, row or b"", error) from error
        freshness, etag = request.app[FRESHNESS], etag_of(request, row)
        causes = freshness.causes(freshness.whose(account.key))
        if causes:
            etag = f"{etag}.{digest_of(causes)}"
        return await tagged_json_answer(request, etag, with_causes(view, causes))


def _events(key: bytes, row: bytes) -> Iterator[Event]:
    try:
        body = _decode_body(memoryview(row)[ORDER_BYTES:])
        on = {(name, "") for name in body.alarms} | {(HEDGER_KINDS[0], hedger) for hedger in body.hedgers_since_ms}
        for one in (*body.transitions, *body.hedger_transitions):
            if one.kind not in _ALARM_OF:
                # A worker of a later version wrote it.
                continue
            alarm = _ALARM_OF[one.kind], one.hedger
            # While an alarm is on, its newest transition is the one that turned it on.
            is_on = alarm in on
            on.discard(alarm)
            yield -(one.as_of_ms or one.made_from.at_ms), key, -_count(one.id), _TAGS[one.kind, is_on]
    except (*NOT_DECODED, ValueError) as error:
        raise no_row(row, ALERTS, error) from error


def _views(key: str, row: bytes, numbers: set[int]) -> dict[int, View]:
    body = decode_row(row).body
    views = alerts_view(key, {**body, "alarms": ()})["transitions"]
    return {number: view for view in views if (number := -_count(view["id"])) in numbers}


def _count(transition_id: str) -> int:
    """Read a transition's number among those of its account, with which its id ends."""
    return int(transition_id.rpartition(":")[2])
