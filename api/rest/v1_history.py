"""``/v1/accounts/{account}/history`` and ``/v1/totals/history``: how figures went, as pages of bars, CSV or Parquet."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.hdrs import METH_HEAD

from api.access.gate import principal_of
from api.dialects.native.channels import CHANNELS
from api.dialects.native.protocol import Channel
from api.http.keys import CLOCK, HISTORY, SETTINGS
from api.http.problems import NOT_KNOWN, Problem
from api.rest.gzip_bodies import json_answer
from api.rest.history_parquet import parquet_of
from api.rest.known import account_of_path, known_account
from api.rest.pages import CURSOR, LIMIT, LIMIT_DEFAULT, bad_cursor, cursor_after, page
from api.rest.query import Query, bad_parameter, choice, instant
from api.tables.history import BarWindow, NoAnswer
from models.history import BAR_BYTES_MAX, DAY_S, HOUR_S, KEPT_S, MINUTE_S, SECOND_S
from models.history_records import DAYS_MAX, PAGE_MAX, bar_of_texts, candles_of
from models.instants import ns_text, rfc3339
from models.money import format_e18
from models.served import totals_key

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from api.rest.query import Parameter
    from models.history import Bar, Candle
    from models.history_records import HistoryAnswer
    from models.views import View

PARQUET = ".parquet"
STEPS = {"1s": SECOND_S, "1m": MINUTE_S, "1h": HOUR_S, "1d": DAY_S}
_STEP = choice("step", tuple(STEPS))
_STEP_DEFAULT = "1m"
_FROM, _TO = instant("from"), instant("to")
# Later than any bar, and a number that any file of history can compare with.
_NEVER_S = 2**40
_FIGURES = ("upnl", "notional", "equity")
_VALUES = ("open", "high", "low", "close")
_HEAD = ("at", "at_ns", *(f"{figure}_{value}" for figure in _FIGURES for value in _VALUES))
# The longest window as a file: a day of seconds, a month of minutes, ten years of hours.
_FILE_BARS_MAX = 90_000


async def account_history(request: web.Request) -> web.Response:
    """Answer a page of how an account's figures went."""
    series, query = _account(request, LIMIT, CURSOR)
    return await _page(request, query, series, {"account": series})


async def account_history_file(request: web.Request) -> web.StreamResponse:
    """Answer how an account's figures went in a window, as one file."""
    series, query = _account(request)
    return await _file(request, query, series, series.replace(":", "-"))


async def totals_history(request: web.Request) -> web.Response:
    """Answer a page of how the sums over all accounts of a deployment went."""
    deployment, query = _totals(request, LIMIT, CURSOR)
    return await _page(request, query, totals_key(deployment).decode(), {"deployment": deployment})


async def totals_history_file(request: web.Request) -> web.StreamResponse:
    """Answer how the sums over all accounts of a deployment went in a window, as one file."""
    deployment, query = _totals(request)
    return await _file(request, query, totals_key(deployment).decode(), f"{deployment}-totals")


def _account(request: web.Request, *more: Parameter[object]) -> tuple[str, Query]:
    query = Query(request, _STEP, _FROM, _TO, *more)
    account = account_of_path(request)
    known_account(request, account)
    return account.key, query


def _totals(request: web.Request, *more: Parameter[object]) -> tuple[str, Query]:
    """The deployment whose sums are asked for; of one not all of whose accounts may be read there are none."""
    principal = principal_of(request)
    names = [name for name in request.app[SETTINGS].deployments if CHANNELS[Channel.TOTALS].may_read(principal, name)]
    deployment = choice("deployment", names)
    query = Query(request, deployment, _STEP, _FROM, _TO, *more)
    name = query.get(deployment)
    if name is None:
        raise bad_parameter(deployment.name, deployment.expected, "")
    return name, query


async def _page(request: web.Request, query: Query, series: str, head: View) -> web.Response:
    step = query.get(_STEP) or _STEP_DEFAULT
    window = _window(query, STEPS[step], request.app[CLOCK].now_ms(), query.get(LIMIT) or LIMIT_DEFAULT)
    match query.get(CURSOR):
        case None:
            pass
        case ["history", int(last_s)] if 0 <= last_s < _NEVER_S:
            window = window._replace(from_s=max(window.from_s, last_s + window.step_s))
        case _:
            raise bad_cursor()
    found = await _bars(request, series, window)
    view: View = {**head, "step": step, **_kept(STEPS[step])}
    if found.held_from_s is not None:
        view |= {"held_from": rfc3339(found.held_from_s * 1_000), "held_from_ns": ns_text(found.held_from_s * 1_000)}
        view["is_cut"] = window.from_s < found.held_from_s // window.step_s * window.step_s
    if found.before is not None:
        view["before"] = _bar_view(bar_of_texts(found.before))
    bars = [bar_of_texts(bar) for bar in found.bars]
    cursor = cursor_after(["history", bars[-1].start_s]) if found.has_more and bars else None
    return await json_answer(request, {**view, **await page(map(_bar_view, bars), cursor)})


