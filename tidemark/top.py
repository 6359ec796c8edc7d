"""What ``tidemark top`` shows: totals, accounts and markets of a running api, over REST and its websocket."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
from rich import box
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from models.errors import TidemarkError
from streams.process.http_bodies import WITHOUT_END
from tidemark_client import Changed, Client, Heard

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console, RenderableType

    from tidemark.keyboard import Keyboard

View = dict[str, Any]

SORTS = {"notional": "desc", "upnl": "desc", "distance": "asc"}
"""What accounts can be ordered by, and in which direction."""

_SORT_NAMES = {"notional": "notional", "upnl": "upnl", "distance": "distance_bps"}
_KEYS = {"n": "notional", "u": "upnl", "d": "distance"}
_POLL_S = 2.0
_REDRAW_S = 0.25
_TOTALS_INTERVAL_MS = 500
_WITHIN_S = 5.0
# Lines for the tables' heads, the totals and their margins; the rest of the terminal is for accounts and markets.
_FRAME_LINES = 15
_MARKETS_MAX = 8
_ACCOUNTS_MAX = 200
_PLAIN_LINES = 40
# The figures count as late after this long without a heartbeat; one is promised every 5 s.
_SILENT_S = 12.0
_LATE_MS = 5_000
_NEAR_BPS = 500
# An account's whole key, and beside it uPnL, notional, distance and state.
_WIDE = 128
# Of the same figures below the key, in characters; 0 for what stands last, at the left.
_NARROW_WIDTHS = (20, 20, 18, 0)
_HOW_TO_READ = "; give a reader's token with --token or as TIDEMARK_TOKEN"

_GAIN, _LOSS, _WARN, _FAINT = "bright_blue", "dark_orange", "yellow", "dim"


class NoAnswer(TidemarkError):
    """Nothing answers, or not an api. Start ``tidemark api`` or ``tidemark up``, or give its ``--url``."""


@dataclass(slots=True)
class Seen:
    """What is known of the api. ``failure`` says why the newest request failed; the rest is then older."""

    url: str
    sort: str
    status: View = field(default_factory=dict)
    accounts: list[View] = field(default_factory=list)
    markets: list[View] = field(default_factory=list)
    totals: dict[str, View] = field(default_factory=dict)
    lag_ms: int | None = None
    heard_s: float = 0.0
    failure: str | None = None


async def look(session: aiohttp.ClientSession, seen: Seen, accounts: int) -> None:
    """Ask REST once for everything.

    Args:
        session: Has the reader's token.
        seen: What is known so far; it is replaced.
        accounts: How many accounts to ask for, 1 to 1,000.

    Raises:
        NoAnswer: The api does not answer, or refuses.
    """
    sort = {"sort": _SORT_NAMES[seen.sort], "direction": SORTS[seen.sort]}
    status, found, markets, totals = await asyncio.gather(
        _get(session, f"{seen.url}/v1/status"),
        _get(session, f"{seen.url}/v1/accounts", limit=accounts, **sort),
        _get(session, f"{seen.url}/v1/markets", limit=1_000),
        _get(session, f"{seen.url}/v1/totals"),
    )
    seen.status, seen.accounts, seen.markets = status, found["items"], markets["items"]
    seen.totals = {view["deployment"]: view for view in totals["items"]}
    seen.lag_ms = status["lag_ms"]
    seen.heard_s, seen.failure = time.monotonic(), None


async def show_once(console: Console, url: str, sort: str, token: str | None) -> None:
    """Print everything once.

    Args:
        console: Where to.
        url: The api's address.
        sort: A name of ``SORTS``.
        token: A reader's token; None where the api needs none.

    Raises:
        NoAnswer: The api does not answer, or refuses.
    """
    seen = Seen(url.rstrip("/"), sort)
    async with _session(token) as session:
        await look(session, seen, _PLAIN_LINES)
    if not console.is_terminal:
        # What is piped has lines as long as they need be, so that an account is on one.
        console.width = max(console.width, _WIDE)
    console.print(screen(seen, _PLAIN_LINES, console.width))


async def show(console: Console, url: str, sort: str, token: str | None, keyboard: Keyboard) -> None:
    """Redraw everything in place until q is pressed.

    Args:
        console: Where to.
        url: The api's address.
        sort: A name of ``SORTS``, by which accounts are ordered at first.
        token: A reader's token; None where the api needs none.
        keyboard: Where keys are read.

    Raises:
        NoAnswer: The api does not answer at the start, or refuses. Later on a failure is shown.
    """
    seen = Seen(url.rstrip("/"), sort)
    async with _session(token) as session:
        await look(session, seen, _accounts(console))
        with Live(console=console, screen=True, auto_refresh=False) as live:
            tasks = [
                asyncio.create_task(_poll(session, seen, console)),
                asyncio.create_task(_listen(session, seen, token)),
            ]
            try:
                while (key := keyboard.pressed()) != "q":
                    await _sort_by(key, session, seen, console)
                    live.update(screen(seen, console.height, console.width), refresh=True)
                    _raise_failure_of(tasks)
                    await asyncio.sleep(_REDRAW_S)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


def screen(seen: Seen, lines: int, width: int) -> RenderableType:
    """Render everything, cut to so many lines.

    Args:
        seen: What is known.
        lines: How many there are, at least 1.
        width: Characters in each; where an account's key and figures have no room side by side they take two lines.
    """
    markets = sorted(seen.markets, key=_staleness, reverse=True)
    shown = max(3, lines - _FRAME_LINES - len(seen.totals) - min(len(markets), _MARKETS_MAX))
    is_wide = width >= _WIDE
    return Group(
        _headline(seen),
        "",
        _totals(seen.totals),
        _accounts_table(seen.accounts[:shown], seen.sort)
        if is_wide
        else _accounts_in_two_lines(seen.accounts[: max(2, shown // 2)], seen.sort),
        _markets_table(markets[:_MARKETS_MAX]),
        Text("n notional  u uPnL  d distance  q quit", style=_FAINT),
    )


def money(text: str | None, *, signed: bool = False, digits: int = 2) -> Text:
    """Show a decimal text: its digits are grouped, and those left out are cut and not rounded.

    Args:
        text: The decimal text; None is shown as unknown.
        signed: Whether it is shown with a sign and a shape as well as a colour.
        digits: How many decimals are shown, at least 0.
    """
    if text is None:
        return Text("unknown", style=f"{_FAINT} italic")
    whole, _, fraction = text.removeprefix("-").partition(".")
    shown = f"{int(whole):,}.{fraction[:digits].ljust(digits, '0')}"
    if text.startswith("-"):
        return Text(f"▼ -{shown}" if signed else f"-{shown}", style=_LOSS if signed else "")
    is_zero = not (whole + fraction).strip("0")
    return Text(shown if is_zero or not signed else f"▲ +{shown}", style=_GAIN if signed and not is_zero else "")


def _session(token: str | None) -> aiohttp.ClientSession:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return aiohttp.ClientSession(headers=headers, timeout=WITHOUT_END)


async def _get(session: aiohttp.ClientSession, url: str, **parameters: str | int) -> View:
    try:
        async with asyncio.timeout(_WITHIN_S), session.get(url, params=parameters) as response:
            said = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        found = str(error) or type(error).__name__
        msg = f"expected an api to answer {url}, found {found}; start `tidemark api`, or give --url"
        raise NoAnswer(msg) from error
    if not response.ok or not isinstance(said, dict):
        detail = said.get("detail") if isinstance(said, dict) else None
        hint = _HOW_TO_READ if response.status == HTTPStatus.UNAUTHORIZED else ""
        msg = f"expected an answer of {url}, found {response.status}: {detail or response.reason}{hint}"
        raise NoAnswer(msg)
    return said


def _accounts(console: Console) -> int:
    return min(_ACCOUNTS_MAX, max(3, console.height))


async def _look_again(session: aiohttp.ClientSession, seen: Seen, console: Console) -> None:
    try:
        await look(session, seen, _accounts(console))
    except NoAnswer as error:
        seen.failure = str(error)


async def _sort_by(key: str, session: aiohttp.ClientSession, seen: Seen, console: Console) -> None:
    """Where a key stands for another order of accounts, ask for them in that order."""
    sort = _KEYS.get(key, seen.sort)
    if sort != seen.sort:
        seen.sort, seen.accounts = sort, []
        await _look_again(session, seen, console)


def _raise_failure_of(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()


async def _poll(session: aiohttp.ClientSession, seen: Seen, console: Console) -> None:
    while True:
        await asyncio.sleep(_POLL_S)
        await _look_again(session, seen, console)


async def _listen(session: aiohttp.ClientSession, seen: Seen, token: str | None) -> None:
    """Follow the heartbeats, and the totals, which change more often than REST is asked."""
    async with Client(f"{seen.url.replace('http', 'ws', 1)}/v1/ws", token=token, session=session) as client:
        client.subscribe("totals", seen.status["deployments"], _TOTALS_INTERVAL_MS)
        async for event in client.events():
            match event:
                case Heard({"type": "heartbeat", "lag_ms": lag_ms}):
                    seen.lag_ms, seen.heard_s = lag_ms, time.monotonic()
                case Changed(key=deployment, held=held):
                    seen.totals[deployment] = held.data
                case _:
                    pass


def _headline(seen: Seen) -> Text:
    line = Text.assemble(("Tidemark ", "bold"), (seen.url, "cyan"), "  ")
    silent_s = time.monotonic() - seen.heard_s
    if seen.failure is not None or silent_s > _SILENT_S:
        line.append(f"✕ no word for {silent_s:.0f} s, figures are old: {seen.failure or 'no heartbeat'}", style=_LOSS)
        return line
    stale = seen.status.get("stale", {})
    if stale:
        line.append(f"◐ stale: no word of {', '.join(sorted(stale))}", style=_WARN)
    elif not seen.status.get("is_ready"):
        line.append(f"◐ not ready: {'; '.join(seen.status.get('reasons', []))}", style=_WARN)
    elif seen.lag_ms is not None and seen.lag_ms > _LATE_MS:
        line.append("◐ late", style=_WARN)
    else:
        line.append("● live", style=_GAIN)
    line.append("  lag unknown" if seen.lag_ms is None else f"  lag {seen.lag_ms:,} ms", style=_FAINT)
    for name, source in seen.status.get("sources", {}).items():
        is_live = source["state"] == "live"
        line.append(f"  {name} {source['state']}", style=_FAINT if is_live else _WARN)
    return line


def _totals(totals: Mapping[str, View]) -> Table:
    table = _table("deployment", ["uPnL", "notional", "positions"])
    for name, view in totals.items():
        positions = view.get("positions")
        table.add_row(
            name,
            money(view.get("upnl"), signed=True),
            money(view.get("notional")),
            Text("unknown", style=_FAINT) if positions is None else f"{positions:,}",
        )
    return table


def _accounts_table(accounts: Sequence[View], sort: str) -> Table:
    table = _table("account", _heads(sort))
    # It is for copying: what is cut off cannot be pasted into `tidemark watch`, or anywhere else.
    table.columns[0].ratio, table.columns[0].width = None, max((len(one["account"]) for one in accounts), default=10)
    for account in accounts:
        table.add_row(account["account"], *_figures_of(account))
    return table


def _accounts_in_two_lines(accounts: Sequence[View], sort: str) -> Text:
    """Show each account's key in a line of its own, and its figures in the next one."""
    lines = [Text("account", style=_FAINT), _padded([Text(head, style=_FAINT) for head in _heads(sort)])]
    for account in accounts:
        lines += [Text(account["account"]), _padded(_figures_of(account))]
    return Text("\n").join(lines)


