"""Every route of an application as requests, and tables in which the figures of one account cannot be another's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import jwt
from pydantic import SecretStr

from api.http.keys import GATE
from models.served import totals_key
from models.subtotals import Subtotals
from models.symmio.funding_records import Epoch, Frozen, Plan, Record, encode_record, record_key
from streams.settings import ApiLimitSettings, ApiSettings, AuthSettings, TokenKeySettings
from tests.support.account_rows import alerts_body
from tests.support.api import FakeRecords
from tests.support.bookings import fee
from tests.support.feed import FakeTables, e18, valuation_body
from tests.support.history import KeptHistory
from tests.support.legacy import PositionStates
from tests.support.solver import (
    HEDGER,
    MULTI_ACCOUNT,
    NOW_MS,
    OTHER_MULTI_ACCOUNT,
    position,
    put_instrument,
    put_mark,
    put_market,
    solver_settings,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiohttp import web

    from api.access.gate import Reads
    from api.dialects.symmio.funding_reader import FundingRecords
    from streams.settings import Settings

SECRET = "a secret of more than 32 bytes, as it should be"
NOW_S = NOW_MS // 1_000
MINE, THEIRS, GHOST = ("0x" + digits * 20 for digits in ("ab", "cd", "ef"))
MY_OWNER, THEIR_OWNER, GHOST_OWNER = ("0x" + digits * 20 for digits in ("1a", "1c", "1e"))
THEIR_QUOTE, GHOST_QUOTE = 131_388, 131_389
# What nobody learns who may not read THEIRS: its addresses, figures, quote and states, and what sums with it come to.
OF_THEIRS = (
    THEIRS[2:],
    THEIR_OWNER[2:],
    "77.125",
    "77125",
    str(THEIR_QUOTE),
    "their-state",
    "their-name",
    str(NOW_MS - THEIR_QUOTE),
)
OF_SUMS = ("31337", "31347")


class Ask(NamedTuple):
    """One request of a walk."""

    method: str
    canonical: str
    path: str
    body: Mapping[str, object] | None
    reads: Reads
    headers: Mapping[str, str]


def walked_settings(**changes: object) -> Settings:
    """Two deployments and tokens; the host of a test's client is that of ``main``."""
    auth = AuthSettings(mode="tokens", keys={"main": TokenKeySettings(algorithm="HS256", key=SecretStr(SECRET))})
    main = {"hosts": ["127.0.0.1"], "ingest_key": "an operator's", **changes}
    both = solver_settings(main=main, other={"multi_accounts": [OTHER_MULTI_ACCOUNT]})
    # A walk asks several hundred times, from one address.
    limits = ApiLimitSettings(requests_per_s=1_000_000, requests_burst=1_000_000)
    return both.model_copy(update={"auth": auth, "api": ApiSettings(limits=limits)})


def token(*accounts: str, expires_s: int = NOW_S + 600, **claims: object) -> str:
    return jwt.encode({"sub": "desk-1", "exp": expires_s, "accounts": list(accounts), **claims}, SECRET)


def walked_tables() -> FakeTables:
    """Something of ``MINE`` and of ``THEIRS``, both of ``main``, in every table."""
    tables = FakeTables("main", "other")
    for name in ("main", "other"):
        put_market(tables, 1, "BTCUSDT", of=name)
    put_mark(tables, "BTCUSDT", "100", rate="0.0001")
    put_instrument(tables, "BTCUSDT")
    states, sums = PositionStates(tables), Subtotals()
    for address, owner, quote, quantity, upnl, said in (
        (MINE, MY_OWNER, 1, "10", "-12.5", "my"),
        (THEIRS, THEIR_OWNER, THEIR_QUOTE, "31337", "77.125", "their"),
    ):
        key = f"main:{address}"
        body = valuation_body(
            positions=[position(quantity, "100", "100", quote=quote)],
            upnl=e18(upnl),
            notional=e18(quantity),
            owner=owner,
            multi_account=MULTI_ACCOUNT,
            name=f"{said}-name",
            party_b={HEDGER: [e18("5"), [e18("1")] * 4, ["0"] * 4]},
        )
        tables.valuations.put(key, 1, body)
        tables.alerts.put(key, 1, alerts_body(key, (1, NOW_MS - quote)))
        states.say(key, {"id": f"{said}-state", "quote_id": quote})
        sums.put("main", None, body)
    for key_bytes, body in sums.take_changed(0, set()):
        tables.subtotals.put(key_bytes.decode(), 1, body)
    return tables


