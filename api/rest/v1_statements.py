"""``/v1/accounts/{account}/statement``: what an account shows beside its valuation, and what happened to it last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.http.keys import FEEDS
from api.rest.gzip_bodies import tagged_json_answer
from api.rest.known import account_of_path, etag_of, row_of, unreadable_row
from api.rest.query import Query, whole
from models.codec import NUMBER_MAX
from models.engine.tables import STATEMENTS
from models.errors import BadRow
from models.ids import split_key
from models.statements import decode_statement

if TYPE_CHECKING:
    from aiohttp import web

    from models.statements import Statement
    from models.views import View

_AFTER = whole("after", 0, NUMBER_MAX)


async def statement(request: web.Request) -> web.Response:
    """Answer an account's statement, with its last events or those after one."""
    query = Query(request, _AFTER)
    after = query.get(_AFTER)
    account = account_of_path(request)
    row = row_of(request, account, request.app[FEEDS].statements, STATEMENTS)
    try:
        found = None if row is None else decode_statement(row)
    except BadRow as error:
        raise unreadable_row(STATEMENTS, account.key, row or b"", error) from error
    return await tagged_json_answer(request, etag_of(request, row), _view(account.key, found, after))


def _view(key: str, found: Statement | None, after: int | None) -> View:
    deployment, address = split_key(key.encode())
    view: View = {"account": key, "deployment": deployment, "address": address}
    if found is None:
        return {**view, "statement": {}, "events": [], "last_event": 0}
    news = found.events if after is None else found.events_after(after)
    view |= {
        "statement": found.body,
        "events": [{"number": event.number, "event": event.body} for event in news or ()],
        "last_event": found.last_number,
    }
    # Some of those asked for are not in the row any more.
    return view if news is not None else {**view, "events_missed": True}
