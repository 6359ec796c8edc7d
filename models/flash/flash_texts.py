"""Figures of Flash as texts for users, rounded as its SDK rounds them: toward zero, by BigNumber.js."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from models.flash.flash_prices import BPS_DECIMALS, check_exponent
from models.flash.position_metrics import LEVERAGE_UNBOUNDED

if TYPE_CHECKING:
    from models.flash.flash_prices import OraclePrice

NOTHING = "-"
"""The text of a price that an order does not have."""

_LEVERAGE_PRECISION = 2
_SHORT_FROM = 1_000
_SHORT_STEPS = ((9, "B"), (6, "M"), (3, "K"))


class Token(NamedTuple):
    """A token as the venue's pool configuration lists it.

    Attributes:
        symbol: Such as ``SOL``.
        usd_precision: With how many decimals its price, and USD of its markets, are shown.
        token_precision: With how many decimals amounts of it are shown.
    """

    symbol: str
    usd_precision: int
    token_precision: int


def native_text(amount: int, decimals: int, precision: int) -> str:
    """Write an amount as ``nativeToUiDecimals`` does.

    Args:
        amount: In the smallest unit, signed.
        decimals: How many of its digits stand behind the point, 0 or more.
        precision: How many of them are shown; the others are cut off.

    Returns:
        Such as ``"-12.50"``. What is cut off to nothing keeps its sign: ``"-0.00"``.
    """
    cut = abs(amount) * 10**precision // 10**decimals
    digits = str(cut).rjust(precision + 1, "0")
    point = len(digits) - precision
    text = f"{digits[:point]}.{digits[point:]}" if precision else digits
    return f"-{text}" if amount < 0 else text


def short_text(amount: int, decimals: int, precision: int) -> str:
    """Write an amount in thousands (K), millions (M) or billions (B), with one decimal, the others cut off.

    The venue publishes no rule for its ``…UiKmb`` fields, only examples; this is the simplest that has them all.

    Args:
        amount: In the smallest unit, signed.
        decimals: How many of its digits stand behind the point, 0 or more.
        precision: As of ``native_text``, which writes what is below 1,000.
    """
    whole = abs(amount) // 10**decimals
    if whole < _SHORT_FROM:
        return native_text(amount, decimals, precision)
    power, unit = next(step for step in _SHORT_STEPS if whole >= 10 ** step[0])
    return native_text(amount, decimals + power, 1) + unit


def price_text(price: OraclePrice, token: Token) -> str:
    """Write a price with the decimals of its token.

    Raises:
        Uncomputable: Its exponent is not one that a price has.
    """
    if price.price == 0:
        # The prices of nothing have an exponent of 0, or whatever an account says.
        return native_text(0, 0, token.usd_precision)
    check_exponent(price.exponent)
    return native_text(price.price, -price.exponent, token.usd_precision)


def price_or_nothing(price: OraclePrice, token: Token) -> str:
    """Write a price that an order may not have.

    Raises:
        Uncomputable: Its exponent is not one that a price has.
    """
    return price_text(price, token) if price.price else NOTHING


def leverage_text(leverage_bps: int) -> str:
    """Write a leverage with two decimals, ``Infinity`` where no margin is left."""
    if leverage_bps == LEVERAGE_UNBOUNDED:
        return "Infinity"
    return native_text(leverage_bps, BPS_DECIMALS, _LEVERAGE_PRECISION)


def price_object(price: OraclePrice) -> dict[str, str]:
    """A price as the venue's ``OraclePriceDto``, of which every field is a text."""
    return {
        "price": str(price.price),
        "exponent": str(price.exponent),
        "confidence": str(price.confidence),
        "timestamp": str(price.publish_time_s),
    }
