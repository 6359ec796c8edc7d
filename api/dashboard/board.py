"""All accounts as the page lists them, kept up to date only while someone looks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from models.codec import decode_row
from models.errors import BadRow
from models.ids import split_key
from models.money import format_e18

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.feeds import Feeds

# Decoding a row takes some 20 µs: a few ms of work between two chances for others.
_ROWS_BETWEEN_YIELDS = 200

_MONEY = ("upnl", "notional", "available_balance")


class Line(NamedTuple):
    """One account on the page: what is shown, what it is ranked by, and the marks it was valued with."""

    shown: dict[str, Any]
    notional_e18: int
    mark_keys: frozenset[str]


class Board:
    """Lines of all accounts. A line is made anew when its row is another than the one it was made of."""

    def __init__(self, feeds: Feeds) -> None:
        self._feeds = feeds
        self._lines: dict[bytes, tuple[bytes, Line]] = {}
        self._refreshing = asyncio.Lock()

    async def largest(self, limit: int) -> list[dict[str, Any]]:
        """The ``limit`` accounts of largest notional, in descending order, ties in order of key."""
        await self._refresh()
        ranked = sorted(self._lines.items(), key=lambda item: (-item[1][1].notional_e18, item[0]))
        return [line.shown for _, (_, line) in ranked[:limit]]

    async def oldest_mark_received_ms(self) -> int | None:
        """When the oldest mark that any account is valued with was received, as Unix ms; None without marks in use."""
        await self._refresh()
        used: set[str] = set()
        for _, line in self._lines.values():
            used |= line.mark_keys
        rows = self._feeds.marks.rows
        received = (decode_row(rows[key]).body["received_ms"] for key in map(str.encode, used) if key in rows)
        return min(received, default=None)

    async def _refresh(self) -> None:
        async with self._refreshing:
            rows = self._feeds.valuations.rows
            for key in self._lines.keys() - rows.keys():
                del self._lines[key]
            for count, (key, row) in enumerate(list(rows.items()), start=1):
                standing = self._lines.get(key)
                if standing is None or standing[0] is not row:
                    self._lines[key] = row, _line(key, row)
                if count % _ROWS_BETWEEN_YIELDS == 0:
                    await asyncio.sleep(0)


def _line(key: bytes, row: bytes) -> Line:
    deployment, address = split_key(key)
    shown: dict[str, Any] = {"deployment": deployment, "address": address}
    try:
        body = decode_row(row).body
    except BadRow:
        return Line({**shown, "status": "unreadable"}, 0, frozenset())
    positions = body.get("positions") or []
    shown |= {
        "owner": body.get("owner"),
        "status": body.get("status"),
        "stale": body.get("stale"),
        "unpriced": body.get("unpriced"),
        "positions": len(positions),
        "liquidating": body.get("liquidating"),
        "liquidatable": body.get("liquidatable"),
        "distance_bps": body.get("distance_bps"),
        "as_of_ms": body.get("as_of_ms"),
        **_money(body),
        "last_complete": _last_complete(body.get("last_complete")) if body.get("status") == "unpriced" else None,
    }
    mark_keys = frozenset(position["mark_key"] for position in positions if position.get("mark_key"))
    return Line(shown, int(body.get("notional") or 0), mark_keys)


def _money(figures: Mapping[str, Any]) -> dict[str, str | None]:
    return {name: None if figures.get(name) is None else format_e18(int(figures[name])) for name in _MONEY}


def _last_complete(figures: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if figures is None else {**_money(figures), "as_of_ms": figures["as_of_ms"]}
