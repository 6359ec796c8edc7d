"""Bookings and closed positions as users see them; unknown fields are absent, money is exact decimal text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.bookings import FUNDING
from models.instants import ns_text, rfc3339
from models.money import format_e18

if TYPE_CHECKING:
    from collections.abc import Collection

    from models.booking_requests import BookedLine, ClosedPosition, Place
    from models.bookings import Booking
    from models.views import View

_AMOUNTS = (
    "quantity", "left", "price", "opened_price", "opened_price_after", "rate", "realised", "funding", "balance",
)  # fmt: skip
_CLOSED_AMOUNTS = ("quantity", "opened_price", "closed_price", "realised", "funding")


def booking_view(line: BookedLine) -> View:
    """Make the view of a booking."""
    one = line.booking
    view: View = {
        "id": _id(line.place),
        "at": rfc3339(line.time_ms),
        "at_ns": ns_text(line.time_ms),
        "kind": one.name,
        "cause": one.cause,
    }
    if line.block >= 0:
        view["block"] = line.block
    if one.at:
        view["event"] = one.at
    return view | _position(one) | _money(one, _AMOUNTS) | ({} if one.currency is None else {"currency": one.currency})


def closed_position_view(closed: ClosedPosition, told: Collection[str]) -> View:
    """Make the view of a position that was closed; of funding says nothing whose venue tells of none."""
    view: View = {
        "id": _id(closed.place),
        "ended": closed.ended,
        "closed": rfc3339(closed.closed_ms),
        "closed_ns": ns_text(closed.closed_ms),
    }
    names = _CLOSED_AMOUNTS if FUNDING in told else tuple(name for name in _CLOSED_AMOUNTS if name != FUNDING)
    if closed.opened_ms is not None:
        view |= {"opened": rfc3339(closed.opened_ms), "opened_ns": ns_text(closed.opened_ms)}
    return view | _position(closed) | _money(closed, names)


def _id(place: Place) -> str:
    return ".".join(map(str, place))


def _position(one: Booking | ClosedPosition) -> View:
    named = {"quote_id": one.quote, "symbol_id": one.market, "side": one.side}
    return {name: value for name, value in named.items() if value is not None}


def _money(one: Booking | ClosedPosition, names: tuple[str, ...]) -> View:
    amounts = ((name, getattr(one, name)) for name in names)
    return {name: format_e18(int(amount)) for name, amount in amounts if amount is not None}
