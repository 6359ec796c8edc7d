"""The REST twins of ``upnl-ws``: ``/upnl-a?address=`` and ``/partyA_upnl/{address}``."""

from __future__ import annotations

from http import HTTPStatus
from typing import assert_never

from aiohttp import web

from api.access.gate import principal_of
from api.dialects.symmio.account_answers import Account, Known
from api.dialects.symmio.frames import parse_address
from api.dialects.symmio.replies import BadParameter, encoded, error_response
from api.http.keys import ANSWERS, FRESHNESS, SETTINGS
from api.tables.standing import NoSuchAccount, NotKnown
from models.ids import account_key


async def upnl_a(request: web.Request, deployment: str) -> web.Response:
    """Answer the account's whole uPnL object."""
    answer = _answer(request, deployment, request.query.get("address"), ("query", "address"))
    return answer if isinstance(answer, web.Response) else encoded(answer.frame)


async def party_a_upnl(request: web.Request, deployment: str) -> web.Response:
    """Answer the account's uPnL alone: a decimal text, or a number of the same digits by ``api.upnl_as_number``."""
    answer = _answer(request, deployment, request.match_info["address"], ("path", "address"))
    if isinstance(answer, web.Response):
        return answer
    # The object has a timestamp, by which it can be seen to be old. A bare figure cannot say it.
    address = parse_address(request.match_info["address"]) or ""
    reason = request.app[FRESHNESS].why_unsure(deployment, account_key(deployment, address))
    if reason is not None:
        return error_response(HTTPStatus.SERVICE_UNAVAILABLE, reason)
    text = answer.upnl if request.app[SETTINGS].api.upnl_as_number else f'"{answer.upnl}"'
    return encoded(text.encode())


def _answer(request: web.Request, deployment: str, text: str | None, where: tuple[str, str]) -> Known | web.Response:
    address = None if text is None else parse_address(text)
    if address is None:
        found = "nothing" if text is None else repr(text[:80])
        msg = f"expected 0x and 40 hex digits, found {found}"
        raise BadParameter(where, msg, "value_error.address")
    answers, account = request.app[ANSWERS], Account(deployment, address)
    is_open = principal_of(request).may_read(account_key(deployment, address).decode())
    match answers.of(account) if is_open else answers.missing(deployment):
        case Known() as known:
            return known
        case NoSuchAccount():
            return error_response(HTTPStatus.NOT_FOUND, f"no account {address} in deployment {deployment}")
        case NotKnown(reason=reason):
            return error_response(HTTPStatus.SERVICE_UNAVAILABLE, reason)
        case answer:
            assert_never(answer)
