"""``/v1/accounts/{account}/explanation``: by which events an account's figures are others than before."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, assert_never

from api.access.gate import principal_of
from api.http.keys import ADDRESSES, CLOCK, EXPLANATIONS
from api.http.problems import NOT_EXPLAINED, NOT_KNOWN, Problem
from api.rest.gzip_bodies import json_answer
from api.rest.known import account_of_path, known_account
from api.rest.query import Query, bad_parameter, instant
from api.tables.explanations import Explained, Failed, NotNow, Question, Refused, Running
from models.instants import ns_text, rfc3339
from models.money import format_e18

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from models.views import View

_FROM, _TO = instant("from"), instant("to")
_SPAN_MAX_MS = 31 * 86_400_000
_STANDING = ("upnl", "equity")
_POSITION = ("size", "opened_price", "mark", "upnl")


async def explanation(request: web.Request) -> web.Response:
    """Answer why an account moved, or how far that is worked out."""
    query = Query(request, _FROM, _TO)
    account = account_of_path(request)
    since_ms, until_ms = _span(query, request.app[CLOCK].now_ms())
    known_account(request, account)
    # Where reading is open, who asks is told by the address.
    user = principal_of(request).subject or request.app[ADDRESSES].limit_key_of(request)
    try:
        found = request.app[EXPLANATIONS].ask(user, Question(account.deployment, account.address, since_ms, until_ms))
    except NotNow as error:
        raise Problem(NOT_KNOWN, str(error)) from error
    view: View = {
        "account": account.key,
        "from": rfc3339(since_ms),
        "from_ns": ns_text(since_ms),
        "to": rfc3339(until_ms),
        "to_ns": ns_text(until_ms),
    }
    match found:
        case Running(read=read, of=of):
            answer = await json_answer(request, {**view, "status": "running", "read": read, "of": of})
            answer.set_status(HTTPStatus.ACCEPTED)
            return answer
        case Refused(reason=reason):
            raise Problem(NOT_EXPLAINED, reason)
        case Failed(reason=reason):
            raise Problem(NOT_KNOWN, reason)
        case Explained(body=body):
            return await json_answer(request, {**view, "status": "explained", **_explained(body)})
        case _:
            assert_never(found)


def _span(query: Query, now_ms: int) -> tuple[int, int]:
    since_ms, until_ms = query.get(_FROM), query.get(_TO)
    if since_ms is None or until_ms is None:
        missing = _FROM if since_ms is None else _TO
        raise bad_parameter(missing.name, missing.expected, "")
    if until_ms > now_ms:
        raise bad_parameter(_TO.name, f"an instant that has been, by {rfc3339(now_ms)}", rfc3339(until_ms))
    if not 0 < until_ms - since_ms <= _SPAN_MAX_MS:
        expected = f"an instant before {rfc3339(until_ms)}, and at most 31 days"
        raise bad_parameter(_FROM.name, expected, rfc3339(since_ms))
    return since_ms, until_ms


def _explained(body: Mapping[str, Any]) -> View:
    begin, end = body["begin"], body["end"]
    change = {name: int(end[name]) - int(begin[name]) for name in ("counted_upnl", "balance")}
    upnl = [
        {"kind": name, **({"symbol_id": _id(market)} if market else {}), "amount": format_e18(int(amount))}
        for name, market, amount in sorted(body["upnl"], key=lambda one: (-abs(int(one[2])), one[0], one[1]))
    ]
    balance = [
        {"kind": name, "amount": format_e18(int(amount))}
        for name, amount in sorted(body["balance"], key=lambda one: (-abs(int(one[1])), one[0]))
    ]
    return {
        "begin": {"status": begin["status"], **_money(begin, _STANDING)},
        "end": {"status": end["status"], **_money(end, _STANDING)},
        "upnl_change": format_e18(change["counted_upnl"]),
        "balance_change": format_e18(change["balance"]),
        "terms": body["terms"],
        "upnl": upnl,
        "balance": balance,
        "largest": [_term(one) for one in body["largest"]],
        "refused": body["refused"],
        "doubts": body["doubts"],
    }


def _term(term: Mapping[str, Any]) -> View:
    at_ms = term["time_ms"]
    view: View = {"at": rfc3339(at_ms), "at_ns": ns_text(at_ms), "kind": term["name"]}
    for name, field in (("record", "event"), ("event", "at"), ("quote_id", "quote"), ("symbol_id", "symbol")):
        if term[field] is not None:
            view[name] = term[field]
    # A term is of one position's uPnL, or of the balance.
    moved = "balance" if term["quote"] is None else "upnl"
    view[moved] = format_e18(int(term[moved]))
    for name in ("before", "after"):
        if term[name] is not None:
            view[name] = _money(term[name], _POSITION)
    return view


def _money(amounts: Mapping[str, Any], names: tuple[str, ...]) -> View:
    return {name: format_e18(int(amounts[name])) for name in names if amounts[name] is not None}


def _id(market: str) -> int | str:
    return int(market) if market.isdecimal() else market
