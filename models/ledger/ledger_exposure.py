"""The line by which the book chooses whom to value: an account's room before liquidation, as marks move a little.

What an account is worth is a sum of products of marks: price x conversion. A product of n marks of which none moves by
more than ``MOVE_MAX`` is off its tangent by at most ((1 + MOVE_MAX)^n - 1 - n x MOVE_MAX) of itself: that is its slack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from models.book_figures import MOVE_MAX, Exposure
from models.ledger.ledger_objects import pair_of
from models.ledger.ledger_pricing import margin_wallets, path_of, price, settings_of
from models.money import E18

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.book_figures import Market
    from models.ledger.ledger_pricing import Conversion, Priced, PricedPosition
    from models.ledger.ledger_state import Holdings
    from models.venue import Inputs

# A dozen roundings of doubles, 1.1e-16 each, at every step of every product; and the truncations of 1e-18.
_ROUNDING = 1e-13
_TRUNCATION = 1e-15
# A whole percentage above MOVE_MAX, for integers.
_MOVED_PERCENT = 2


class _Product(NamedTuple):
    """``factor`` x the marks of ``markets``; a market may be in it more than once."""

    factor: float
    markets: tuple[str, ...]


def exposure_of(deployment: str, holdings: Holdings, inputs: Inputs) -> Exposure:
    """Draw the line of an account at the marks in use; a suspect one has none.

    Args:
        deployment: The account's.
        holdings: What it has.
        inputs: Marks and settings.

    Returns:
        Without amounts while anything is missing: it has its markets alone, so that it is valued when one of them gets
        a mark.
    """
    if holdings.suspect is not None:
        return Exposure({}, 0.0, 0.0)
    priced = price(holdings, inputs)
    if not priced.is_complete:
        known: dict[Market, float] = {(deployment, market): 0.0 for market in _markets(holdings, inputs)}
        return Exposure(known, 0.0, 0.0, slack=0.0)
    marks = {market: mark_e18 / E18 for market, mark_e18 in _marks(priced)}
    slopes: dict[Market, float] = {(deployment, market): 0.0 for market in marks}
    room = gross = slack = 0.0
    is_linear = all(len(one.settings.tiers) == 1 for one in priced.known_positions)
    for product in _products(priced):
        is_linear = is_linear and len(product.markets) <= 1
        value = product.factor
        for market in product.markets:
            value *= marks[market]
        room += value
        gross += abs(value)
        slack += abs(value) * _bend(len(product.markets))
        for market in product.markets:
            slopes[deployment, market] += value / marks[market]
    rounding = gross * _ROUNDING + _TRUNCATION * (len(priced.positions) + len(priced.wallets))
    cost = sum(slope * marks[str(market)] for (_, market), slope in slopes.items())
    if is_linear:
        return Exposure(slopes, cost, room - rounding)
    return Exposure(slopes, cost, room - rounding, slack + sum(_beyond_tier(one) for one in priced.known_positions))


def _products(priced: Priced) -> Iterator[_Product]:
    """What net value less required margin is the sum of, as long as no notional changes its tier."""
    for wallet in priced.known_wallets:
        yield _Product(wallet.balance_e18 / E18, _legs(wallet.conversion))
    for one in priced.known_positions:
        legs, amount = _legs(one.conversion), one.amount_e18 / E18
        rate_e18, less_e54 = one.settings.maintenance.line_at(one.notional_e36)
        per_price = amount - abs(amount) * ((one.settings.close_fee_e18 + rate_e18) / E18)
        yield _Product(per_price, (one.settings.price, *legs))
        yield _Product(less_e54 / E18**3 - amount * (one.base_e18 / E18), legs)


def _legs(conversion: Conversion) -> tuple[str, ...]:
    return tuple(leg.market for leg in conversion.legs)


def _bend(factors: int) -> float:
    """By what share of itself a product of marks may be off its tangent."""
    return 0.0 if factors <= 1 else (1 + MOVE_MAX) ** factors - 1 - factors * MOVE_MAX


def _beyond_tier(one: PricedPosition) -> float:
    """By how much more the required margin may rise than the line of its tier does, in USD."""
    brackets, notional_e36 = one.settings.maintenance, one.notional_e36
    rate_e18, less_e54 = brackets.line_at(notional_e36)
    farthest = max(
        brackets.margin_e54(end_e36) - (end_e36 * rate_e18 - less_e54)
        for end_e36 in (notional_e36 * (100 - _MOVED_PERCENT) // 100, notional_e36 * (100 + _MOVED_PERCENT) // 100)
    )
    rate = one.conversion.rate / one.conversion.scale
    return farthest / E18**3 * rate * (1 + MOVE_MAX) ** len(one.conversion.legs)


def _marks(priced: Priced) -> Iterator[tuple[str, int]]:
    for one in priced.known_positions:
        yield one.settings.price, one.price.mark_e18
    conversions = [one.conversion for one in priced.known_positions] + [one.conversion for one in priced.known_wallets]
    for conversion in conversions:
        for leg in conversion.legs:
            yield leg.market, leg.mark.mark_e18


def _markets(holdings: Holdings, inputs: Inputs) -> Iterator[str]:
    """Every market that the settings name for what an account has, whether it has a mark or not."""
    for one in holdings.positions:
        settings = settings_of(one.symbol, inputs)
        if settings is not None:
            yield settings.price
        yield from path_of(pair_of(one.symbol).quote, inputs) or ()
    for wallet in margin_wallets(holdings):
        yield from path_of(wallet.currency, inputs) or ()