def _padded(figures: Sequence[Text]) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    for figure, width in zip(figures, _NARROW_WIDTHS, strict=True):
        figure.align("right" if width else "left", width or len(figure))
        line.append_text(figure).append("  ")
    return line


def _heads(sort: str) -> list[str]:
    columns = {"upnl": "uPnL", "notional": "notional", "distance": "to liquidation"}
    arrow = "↓" if SORTS[sort] == "desc" else "↑"
    return [*(f"{title} {arrow}" if name == sort else title for name, title in columns.items()), "state"]


def _figures_of(account: View) -> tuple[Text, Text, Text, Text]:
    """Show what stands under each of ``_heads``."""
    is_complete = account["status"] == "valued"
    figures = account if is_complete else account.get("last_complete", {})
    upnl, notional = money(figures.get("upnl"), signed=True), money(figures.get("notional"))
    if not is_complete or account["stale"]:
        upnl.stylize(_FAINT)
        notional.stylize(_FAINT)
    return upnl, notional, _distance(account), _state(account)


def _distance(account: View) -> Text:
    bps = account.get("distance_bps")
    if bps is None:
        is_known = account["status"] == "valued"
        return Text("no positions" if is_known else "unknown", style=_FAINT)
    return Text(f"{'! ' if bps < _NEAR_BPS else ''}{bps / 100:.2f} %", style=_LOSS if bps < _NEAR_BPS else "")


