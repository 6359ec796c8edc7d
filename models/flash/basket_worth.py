"""What the positions of a basket are worth: the figures that an account's row and its exposure are both made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from models.flash.flash_prices import BPS, OraclePrice, Uncomputable, divided, shifted
from models.flash.position_terms import is_long, metrics_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from models.flash.flash_accounts import Basket, Position
    from models.flash.flash_listing import FoundMarket, Listing
    from models.flash.position_metrics import PositionMetrics
    from models.flash.position_terms import QuotedCustody

_E18_DECIMALS = 18


class Held(NamedTuple):
    """A position of a basket, with the address of its market."""

    market: bytes
    position: Position


class Worth(NamedTuple):
    """A position at its marks; USD at 1e18.

    Attributes:
        found: Its market.
        metrics: The venue's own figures, USD at 1e6.
        upnl_e18: What the price alone has gained or lost.
        notional_e18: The size at the mark.
        room_e6: What its margin has beyond what the venue asks for, signed; below 0 it can be liquidated.
    """

    found: FoundMarket
    metrics: PositionMetrics
    upnl_e18: int
    notional_e18: int
    room_e6: int


def held_positions(basket: Basket | None) -> tuple[Held, ...]:
    """The positions of a basket; a place of no size is none."""
    slots = () if basket is None else basket.positions
    return tuple(Held(slot.market, slot.position) for slot in slots if slot.position.size_amount)


def found_markets(positions: Iterable[Held], listing: Listing) -> list[FoundMarket | None]:
    """The market of each position, None where one is not known or has no mark."""
    found: list[FoundMarket | None] = []
    for one in positions:
        try:
            found.append(listing.market(one.market))
        except Uncomputable:
            found.append(None)
    return found


def worth_of(position: Position, found: FoundMarket, now_s: int) -> Worth | None:
    """Value a position.

    Args:
        position: The position.
        found: Its market, with its marks.
        now_s: The time, in seconds of Unix time.

    Returns:
        None where there are no figures at these marks.
    """
    listed = found.listed
    target, collateral = listed.target.quoted, listed.collateral.quoted
    try:
        metrics = metrics_of(position, listed.side, target, collateral, now_s)
        room_e6 = metrics.margin_usd_e6 - kept_usd_e6(position, target)
        mark, entry = target.quote.spot, OraclePrice(*position.entry_price)
        if position.size_usd == 0 or entry.price == 0:
            return Worth(found, metrics, 0, 0, room_e6)
        rise = mark.price - entry.price if is_long(listed.side) else entry.price - mark.price
        return Worth(found, metrics, _worth_e18(position, rise, mark), _worth_e18(position, mark.price, mark), room_e6)
    except Uncomputable:
        return None


def kept_usd_e6(position: Position, target: QuotedCustody) -> int:
    """The margin that the venue asks for: the size by the greatest leverage, in USD at 1e6.

    Raises:
        Uncomputable: The market allows no leverage at all.
    """
    most_bps = target.custody.pricing.max_leverage
    return divided(position.size_usd * BPS, most_bps, "the greatest leverage of the market")


def _worth_e18(position: Position, price: int, at: OraclePrice) -> int:
    return shifted(price * position.size_amount, at.exponent - position.size_decimals + _E18_DECIMALS)
