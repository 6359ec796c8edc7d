"""An account's columns of ``valuations`` (models/valuations.py), all money in USD.

``upnl`` and ``notional`` are of the price alone. ``upnl_net`` is the venue's own: what closing everything now would
bring, with spread, cap, delay and fees. ``equity`` is the margin of all positions. Each position is liquidated by
itself, so ``available_balance`` is the least that any of them has left before that, and ``distance_bps`` of the nearest
one. A position's id is its market's address, and its ``symbol`` the target's token, at whose mark it is valued.
``conversions`` names the marks of collaterals. ``unpriced`` counts positions whose market, custody or mark is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.book_figures import Shown
from models.flash.basket_worth import found_markets, held_positions, worth_of
from models.flash.flash_listing import Listing
from models.flash.flash_prices import OraclePrice, Uncomputable, check_exponent, shifted
from models.flash.solana_keys import key_text
from models.money import E18, show_e18
from models.valuations import NO_ACCOUNT, SUSPECT, UNPRICED, UNSUPPORTED, VALUED, Body, distance_bps
from models.venue import Valued

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.flash.basket_worth import Held, Worth
    from models.flash.flash_account import FlashAccount
    from models.flash.flash_listing import FoundMarket
    from models.venue import Inputs

_E6_TO_E18 = 10**12
_E18_DECIMALS = 18


def value_account(account: FlashAccount, term: int, inputs: Inputs, *, unsupported: bool) -> Valued:
    """Value an account.

    Args:
        account: The account.
        term: The term of its row.
        inputs: Marks and references.
        unsupported: Whether its deployment is unsupported, so that its figures are unknown.
    """
    unknown = _unknown(account, unsupported=unsupported)
    positions = held_positions(account.contents)
    listing = Listing(inputs)
    found = found_markets(positions, listing) if unknown is None else [None] * len(positions)
    now_s = listing.time_s(found)
    worths = [
        None if market is None else worth_of(one.position, market, now_s)
        for one, market in zip(positions, found, strict=True)
    ]
    priced = [worth for worth in worths if worth is not None]
    is_complete = unknown is None and len(priced) == len(positions)
    figures: dict[str, Any] = dict.fromkeys(
        ("upnl", "upnl_net", "notional", "equity", "available_balance", "liquidatable", "distance_bps")
    )
    shown = None
    if is_complete:
        figures, shown = _figures(priced)
    marks = [mark for one in found if one is not None for mark in (one.target, one.collateral)]
    body: Body = {
        "account_order": [term, account.version],
        "position": list(account.applied),
        "slot": None if account.basket is None else str(account.basket.slot),
        "status": (VALUED if is_complete else UNPRICED) if unknown is None else unknown,
        "stale": sum(one.stale for one in found if one is not None),
        "unpriced": len(positions) - len(priced) if unknown is None else 0,
        **figures,
        "as_of_ms": min((mark.event_ms for mark in marks), default=_heard_ms(account)),
        "positions": [
            _position(*one, listing if unknown is None else None) for one in zip(positions, found, worths, strict=True)
        ],
        "conversions": _conversions(found),
        "owner": account.owner,
        "last_complete": None,
    }
    return Valued(body, shown)


def flash_extras(body: Mapping[str, Any]) -> dict[str, Any]:
    """What users are shown beside what all accounts have: the venue's own uPnL, and the slot of the basket."""
    shown: dict[str, Any] = {}
    if body["slot"] is not None:
        shown["slot"] = body["slot"]
    if body["upnl_net"] is not None:
        shown["upnl_net"] = show_e18(body["upnl_net"])
    return shown


def _unknown(account: FlashAccount, *, unsupported: bool) -> str | None:
    if unsupported:
        return UNSUPPORTED
    if account.suspect is not None:
        return SUSPECT
    return None if account.basket is not None and account.basket.data is not None else NO_ACCOUNT


def _heard_ms(account: FlashAccount) -> int:
    return max((part.received_ms for part in (account.basket, account.ledger) if part is not None), default=0)


def _figures(worths: Sequence[Worth]) -> tuple[dict[str, Any], Shown]:
    upnl = sum(one.upnl_e18 for one in worths)
    notional = sum(one.notional_e18 for one in worths)
    net = sum(one.metrics.pnl_usd_e6 - one.metrics.fees_usd_e6 for one in worths) * _E6_TO_E18
    equity = sum(one.metrics.margin_usd_e6 for one in worths) * _E6_TO_E18
    # Without positions nothing can be liquidated, and nothing is at stake.
    available = min((one.room_e6 for one in worths), default=0) * _E6_TO_E18
    distances = [distance_bps(one.room_e6 * _E6_TO_E18, one.notional_e18) for one in worths]
    texts = {"upnl": upnl, "upnl_net": net, "notional": notional, "equity": equity, "available_balance": available}
    figures: dict[str, Any] = {name: str(value) for name, value in texts.items()}
    figures["liquidatable"] = available < 0
    figures["distance_bps"] = min((one for one in distances if one is not None), default=None)
    return figures, Shown(available / E18, notional / E18)


def _conversions(found: Sequence[FoundMarket | None]) -> Body:
    """The marks of collaterals by their symbols, each with its key and its tick's offset."""
    marks = {one.collateral_symbol: one.collateral for one in found if one is not None}
    return {
        symbol: {"mark": str(mark.mark_e18), "mark_key": mark.key, "mark_offset": mark.offset, "stale": mark.stale}
        for symbol, mark in sorted(marks.items())
    }


def _position(held: Held, found: FoundMarket | None, worth: Worth | None, listing: Listing | None) -> Body:
    """The row's part of a position; without a ``listing`` its figures are unknown."""
    position = held.position
    address = key_text(held.market)
    symbols = () if listing is None else listing.symbols_of(held.market)
    mark = None if found is None else found.target
    liquidation = None if worth is None else worth.metrics.liquidation
    return {
        "quote": address,
        "symbol": found.target_symbol if found is not None else symbols[0] if symbols else address,
        "side": "long" if listing is None else listing.side_of(held.market),
        "quantity": str(shifted(position.size_amount, _E18_DECIMALS - position.size_decimals)),
        "opened_price": str(_price_e18(OraclePrice(*position.entry_price))),
        "mark": None if mark is None else str(mark.mark_e18),
        "mark_key": None if mark is None else mark.key,
        "mark_offset": None if mark is None else mark.offset,
        "upnl": None if worth is None else str(worth.upnl_e18),
        "notional": None if worth is None else str(worth.notional_e18),
        "liquidation_price": None if liquidation is None or not liquidation.price else str(_price_e18(liquidation)),
        # That of its own mark; the account counts those of collaterals too.
        "stale": mark is not None and mark.stale,
    }


def _price_e18(price: OraclePrice) -> int:
    """A price at 1e18, 0 where its exponent is not one that a price has."""
    try:
        check_exponent(price.exponent)
    except Uncomputable:
        return 0
    return shifted(price.price, price.exponent + _E18_DECIMALS)
