"""``/get_balance_info/{address}/{multi_account}``: an account's money, and the solver's own towards it.

The address is a sub-account's, or that of an owner, whose sub-accounts of the MultiAccount are then all answered.
Clients look an account up by the key of its entry or by the address inside the entry, so both are there.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, assert_never

from api.access.gate import principal_of
from api.dialects.symmio.app_keys import HOLDINGS
from api.dialects.symmio.frames import parse_address, upnl_object
from api.dialects.symmio.replies import BadParameter, Refusal, reply
from api.dialects.symmio.requested_market import expect_known, expect_no_account
from api.http.keys import FRESHNESS, SETTINGS, STANDINGS
from api.tables.standing import CurrentRow, NoSuchAccount, NotKnown, Unsupported
from models.codec import decode_row
from models.errors import BadRow
from models.freshness import dated
from models.ids import account_key
from models.money import format_e18, show_e18
from models.symmio.notification_views import checksummed
from models.valuations import NO_ACCOUNT, UNPRICED, VALUED
from streams.settings import symmio_deployments

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from aiohttp import web

View = dict[str, Any]

_NEEDED = {"status", "multi_account", "as_of_ms"}
_LOCKED = ("cva", "lf", "party_a_mm", "party_b_mm")


async def get_balance_info(request: web.Request, deployment: str) -> web.Response:
    """Answer accounts by their addresses; none where no such account exists, or another MultiAccount made it.

    Raises:
        BadRow: There is none to answer, and the row of one that the client may read cannot be read.
    """
    address = _address(request, "address")
    multi_account = _address(request, "multi_account")
    expect_known(request, deployment)
    settings = symmio_deployments(request.app[SETTINGS])[deployment]
    own = _body(request, deployment, address)
    if own is not None and own["multi_account"] not in (None, multi_account):
        own = None
    if own is not None and own["status"] not in (VALUED, UNPRICED):
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"the account's figures are unknown ({own['status']})")
    entries = {} if own is None else _entry(address, own, settings.hedgers)
    unreadable: BadRow | None = None
    owned = await request.app[HOLDINGS].sub_accounts(deployment, multi_account, address)
    # Clients would show zero for an account of unknown figures, so it is left out and the others are shown.
    for sub_account in sorted(owned.known):
        try:
            body = _body(request, deployment, sub_account)
            if body is not None and body["status"] in (VALUED, UNPRICED):
                entries |= _entry(sub_account, body, settings.hedgers)
        except BadRow as error:
            unreadable = error
    if not entries:
        await expect_no_account(request, deployment)
        owned.expect_all_read(principal_of(request).may_read)
        if unreadable is not None:
            raise unreadable
    return reply(list(entries.values()) if settings.solver.balance_list else entries)


def _entry(address: str, body: Mapping[str, Any], hedgers: Collection[str]) -> dict[str, View]:
    return {checksummed(address): {"party_a": party_a_view(address, body), "party_b": party_b_view(body, hedgers)}}


def party_a_view(address: str, body: Mapping[str, Any]) -> View:
    """Show an account's own side; a figure that needs a price that is missing is null.

    Args:
        address: The account's, in lower case.
        body: Body of its ``valuations`` row, with the status valued or unpriced.

    Raises:
        BadRow: The body lacks what it must have.
    """
    figures: View | None = upnl_object(body)
    if figures is None:
        try:
            figures = _money(body["allocated"], body["locked"], body["pending"])
            figures |= {"upnl": None, "notional": None, "available_balance": None}
            figures["timestamp"] = body["as_of_ms"] // 1000
        except (KeyError, TypeError, ValueError) as error:
            raise _bad(body, error) from error
    return {"address": checksummed(address), **figures}


def party_b_view(body: Mapping[str, Any], hedgers: Collection[str]) -> View:
    """Show the side of the solver's hedgers towards an account, summed up; where no hedgers are named, that of all.

    Gains are the hedgers', the opposite of what the account gains with them. A figure that needs a price that is
    missing is null.

    Args:
        body: Body of the account's ``valuations`` row.
        hedgers: Addresses in lower case; the view bears the first one's.

    Raises:
        BadRow: The body lacks what it must have.
    """
    try:
        buckets = [bucket for name, bucket in body["party_b"].items() if not hedgers or name in hedgers]
        positions = [one for one in body["positions"] if not hedgers or one["party_b"] in hedgers]
        money = _money(
            str(sum(int(allocated) for allocated, _, _ in buckets)),
            _added([locked for _, locked, _ in buckets]),
            _added([pending for _, _, pending in buckets]),
        )
        upnl = notional = available = None
        if all(one["mark"] is not None for one in positions):
            upnl = -sum(int(one["upnl"]) for one in positions)
            notional = sum(int(one["notional"]) for one in positions)
            left = (int(allocated) - int(cva) - int(lf) for allocated, (cva, lf, _, _), _ in buckets)
            available = sum(left) + upnl
        named = next(iter(hedgers or sorted(body["party_b"])), None)
        return {
            "address": None if named is None else checksummed(named),
            "upnl": None if upnl is None else format_e18(upnl),
            "notional": None if notional is None else format_e18(notional),
            "available_balance": None if available is None else format_e18(available),
            **money,
            "timestamp": body["as_of_ms"] // 1000,
        }
    except (KeyError, TypeError, ValueError) as error:
        raise _bad(body, error) from error


def _money(allocated: str, locked: Collection[str], pending: Collection[str]) -> View:
    pairs = [
        *zip(_LOCKED, locked, strict=True),
        *zip((f"pending_{name}" for name in _LOCKED), pending, strict=True),
    ]
    return {name: show_e18(value) for name, value in [("allocated_balance", allocated), *pairs]}


def _added(amounts: Collection[Collection[str]]) -> list[str]:
    return [str(sum(map(int, column))) for column in zip(*amounts, strict=True)] or ["0"] * len(_LOCKED)


def _body(request: web.Request, deployment: str, address: str) -> Mapping[str, Any] | None:
    """Return the body of an account's row, None where it has none or the client may not read it."""
    if not principal_of(request).may_read(account_key(deployment, address).decode()):
        return None
    match request.app[STANDINGS].of(deployment, address):
        case CurrentRow(row=row) | Unsupported(row=row):
            body = decode_row(row).body
            if not body.keys() >= _NEEDED:
                raise _bad(body, KeyError(*sorted(_NEEDED - body.keys())))
            known_ms = request.app[FRESHNESS].known_ms(deployment)
            return None if body["status"] == NO_ACCOUNT else dated(body, known_ms)
        case NoSuchAccount() | NotKnown():
            return None
        case answer:
            assert_never(answer)


def _address(request: web.Request, name: str) -> str:
    text = request.match_info[name]
    address = parse_address(text)
    if address is None:
        msg = f"expected 0x and 40 hex digits, found {text[:80]!r}"
        raise BadParameter(("path", name), msg, "value_error.address")
    return address


def _bad(body: Mapping[str, Any], error: Exception) -> BadRow:
    return BadRow(f"expected the body of a valuations row, found {dict(body)!r:.200} ({error!r})")
