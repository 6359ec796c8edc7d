"""At which price of its market an account is liquidated: where its net value is its required margin.

Net value less required margin is a line of the price between the bounds of the tiers, wherever the market occurs: as
the price of positions, and as a leg of conversions. Margin rises faster from tier to tier, so the account is sound in
one interval of prices. It is found exactly, in integers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from models.ledger.ledger_pricing import PricedPosition
from models.money import E18

if TYPE_CHECKING:
    from collections.abc import Iterable

    from models.ledger.ledger_pricing import Conversion, ConvertedWallet, Priced

# An amount, a fee or margin rate and three marks, each at 1e18.
_SCALE = E18**5


class SoundPrices(NamedTuple):
    """The prices at 1e18, from ``lowest`` to ``highest``, at which an account is not liquidated.

    ``lowest`` is None where it is sound down to 0, ``highest`` where no price is too high.
    """

    lowest: int | None
    highest: int | None


class _Line(NamedTuple):
    """A value as a line of the price: ``at_0 + slope x price``, scaled by 1e90; the price is at 1e18."""

    at_0: int
    slope: int


class Liquidations:
    """At which prices of each market an account is liquidated.

    What does not depend on a market is summed up once for all of them: with a sum for each, an account of a thousand
    positions would take a worker for seconds whenever it is valued.

    Args:
        priced: The account, complete.
    """

    def __init__(self, priced: Priced) -> None:
        self._worth = 0
        self._with: dict[str, list[ConvertedWallet | PricedPosition]] = {}
        self._found: dict[str, SoundPrices | None] = {}
        held: list[ConvertedWallet | PricedPosition] = [*priced.known_wallets, *priced.known_positions]
        for one in held:
            self._worth += _worth_of(one)
            for market in {leg.market for leg in one.conversion.legs} | _priced_by(one):
                self._with.setdefault(market, []).append(one)

    def price_e18(self, position: PricedPosition) -> int | None:
        """Find the price of a position's market at which its account is liquidated, all other prices as they are.

        Args:
            position: One of the account's.

        Returns:
            For a long position the price below which it is, for a short one the price above which; where there is none
            on that side, the one on the other. None where the account is sound at every price, or at none.
        """
        sound = self._sound_prices(position.settings.price)
        if sound is None:
            return None
        below, above = sound
        first, second = (below, above) if position.amount_e18 > 0 else (above, below)
        return second if first is None else first

    def _sound_prices(self, market: str) -> SoundPrices | None:
        if market not in self._found:
            touched = self._with.get(market, [])
            self._found[market] = _sound_prices(self._worth - sum(map(_worth_of, touched)), touched, market)
        return self._found[market]


def _priced_by(one: ConvertedWallet | PricedPosition) -> set[str]:
    return {one.settings.price} if isinstance(one, PricedPosition) else set()


def _converted_amount(one: ConvertedWallet | PricedPosition) -> tuple[int, int]:
    """What is converted of a wallet or of a position in another market, and what it is scaled by."""
    if isinstance(one, PricedPosition):
        return one.pl_e54 - one.settings.maintenance.margin_e54(one.notional_e36), E18**3
    return one.balance_e18, E18


def _worth_of(one: ConvertedWallet | PricedPosition) -> int:
    """What it adds to net value less required margin at the prices of now, scaled by 1e90."""
    amount, scale = _converted_amount(one)
    return amount * one.conversion.rate * (_SCALE // (scale * one.conversion.scale))


def _sound_prices(worth: int, touched: Iterable[ConvertedWallet | PricedPosition], market: str) -> SoundPrices | None:
    """Find the prices of a market at which an account is not liquidated.

    Args:
        worth: What all that does not depend on the market adds, scaled by 1e90.
        touched: What depends on it.
        market: The market.

    Returns:
        None where there are none, or where the value is no line of the price, since a position in the market is
        converted by the mark of the same market.
    """
    fixed = _Line(worth, 0)
    bending: list[PricedPosition] = []
    for one in touched:
        if isinstance(one, PricedPosition) and one.settings.price == market:
            if any(leg.market == market for leg in one.conversion.legs):
                return None
            bending.append(one)
            continue
        line = _converted(*_converted_amount(one), one.conversion, market)
        if line is None:
            return None
        fixed = _sum(fixed, line)
    sound = [
        found
        for above_e18, upto_e18 in _pieces(bending)
        if (found := _sound_in(above_e18, upto_e18, fixed, bending)) is not None
    ]
    if not sound:
        return None
    lowest, highest = min(low for low, _ in sound), [high for _, high in sound]
    known = [high for high in highest if high is not None]
    return SoundPrices(None if lowest == 1 else lowest, max(known) if len(known) == len(highest) else None)


def _pieces(bending: Iterable[PricedPosition]) -> list[tuple[int, int | None]]:
    """The ranges of prices, at 1e18, from above the first up to the second, in which no notional changes its tier."""
    bounds = {
        bracket.bound_e18 * E18 // abs(one.amount_e18)
        for one in bending
        for bracket in one.settings.maintenance.brackets
        if bracket.bound_e18 is not None
    }
    edges = sorted({0, *bounds})
    return list(zip(edges, [*edges[1:], None], strict=True))


def _sound_in(
    above_e18: int, upto_e18: int | None, fixed: _Line, bending: Iterable[PricedPosition]
) -> tuple[int, int | None] | None:
    """The part of a range of prices in which the account is sound, its last None where it has no end."""
    line = fixed
    for one in bending:
        line = _sum(line, _bent(one, above_e18 + 1))
    low, high = above_e18 + 1, upto_e18
    if line.slope > 0:
        low = max(low, -(line.at_0 // line.slope))
    elif line.slope < 0:
        last = line.at_0 // -line.slope
        high = last if high is None else min(high, last)
    elif line.at_0 < 0:
        return None
    return (low, high) if high is None or low <= high else None


def _bent(one: PricedPosition, price_e18: int) -> _Line:
    """What a position adds, as the line of its market's price that holds around a price."""
    size = abs(one.amount_e18)
    rate_e18, less_e54 = one.settings.maintenance.line_at(size * price_e18)
    up = _SCALE // (E18**3 * one.conversion.scale) * one.conversion.rate
    slope_e36 = one.amount_e18 * E18 - size * (one.settings.close_fee_e18 + rate_e18)
    return _Line((less_e54 - one.amount_e18 * one.base_e18 * E18) * up, slope_e36 * up)


def _converted(value: int, scale: int, conversion: Conversion, market: str) -> _Line | None:
    """A value, scaled by ``scale``, in USD; None where the market converts it more than once."""
    rate, times, at_scale = 1, 0, scale
    for leg in conversion.legs:
        if leg.market == market:
            times += 1
        else:
            rate *= leg.mark.mark_e18
            at_scale *= E18
    if times > 1:
        return None
    if times:
        return _Line(0, value * rate * (_SCALE // (at_scale * E18)))
    return _Line(value * rate * (_SCALE // at_scale), 0)


def _sum(one: _Line, other: _Line) -> _Line:
    return _Line(one.at_0 + other.at_0, one.slope + other.slope)
