"""``/v1/marks`` and ``/v1/markets``: prices as sources say them, and the chains' markets with the prices in use."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from api.http.keys import CLOCK, FEEDS, PRICES, SETTINGS
from api.http.problems import NO_SUCH_MARK, NOT_KNOWN, Problem
from api.rest.gzip_bodies import json_answer, tagged_json_answer
from api.rest.known import etag_of, expect_read
from api.rest.pages import CURSOR, LIMIT, keys_of_page, page_of_rows
from api.rest.query import Parameter, Query, choice
from api.tables.turns import next_turn
from models.codec import decode_row
from models.engine.stored_rows import readable
from models.engine.tables import MARKETS, MARKS
from models.errors import BadRow
from models.ids import market_of_key, split_key
from models.views import View, mark_view, market_view
from streams.process.unreadable_rows import note_unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from api.tables.market_prices import MarketPrices

# A market with the marks of two sources takes some 40 µs.
_MARKETS_BETWEEN_YIELDS = 10

_SOURCE: Parameter[str] = Parameter("source", "the name of a source", lambda text: text or None)


async def marks(request: web.Request) -> web.Response:
    """Answer a page of marks, by source and symbol."""
    query = Query(request, _SOURCE, LIMIT, CURSOR)
    source, rows = query.get(_SOURCE), _marks(request)
    known = [key.decode() for key in rows if source in {None, split_key(key)[0]}]
    keys, next_cursor = keys_of_page(query, MARKS, known, _mark_place)
    views = []
    for number, key in enumerate(keys, start=1):
        row = rows.get(key.encode())
        if row is not None:
            views.append(readable(note_unreadable, MARKS, key.encode(), row, partial(_mark_view, key)))
        if number % _MARKETS_BETWEEN_YIELDS == 0:
            await next_turn()
    return await json_answer(request, await page_of_rows(views, next_cursor))


async def mark(request: web.Request) -> web.Response:
    """Answer one mark."""
    Query(request)
    key = request.match_info["market"]
    row = _marks(request).get(key.encode(errors="replace"))
    if row is None:
        raise Problem(NO_SUCH_MARK, f"expected <source>:<SYMBOL> of a mark that came in, found {key[:80]!r}")
    try:
        view = _mark_view(key, row)
    except BadRow as error:
        note_unreadable(MARKS, key.encode(), row, error)
        raise Problem(NOT_KNOWN, f"the row of mark {key} cannot be read") from error
    return await tagged_json_answer(request, etag_of(request, row), view)


async def markets(request: web.Request) -> web.Response:
    """Answer a page of markets, by deployment and symbol id."""
    settings = request.app[SETTINGS].deployments
    deployment = choice("deployment", settings)
    query = Query(request, deployment, LIMIT, CURSOR)
    wanted, feed = query.get(deployment), request.app[FEEDS].markets
    expect_read(feed, MARKETS)
    known = [key.decode() for key in feed.rows if (name := split_key(key)[0]) in settings and wanted in {None, name}]
    keys, next_cursor = keys_of_page(query, MARKETS, known, _market_place)
    in_use = _MarksInUse(request.app[PRICES], _marks(request), request.app[CLOCK].now_ms())
    views = []
    for number, key in enumerate(keys, start=1):
        row = feed.rows.get(key.encode())
        if row is not None:
            view = readable(note_unreadable, MARKETS, key.encode(), row, partial(_market_view, key))
            views.append(None if view is None else view | in_use.of(key))
        if number % _MARKETS_BETWEEN_YIELDS == 0:
            await next_turn()
    return await json_answer(request, await page_of_rows(views, next_cursor))


class _MarksInUse:
    """The marks that markets are valued at, as of one instant.

    Args:
        prices: Choose them.
        rows: Of the table ``marks``.
        now_ms: The instant, Unix ms.
    """

    def __init__(self, prices: MarketPrices, rows: Mapping[bytes, bytes], now_ms: int) -> None:
        self._prices = prices
        self._rows = rows
        self._now_ms = now_ms

    def of(self, market_key: str) -> View:
        """The view ``mark`` of a market's mark; nothing where it has none."""
        used = self._prices.used(*market_of_key(market_key.encode()), self._now_ms)
        row = None if used is None else self._rows.get(used.key.encode())
        if used is None or row is None:
            return {}
        body: dict[str, Any] = decode_row(row).body
        age_ms = max(0, self._now_ms - body["received_ms"])
        return {"mark": {**mark_view(used.key, body), "stale": used.stale, "age_ms": age_ms}}


def _marks(request: web.Request) -> Mapping[bytes, bytes]:
    feed = request.app[FEEDS].marks
    expect_read(feed, MARKS)
    return feed.rows


def _mark_place(key: str) -> str:
    return key


def _market_place(key: str) -> tuple[str, bool, int | str]:
    deployment, market = market_of_key(key.encode())
    if not deployment or market == "":
        msg = f"expected <deployment>:<market>, found {key[:80]!r}"
        raise ValueError(msg)
    # Numbers come before texts, with which they cannot be compared.
    return deployment, isinstance(market, str), market


def _mark_view(key: str, row: bytes) -> View:
    return mark_view(key, decode_row(row).body)


def _market_view(key: str, row: bytes) -> View:
    return market_view(key, decode_row(row).body)