def _kept(step_s: int) -> View:
    """For how long bars of a step are kept, and what those of an account take at most; absent where it is for ever."""
    kept_s = KEPT_S.get(step_s)
    return {} if kept_s is None else {"kept_s": kept_s, "bytes_max": kept_s // step_s * BAR_BYTES_MAX}


def _window(query: Query, step_s: int, now_ms: int, most: int) -> BarWindow:
    most = min(most, PAGE_MAX if step_s < DAY_S else DAYS_MAX)
    to_ms, from_ms = query.get(_TO), query.get(_FROM)
    # The bar that is still open is there too.
    to_s = now_ms // 1_000 + step_s if to_ms is None else -(-to_ms // 1_000)
    from_s = max(0, to_s - most * step_s) if from_ms is None else from_ms // 1_000
    if from_s >= to_s:
        raise bad_parameter(_FROM.name, f"an instant before {rfc3339(to_s * 1_000)}", rfc3339(from_s * 1_000))
    return BarWindow(step_s, from_s, to_s, most)


async def _bars(request: web.Request, series: str, window: BarWindow) -> HistoryAnswer:
    source = request.app[HISTORY]
    try:
        if source is not None:
            return await source.bars(series, window)
    except NoAnswer as error:
        raise Problem(NOT_KNOWN, "who keeps history does not answer, try again in some seconds") from error
    raise Problem(NOT_KNOWN, "this replica knows nobody who keeps history")


async def _file(request: web.Request, query: Query, series: str, name: str) -> web.StreamResponse:
    step = query.get(_STEP) or _STEP_DEFAULT
    window = _window(query, STEPS[step], request.app[CLOCK].now_ms(), PAGE_MAX)
    if (window.to_s - window.from_s) // window.step_s > _FILE_BARS_MAX:
        expected = f"a window of at most {_FILE_BARS_MAX} steps for a file"
        raise bad_parameter(_FROM.name, expected, rfc3339(window.from_s * 1_000))
    is_parquet = request.path.endswith(PARQUET)
    pages = _pages(request, series, window)
    parts = parquet_of(pages, _FIGURES, _VALUES) if is_parquet else _csv(pages)
    kind = PARQUET if is_parquet else ".csv"
    response = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{name}-{step}{kind}"'})
    response.content_type = "application/vnd.apache.parquet" if is_parquet else "text/csv"
    if not is_parquet:
        response.charset = "utf-8"
    async with aclosing(parts):
        # A refusal has to come before the file begins.
        first = await anext(parts)
        await response.prepare(request)
        if request.method == METH_HEAD:
            return response
        await response.write(first)
        async for part in parts:
            await response.write(part)
    await response.write_eof()
    return response


async def _csv(pages: AsyncIterator[list[Bar]]) -> AsyncGenerator[bytes]:
    first = await anext(pages)
    yield f"{','.join(_HEAD)}\r\n".encode() + _lines(first)
    async for bars in pages:
        yield _lines(bars)


async def _pages(request: web.Request, series: str, window: BarWindow) -> AsyncIterator[list[Bar]]:
    while True:
        found = await _bars(request, series, window)
        bars = [bar_of_texts(bar) for bar in found.bars]
        yield bars
        if not found.has_more or not bars:
            return
        window = window._replace(from_s=bars[-1].start_s + window.step_s)


def _lines(bars: list[Bar]) -> bytes:
    return "".join(f"{','.join(_line(bar))}\r\n" for bar in bars).encode()


def _line(bar: Bar) -> Iterator[str]:
    yield rfc3339(bar.start_s * 1_000)
    yield ns_text(bar.start_s * 1_000)
    candles = candles_of(bar)
    for figure in _FIGURES:
        yield from ("" if value is None else format_e18(value) for value in candles[figure])


def _bar_view(bar: Bar) -> View:
    figures = {name: view for name, candle in candles_of(bar).items() if (view := _candle_view(candle))}
    return {"at": rfc3339(bar.start_s * 1_000), "at_ns": ns_text(bar.start_s * 1_000), **figures}


def _candle_view(candle: Candle) -> dict[str, Any]:
    values = zip(_VALUES, candle, strict=True)
    return {name: format_e18(value) for name, value in values if value is not None}
