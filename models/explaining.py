"""Why a valuation is another than before: the terms by which an event changed it, of each position and of the balance.

A position's uPnL is truncated by itself, so the terms of an event are whole ints, and those of all events add up to the
whole change, with nothing left. A figure that is unknown counts as 0 while it is: what becomes known, or unknown, is a
term of the event by which it did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PRICE = "price"
SOURCE = "source"
"""Another source's mark took a mark's place, as that was too old."""
CONVERSION = "conversion"
REFERENCE = "reference"
ROLLBACK = "rollback"


class Event(NamedTuple):
    """What changed a valuation. ``place`` is ``TOPIC:PARTITION:OFFSET`` of its record, ``at`` where in that it stands.

    ``name`` says what it was, ``time_ms`` when it counted, Unix ms by the log.
    """

    place: str
    at: str
    name: str
    time_ms: int


class PositionAt(NamedTuple):
    """A position as it stood: ``size_e18`` is signed; ``mark_e18`` and ``upnl_e18`` are None where there is no mark."""

    market: int | str
    size_e18: int
    opened_e18: int
    mark_e18: int | None
    mark_key: str | None
    mark_offset: int | None
    upnl_e18: int | None


class Term(NamedTuple):
    """By how much an event changed one position's uPnL, or the balance where ``quote`` is None.

    ``before`` and ``after`` are the position, None where there was none; of the balance both are.
    """

    event: Event
    quote: int | str | None
    before: PositionAt | None
    after: PositionAt | None
    upnl_e18: int
    balance_e18: int


class Standing(NamedTuple):
    """A valuation as far as it is explained: positions, and what there is beside their uPnL.

    ``upnl_e18`` and ``equity_e18`` are those of the row, None where it does not know them.
    """

    positions: Mapping[int | str, PositionAt]
    counted_upnl_e18: int
    balance_e18: int
    upnl_e18: int | None
    equity_e18: int | None
    status: str


NOWHERE = Standing({}, 0, 0, None, None, "nobody")
"""What stands of an account that there is not."""


def standing_of(body: Mapping[str, Any]) -> Standing:
    """Read what is explained out of the body of a valuation of any venue."""
    positions = {one["quote"]: _position(one) for one in body["positions"]}
    counted = sum(one.upnl_e18 or 0 for one in positions.values())
    upnl, equity = (None if body[name] is None else int(body[name]) for name in ("upnl", "equity"))
    balance = 0 if upnl is None or equity is None else equity - upnl
    return Standing(positions, counted, balance, upnl, equity, body["status"])


def terms_between(before: Standing, after: Standing, event: Event) -> Iterator[Term]:
    """The terms of an event: of each position that changed its uPnL or its size, and of the balance.

    Args:
        before: What stood before it.
        after: What stood after it.
        event: The event; one without a name is a look at the marks, and each term is named by what that found.
    """
    for quote in {**before.positions, **after.positions}:
        was, is_now = before.positions.get(quote), after.positions.get(quote)
        if was == is_now:
            continue
        change = _counted(is_now) - _counted(was)
        if change or _is_another(was, is_now):
            yield Term(_named(event, was, is_now), quote, was, is_now, change, 0)
    if after.balance_e18 != before.balance_e18:
        change = after.balance_e18 - before.balance_e18
        if not event.name:
            # A price made the account known; or else what it holds beside its positions is worth more or less.
            became_known = (before.upnl_e18 is None) != (after.upnl_e18 is None)
            event = event._replace(name=PRICE if became_known else CONVERSION)
        yield Term(event, None, None, None, 0, change)


def _named(event: Event, was: PositionAt | None, is_now: PositionAt | None) -> Event:
    """Name what a look at the marks found of a position: its price, another source, or an amount converted anew."""
    if event.name:
        return event
    if was is None or is_now is None or was.mark_e18 == is_now.mark_e18:
        return event._replace(name=CONVERSION)
    is_other = was.mark_key not in {None, is_now.mark_key}
    return event._replace(name=SOURCE if is_other else PRICE)


def _position(body: Mapping[str, Any]) -> PositionAt:
    size = int(body["quantity"])
    return PositionAt(
        body["symbol"],
        size if body["side"] == "long" else -size,
        int(body["opened_price"]),
        None if body["mark"] is None else int(body["mark"]),
        body["mark_key"],
        body["mark_offset"],
        None if body["upnl"] is None else int(body["upnl"]),
    )


def _counted(position: PositionAt | None) -> int:
    return 0 if position is None or position.upnl_e18 is None else position.upnl_e18


def _is_another(one: PositionAt | None, other: PositionAt | None) -> bool:
    if one is None or other is None:
        return True
    return (one.size_e18, one.opened_e18) != (other.size_e18, other.opened_e18)
