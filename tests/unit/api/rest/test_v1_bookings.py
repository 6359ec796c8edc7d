"""What happened to an account, over REST: bookings by kind and time, and the positions that were closed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from api.rest.pages import cursor_after
from models.booking_requests import BOOKING_BYTES_MAX, BOOKINGS_MAX
from models.bookings import GAP, Booked, Booking
from models.instants import rfc3339
from tests.support.api import serving
from tests.support.bookings import charged, closed, fee, opened
from tests.support.feed import FakeTables, valuation_body
from tests.support.history import KeptHistory
from tests.support.rest import NOW_MS, account_key, get

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web
    from aiohttp.test_utils import TestClient

KEY = account_key(1)
PATH = f"/v1/accounts/{KEY}/bookings"
NO_PLACES = ((0, 2**64 - 1, 0), (0, 0, 2**63), (2**63, 0, 0), (0, -2, 0), (-1, 0, 0))
CLOSED_PATH = f"/v1/accounts/{KEY}/closed-positions"


@asynccontextmanager
async def kept(history: KeptHistory | None) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    tables = FakeTables("main")
    tables.valuations.put(KEY, 1, valuation_body())
    async with serving(tables, history=history) as client:
        yield client


def lived() -> KeptHistory:
    """An account that opened a position, paid funding, and closed it in two parts."""
    history = KeptHistory(lambda: NOW_MS)
    history.book(
        KEY,
        fee(at_ms=NOW_MS, block=1),
        opened(at_ms=NOW_MS + 1_000, block=2),
        charged(at_ms=NOW_MS + 2_000, block=3),
        closed(at_ms=NOW_MS + 3_000, block=4, amount=4, left=6, price=106),
        closed(at_ms=NOW_MS + 4_000, block=5, amount=6, price=111),
    )
    return history


async def test_bookings_come_newest_first_with_exact_amounts_and_what_their_venue_says() -> None:
    async with kept(lived()) as client:
        answer = await get(client, PATH)

    items = answer.body["items"]
    assert ["close", "realised", "close", "realised", "funding", "open", "fee"] == [one["kind"] for one in items]
    assert {
        "id": "3.0.0", "at": rfc3339(NOW_MS + 2_000), "at_ns": str((NOW_MS + 2_000) * 10**6), "kind": "funding",
        "cause": "ChargeFundingRate", "block": 3, "event": "0x03/0", "quote_id": 7, "symbol_id": 1, "side": "long",
        "quantity": "10", "left": "10", "opened_price": "100", "opened_price_after": "101", "rate": "0.01",
        "funding": "-10",
    } == items[4]  # fmt: skip
    assert "-1" == items[-1]["balance"]
    assert (BOOKINGS_MAX, False) == (answer.body["kept"], answer.body["is_cut"])
    assert BOOKINGS_MAX * BOOKING_BYTES_MAX == answer.body["bytes_max"]
    assert {"open", "close", "liquidation", "funding", "fee"} <= set(answer.body["told"])


async def test_bookings_are_chosen_by_kind_and_time_and_pages_follow_one_another() -> None:
    async with kept(lived()) as client:
        fills = (await get(client, f"{PATH}?kind=open,close")).body
        late = (await get(client, f"{PATH}?from={rfc3339(NOW_MS + 2_000)}&to={rfc3339(NOW_MS + 4_000)}")).body
        first = (await get(client, f"{PATH}?limit=5")).body
        second = (await get(client, f"{PATH}?limit=5&cursor={first['next_cursor']}")).body

    assert ["close", "close", "open"] == [one["kind"] for one in fills["items"]]
    assert ["close", "realised", "funding"] == [one["kind"] for one in late["items"]]
    assert ["open", "fee"] == [one["kind"] for one in second["items"]]
    assert "next_cursor" not in second


async def test_a_closed_position_says_what_it_gained_and_what_of_that_was_funding() -> None:
    async with kept(lived()) as client:
        answer = await get(client, CLOSED_PATH)

    (found,) = answer.body["items"]
    assert (7, 1, "close", "long") == tuple(found[name] for name in ("quote_id", "symbol_id", "ended", "side"))
    assert (rfc3339(NOW_MS + 1_000), rfc3339(NOW_MS + 4_000)) == (found["opened"], found["closed"])
    amounts = (found[name] for name in ("quantity", "opened_price", "closed_price", "realised", "funding"))
    assert ("10", "100", "109", "80", "-10") == tuple(amounts)


async def test_from_where_on_an_account_is_not_known_is_told() -> None:
    history = KeptHistory(lambda: NOW_MS)
    history.book(KEY, Booked((1, 0), 1, NOW_MS, (Booking(GAP, "its logs could not be read"),)))
    async with kept(history) as client:
        (gap,) = (await get(client, PATH)).body["items"]

    assert ("gap", "its logs could not be read") == (gap["kind"], gap["cause"])


async def test_what_is_asked_wrongly_is_refused_by_name_and_what_is_not_known_is_no_empty_list() -> None:
    silent = KeptHistory(lambda: NOW_MS)
    silent.is_silent = True
    async with kept(lived()) as client:
        page = (await get(client, f"{PATH}?limit=1")).body["next_cursor"]
        refused = [
            await get(client, path)
            for path in (
                f"{PATH}?kind=opened", f"{PATH}?kind=", f"{CLOSED_PATH}?kind=open", f"{CLOSED_PATH}?cursor={page}",
                f"{PATH}?from={rfc3339(NOW_MS)}&to={rfc3339(NOW_MS)}",
                *(f"{PATH}?cursor={cursor_after(['bookings', *place])}" for place in NO_PLACES),
            )
        ]  # fmt: skip
        missing = await get(client, f"/v1/accounts/{account_key(9)}/bookings")
    async with kept(silent) as client:
        unanswered = await get(client, PATH)
    async with kept(None) as client:
        nobody = await get(client, CLOSED_PATH)

    assert [400] * (5 + len(NO_PLACES)) == [one.status for one in refused]
    assert "expected one or more of open, close" in refused[0].body["detail"]
    assert (404, 503, 503) == (missing.status, unanswered.status, nobody.status)