def _state(account: View) -> Text:
    if account.get("liquidating") or account.get("liquidatable"):
        return Text("✕ liquidating" if account.get("liquidating") else "✕ liquidatable", style=_LOSS)
    if account["status"] != "valued":
        return Text(f"◐ {account['status']}", style=_WARN)
    return Text(f"◐ {account['stale']} stale", style=_WARN) if account["stale"] else Text("")


def _markets_table(markets: Iterable[View]) -> Table:
    table = _table("market, stalest first", ["price", "age", "state"])
    for market in markets:
        mark = market.get("mark")
        name = f"{market['deployment']} {market['symbol'] or market['symbol_id']}"
        if mark is None:
            table.add_row(name, money(None), Text("unknown", style=_FAINT), Text("✕ no price", style=_LOSS))
            continue
        state = Text("◐ stale", style=_WARN) if mark["stale"] else Text("● fresh", style=_FAINT)
        table.add_row(name, money(mark["mark"], digits=5), f"{mark['age_ms'] / 1000:.1f} s", state)
    return table


def _staleness(market: View) -> tuple[bool, int]:
    mark = market.get("mark")
    return (True, 0) if mark is None else (False, mark["age_ms"])


def _table(first: str, others: Iterable[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, expand=True, padding=(0, 1), header_style=_FAINT)
    table.add_column(first, no_wrap=True, overflow="ellipsis", ratio=2)
    for title in others:
        table.add_column(title, justify="left" if title == "state" else "right", no_wrap=True, ratio=1)
    return table
