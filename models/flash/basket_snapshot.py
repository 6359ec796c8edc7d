"""A basket as the venue's interface ships it: its bytes, and the figures of its positions and orders by market."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from models.flash.basket_views import orders_view, position_view
from models.flash.flash_prices import Uncomputable
from models.flash.position_terms import metrics_of
from models.flash.solana_keys import key_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.flash.basket_views import Calculate
    from models.flash.flash_accounts import Basket, MarketOrders, Position
    from models.flash.flash_listing import FoundMarket, Listing


class Opened(NamedTuple):
    """What of a basket there are figures of: positions of a size, and markets with an order, by the market's key.

    Each key stands as text and as bytes.
    """

    positions: Sequence[tuple[str, bytes, Position]]
    orders: Sequence[tuple[str, bytes, MarketOrders]]


class Figures(NamedTuple):
    """Figures by the text of the market's key, and why those of others are missing.

    Markets that are of no active pool are in neither.
    """

    shown: dict[str, dict[str, Any]]
    omitted: dict[str, Uncomputable]


def opened_of(basket: Basket) -> Opened:
    """Find what of a basket there are figures of."""
    return Opened(
        [(key_text(slot.market), slot.market, slot.position) for slot in basket.positions if slot.position.size_amount],
        [(key_text(slot.market), slot.market, slot.order) for slot in basket.orders if _has_order(slot.order)],
    )


def position_figures(opened: Opened, listing: Listing, calculate: Calculate = metrics_of) -> Figures:
    """The figures of all positions: fields of ``MbPositionMetricsDto`` by market.

    Args:
        opened: The positions.
        listing: The markets at the moment that the figures are of.
        calculate: As for ``position_view``.
    """
    figures = Figures({}, {})
    found: dict[str, tuple[Position, FoundMarket]] = {}
    for text, key, position in opened.positions:
        if _is_active(text, listing):
            try:
                found[text] = position, listing.market(key)
            except Uncomputable as error:
                figures.omitted[text] = error
    # Fees of all accrue to one instant, which all marks together say.
    now_s = listing.time_s(market for _, market in found.values())
    for text, (position, market) in found.items():
        try:
            figures.shown[text] = position_view(position, market.listed, now_s, calculate)
        except Uncomputable as error:
            figures.omitted[text] = error
    return figures


def order_figures(opened: Opened, listing: Listing) -> Figures:
    """The figures of all orders: fields of ``MbOrderMetricsDto`` by market.

    Args:
        opened: The orders.
        listing: The markets at the moment that the figures are of.
    """
    figures = Figures({}, {})
    for text, key, orders in opened.orders:
        if _is_active(text, listing):
            try:
                figures.shown[text] = orders_view(orders, listing.market(key).listed, listing.custodies_of(key))
            except Uncomputable as error:
                figures.omitted[text] = error
    return figures


def _is_active(market: str, listing: Listing) -> bool:
    return listing.table is not None and listing.table.market(market) is not None


def _has_order(orders: MarketOrders) -> bool:
    triggers = (*orders.take_profit_orders, *orders.stop_loss_orders)
    return any(one.size_amount for one in orders.limit_orders) or any(one.trigger_size for one in triggers)
