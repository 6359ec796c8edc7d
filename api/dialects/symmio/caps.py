"""``/open-interest`` and ``/notional_cap/{symbol}``: how much may be open with the solver, and how much of it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.dialects.symmio.app_keys import HOLDINGS
from api.dialects.symmio.replies import plain, reply
from api.dialects.symmio.requested_market import expect_known, listed, named
from api.http.keys import SETTINGS
from models.money import E18, format_e18
from streams.settings import symmio_deployments

if TYPE_CHECKING:
    from aiohttp import web

    from api.dialects.symmio.holdings import Book
    from models.prices import UsedMark


async def open_interest(request: web.Request, deployment: str) -> web.Response:
    """Answer the cap over all symbols, and how much of it is used."""
    expect_known(request, deployment)
    marks = {one.market.symbol_id: one.mark async for one in listed(request, deployment)}
    solver = symmio_deployments(request.app[SETTINGS])[deployment].solver
    holdings = request.app[HOLDINGS]
    book = await holdings.of(deployment)
    unpriced = sum(tally.quotes for symbol_id, tally in book.open.items() if marks.get(symbol_id) is None)
    holdings.unpriced.labels(deployment).set(unpriced)
    symbols = book.open.keys() | book.pending.keys()
    used_e36 = sum(_used_e36(book, one, marks.get(one), count_pending=solver.count_pending) for one in symbols)
    return reply({"total_cap": plain(solver.open_interest_cap), "used": format_e18(used_e36 // E18)})


async def notional_cap(request: web.Request, deployment: str) -> web.Response:
    """Answer a symbol's cap, and how much of it is used."""
    expect_known(request, deployment)
    one = named(request, deployment, request.match_info["symbol"])
    solver = symmio_deployments(request.app[SETTINGS])[deployment].solver
    book = await request.app[HOLDINGS].of(deployment)
    used_e36 = _used_e36(book, one.market.symbol_id, one.mark, count_pending=solver.count_pending)
    return reply({"total_cap": plain(one.offer.cap), "used": format_e18(used_e36 // E18)})


def _used_e36(book: Book, symbol_id: int, mark: UsedMark | None, *, count_pending: bool) -> int:
    """Value what is open at the current mark, stale or not; where there is no mark, at opened prices."""
    tallies = [book.open.get(symbol_id), book.pending.get(symbol_id) if count_pending else None]
    mark_e18 = None if mark is None else mark.mark_e18
    return sum(tally.worth_e36(mark_e18) for tally in tallies if tally is not None)
