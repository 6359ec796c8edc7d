"""Prices as Flash's oracle accounts say them, and the arithmetic that its SDK does with them.

Every division truncates toward zero, as that of BN does, in which the SDK calculates.
"""

from __future__ import annotations

from typing import NamedTuple

from models.errors import TidemarkError
from models.money import divide_toward_zero

USD_DECIMALS = 6
BPS_DECIMALS = 4
RATE_DECIMALS = 9
BPS: int = 10**BPS_DECIMALS
RATE: int = 10**RATE_DECIMALS

# A price of 64 bits has at most 20 digits, so no market has more decimals. A hostile exponent would cost 2^31 digits.
_EXPONENT_MIN = -20


class Uncomputable(TidemarkError):
    """A position or an order has no figures at what is known: a price, a rate or a size is one nobody divides by."""


class Unpriced(Uncomputable):
    """A position or an order has no figures since a token has no price."""


class OraclePrice(NamedTuple):
    """A price in USD, ``price x 10^exponent``.

    Attributes:
        price: From 0 to 2^64 - 1 as an oracle says it.
        exponent: Mostly -8.
        confidence: By how much the price may be wrong, at the same exponent.
        publish_time_s: When it was said, in seconds of Unix time.
    """

    price: int
    exponent: int
    confidence: int = 0
    publish_time_s: int = 0

    def at_exponent(self, exponent: int) -> OraclePrice:
        """The same price with another exponent; digits that it does not have are cut off.

        Raises:
            Uncomputable: An exponent is not one that a price has.
        """
        check_exponent(exponent)
        if exponent == self.exponent:
            return self
        check_exponent(self.exponent)
        return self._replace(
            price=shifted(self.price, self.exponent - exponent),
            confidence=shifted(self.confidence, self.exponent - exponent),
            exponent=exponent,
        )

    def usd_e6(self, amount: int, decimals: int, multiplier_e9: int = 0) -> int:
        """What an amount of tokens is worth.

        Args:
            amount: In the token's smallest unit.
            decimals: Of the token, 0 to 255.
            multiplier_e9: How many tokens one unit stands for, at 1e9; 0 says that it stands for one.

        Returns:
            USD at 1e6, truncated.

        Raises:
            Uncomputable: The exponent is not one that a price has.
        """
        check_exponent(self.exponent)
        return shifted(amount * self._multiplied(multiplier_e9), self.exponent - decimals + USD_DECIMALS)

    def token_amount(self, usd_e6: int, decimals: int, multiplier_e9: int = 0) -> int:
        """How many tokens an amount of USD is, the reverse of ``usd_e6``.

        Args:
            usd_e6: USD at 1e6.
            decimals: Of the token, 0 to 255.
            multiplier_e9: As of ``usd_e6``.

        Returns:
            In the token's smallest unit, truncated; 0 where the price is 0, as the SDK has it.

        Raises:
            Uncomputable: The exponent is not one that a price has, or the multiplier leaves nothing of the price.
        """
        check_exponent(self.exponent)
        if usd_e6 == 0 or self.price == 0:
            return 0
        each = self._multiplied(multiplier_e9)
        # The SDK raises the dividend by the decimals of both sides, divides, and takes the surplus off again.
        raised = divided(usd_e6 * 10 ** (decimals - self.exponent), each, "the price of the token")
        return shifted(raised, -USD_DECIMALS)

    def _multiplied(self, multiplier_e9: int) -> int:
        return self.price if multiplier_e9 == 0 else divide_toward_zero(self.price * multiplier_e9, RATE)


class PriceBounds(NamedTuple):
    """When a custody doubts its oracle.

    Attributes:
        stable: Whether the token is to be worth one USD, so that the price is compared with that and not its average.
        max_divergence_bps: The divergence from which the confidence counts.
        max_confidence_bps: The confidence, as a part of the price, from which it is taken off.
    """

    stable: bool
    max_divergence_bps: int
    max_confidence_bps: int


def settled(spot: OraclePrice, average: OraclePrice, bounds: PriceBounds) -> OraclePrice:
    """The price at which a custody settles, as the SDK's ``getMinAndMaxOraclePriceSync`` leaves it.

    The SDK means to answer a lower and a higher price, but both are one object. So its confidence is taken off and put
    on again where it is narrow, and stays off where it is wide; each call takes it off once more.

    Args:
        spot: The price.
        average: Its exponential moving average.
        bounds: When the custody doubts the price.

    Raises:
        Uncomputable: A price is 0 that something is divided by, or has an exponent that no price has.
    """
    reference = average
    if bounds.stable:
        check_exponent(spot.exponent)
        reference = OraclePrice(10**-spot.exponent, spot.exponent)
    if _divergence_bps(spot, reference) < bounds.max_divergence_bps:
        return spot
    confidence_bps = divided(spot.confidence * BPS, spot.price, "the price")
    if confidence_bps < bounds.max_confidence_bps:
        return spot
    return spot._replace(price=spot.price - spot.confidence)


def _divergence_bps(spot: OraclePrice, reference: OraclePrice) -> int:
    exponent = min(spot.exponent, reference.exponent)
    spot, reference = spot.at_exponent(exponent), reference.at_exponent(exponent)
    if reference.price == 0 and spot.price <= 0:
        return 0
    # The SDK divides before it scales, so all that is left of most divergences is 0.
    whole = divided(abs(spot.price - reference.price), reference.price, "the average price")
    return shifted(whole, spot.exponent + BPS_DECIMALS)


def check_exponent(exponent: int) -> None:
    """Refuse an exponent that no price has.

    Raises:
        Uncomputable: It is not negative, or beyond the digits of a price.
    """
    if not _EXPONENT_MIN <= exponent < 0:
        msg = f"expected a price's exponent from {_EXPONENT_MIN} to -1, found {exponent}"
        raise Uncomputable(msg)


def shifted(value: int, digits: int) -> int:
    """``value x 10^digits``, truncated toward zero where ``digits`` is negative."""
    return value * 10**digits if digits >= 0 else divide_toward_zero(value, 10**-digits)


def divided(numerator: int, denominator: int, what: str) -> int:
    """Divide toward zero, whatever the signs.

    Args:
        numerator: What is divided.
        denominator: By what.
        what: What the denominator is, for the error.

    Raises:
        Uncomputable: The denominator is 0.
    """
    if denominator == 0:
        msg = f"expected {what} not to be 0, since something is divided by it"
        raise Uncomputable(msg)
    return divide_toward_zero(numerator if denominator > 0 else -numerator, abs(denominator))