def walked_history() -> KeptHistory:
    """How figures of ``MINE``, of ``THEIRS`` and of sums with these went, and what was booked of them."""
    history = KeptHistory(lambda: NOW_MS)
    for series, figure in ((f"main:{MINE}", -12), (f"main:{THEIRS}", 77_125), (totals_key("main").decode(), 31_337)):
        history.show(series, NOW_MS, figure, figure)
        history.book(series, fee(figure, at_ms=NOW_MS, block=1))
    return history


def say_funding(charged: FundingRecords) -> None:
    """A quote of ``MINE`` and one of ``THEIRS`` were charged."""
    epoch = Epoch(14_400, 420, NOW_S // 14_400 * 14_400)
    frozen = Frozen(
        epoch, epoch.pays_s, epoch.pays_s + 420, epoch.pays_s, epoch.pays_s, {}, {1: "its feed was silent"}, 2
    )
    plans = [Plan(epoch, party_a, ((quote_id, 1),)) for party_a, quote_id in ((MINE, 1), (THEIRS, THEIR_QUOTE))]
    said: list[Record] = [frozen, *plans]
    for one in said:
        charged.take(record_key("main", one), encode_record(one))


def records() -> FakeRecords:
    """What clients write; nobody owns an account that the blocks do not know."""
    taking = FakeRecords()
    taking.made = {f"main:{address}".encode(): None for address in (MINE, THEIRS, GHOST)}
    return taking


def asks(app: web.Application, account: str, owner: str, quote: int, ticket: str = "none") -> list[Ask]:
    """Requests to every route of an application, each for an account by all the ways there are to name it.

    A route with a parameter that is not known here fails: say below what to put there.
    """
    return list(_asks(app, account, owner, quote, ticket))


def _asks(app: web.Application, account: str, owner: str, quote: int, ticket: str) -> Iterator[Ask]:
    values = {
        "account": f"main:{account}",
        "multi_account": MULTI_ACCOUNT,
        "symbol": "BTCUSDT",
        "start": "0",
        "size": "10",
        "code": "4000",
        "market": "binance-futures:BTCUSDT",
        "library": "uplot",
        "path": "x.js",
        "rest": "x",
        "slash": "",
        "state_id": "their-state" if account == THEIRS else "nobodys-state",
        "ticket": ticket,
    }
    for route in app.router.routes():
        assert route.resource is not None
        canonical = route.resource.canonical
        reads = app[GATE].declaration_of(route)
        headers = {"Host": "localhost"} if "/other" in canonical else {}
        method = "DELETE" if route.method == "*" else route.method
        named = dict.fromkeys((account, owner)) if "{address}" in canonical else {"": None}
        for address in named:
            path = re.sub(r"\{(\w+)\}", lambda one, at=address: {**values, "address": at}[one[1]], canonical)  # type: ignore[misc]
            for query in _queries(canonical, account):
                for body in _bodies(canonical, account, quote):
                    yield Ask(method, canonical, f"{path}{query}", body, reads, headers)


def _queries(canonical: str, account: str) -> tuple[str, ...]:
    if "/upnl-a" in canonical:
        return (f"?address={account}",)
    if canonical in {"/v1/positions", "/v1/alerts", "/v1/position-states", "/v1/funding/charges"}:
        return ("", f"?account=main:{account}")
    if canonical == "/v1/accounts":
        return ("", "?limit=1&sort=upnl&direction=desc")
    if canonical in {"/v1/totals", *(f"/v1/totals/history{kind}" for kind in ("", ".csv", ".parquet"))}:
        return ("", "?deployment=main")
    if canonical.endswith("/explanation"):
        return ("?from=2020-01-01T00:00:00Z&to=2020-01-01T00:01:00Z",)
    return ("?leverage=9",) if "/get_locked_params" in canonical else ("",)


def _bodies(canonical: str, account: str, quote: int) -> tuple[Mapping[str, object] | None, ...]:
    if "/position-state/" in canonical or "/position_state/" in canonical:
        return ({}, {"address": account}, {"quote_id": quote}, {"states": ["alert"]})
    if "/notifications/" in canonical:
        return ({}, {"counterparty_address": account}, {"quote_id": quote})
    return (None,)
