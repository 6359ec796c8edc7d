"""What a Flash position is worth, in integers, as ``getPositionMetrics`` of flash-sdk 15.17.2 calculates it.

docs/flash.md has each formula with a worked case. What the SDK does oddly is done likewise and said there, since the
venue's own figures are what users compare with.
"""

from __future__ import annotations

from typing import NamedTuple

from models.flash.flash_prices import (
    BPS,
    RATE,
    RATE_DECIMALS,
    USD_DECIMALS,
    OraclePrice,
    Uncomputable,
    check_exponent,
    divided,
    shifted,
)
from models.money import divide_toward_zero

LEVERAGE_UNBOUNDED = 2**53 - 1
"""The leverage of what has no margin left: JavaScript's ``Number.MAX_SAFE_INTEGER``, which the SDK answers."""

_USD: int = 10**USD_DECIMALS
_SPREAD_SCALE = RATE * BPS
_S_PER_HOUR = 3600


class PositionTerms(NamedTuple):
    """What a position's figures depend on of the position itself.

    Attributes:
        long: Whether it gains while the price rises; its market says so.
        entry: The price at which it was entered.
        reference_price: The price at which a gain counts while the delay lasts, at the exponent of ``entry``.
        size_amount: How many tokens, in their smallest unit.
        size_decimals: The decimals of ``size_amount``.
        size_usd_e6: What it was worth when entered.
        collateral_usd_e6: What was put in.
        fee_snapshot_e9: The cumulative borrow fee up to which it has paid, a part of its size at 1e9.
        unsettled_fees_usd_e6: Borrow fees that are due from before.
        update_time_s: When it was last changed, in seconds of Unix time.
    """

    long: bool
    entry: OraclePrice
    reference_price: int
    size_amount: int
    size_decimals: int
    size_usd_e6: int
    collateral_usd_e6: int
    fee_snapshot_e9: int
    unsettled_fees_usd_e6: int
    update_time_s: int

    @property
    def empty(self) -> bool:
        """Whether it is a position of nothing, whose figures are 0 at any price."""
        return self.size_usd_e6 == 0 or self.entry.price == 0


class MarketTerms(NamedTuple):
    """What a position's figures depend on of the custody of its market's target.

    Attributes:
        spread_min_e6: The spread of the smallest trade, a part of the price at 1e6.
        spread_max_e6: That of the largest.
        max_position_usd_e6: The largest size.
        max_leverage_bps: The leverage at which a position is liquidated, at 1e4.
        close_fee_e9: The fee of closing, a part of the size at 1e9.
        delay_s: For how long after a change a gain counts only up to the reference price.
    """

    spread_min_e6: int
    spread_max_e6: int
    max_position_usd_e6: int
    max_leverage_bps: int
    close_fee_e9: int
    delay_s: int


class BorrowTerms(NamedTuple):
    """What borrowing costs: the state of the collateral's custody.

    Attributes:
        rate_e9: The fee of an hour, a part of the size at 1e9.
        cumulative_e9: All fees up to ``last_update_s``.
        last_update_s: Up to when, in seconds of Unix time.
    """

    rate_e9: int
    cumulative_e9: int
    last_update_s: int


class PositionMetrics(NamedTuple):
    """A position's figures; USD at 1e6.

    Attributes:
        profit_usd_e6: What it has gained, not more than is locked for it.
        loss_usd_e6: What it has lost; one of the two is 0.
        exit_fee_usd_e6: What closing it costs.
        borrow_fee_usd_e6: What is due for borrowing.
        margin_usd_e6: What would be left of it now, signed.
        leverage_bps: Size by margin at 1e4, ``LEVERAGE_UNBOUNDED`` where no margin is left.
        liquidation: The price at which it is liquidated; price and exponent are 0 where no price is low enough.
        exit: The price at which it would be closed, the spread included.
    """

    profit_usd_e6: int
    loss_usd_e6: int
    exit_fee_usd_e6: int
    borrow_fee_usd_e6: int
    margin_usd_e6: int
    leverage_bps: int
    liquidation: OraclePrice
    exit: OraclePrice

    @property
    def pnl_usd_e6(self) -> int:
        """Gain or loss before fees, signed."""
        return self.profit_usd_e6 - self.loss_usd_e6

    @property
    def fees_usd_e6(self) -> int:
        """All fees that are due on closing."""
        return self.exit_fee_usd_e6 + self.borrow_fee_usd_e6


def position_metrics(
    position: PositionTerms,
    market: MarketTerms,
    borrow: BorrowTerms,
    *,
    mark: OraclePrice,
    locked_usd_e6: int,
    now_s: int,
) -> PositionMetrics:
    """Calculate a position's figures.

    Args:
        position: The position.
        market: The custody of its target.
        borrow: The custody of its collateral.
        mark: The price of its target, as settled and before any spread.
        locked_usd_e6: What is locked for its gains, at the price of the collateral.
        now_s: The time, in seconds of Unix time.

    Raises:
        Uncomputable: The prices' exponents differ, or something is divided by 0.
    """
    if position.empty:
        return empty_metrics(position, mark)
    _expect_same_exponent(position, mark)
    exit_price = mark._replace(price=_with_spread(position.long, mark.price, _spread_e6(position.size_usd_e6, market)))
    profit, loss = _profit_and_loss(position, market, exit_price.price, locked_usd_e6, now_s)
    exit_fee = exit_fee_usd_e6(position.size_usd_e6, market)
    borrow_fee = _borrow_fee_usd_e6(position, borrow, now_s)
    margin = position.collateral_usd_e6 + profit - loss - exit_fee - borrow_fee
    return PositionMetrics(
        profit,
        loss,
        exit_fee,
        borrow_fee,
        margin,
        leverage_bps(position.size_usd_e6, margin),
        liquidation_price(position, market, exit_fee + borrow_fee),
        exit_price,
    )


def metrics_at_mark(
    position: PositionTerms, market: MarketTerms, borrow: BorrowTerms, *, mark: OraclePrice, now_s: int
) -> PositionMetrics:
    """Calculate a position's figures as the venue's interface shows them: its gain counts at the mark itself.

    The spread is not taken off, nothing is delayed, no profit is capped, and leverage is size by collateral. Fees and
    the liquidation price are those of ``position_metrics``.

    Args:
        position: The position.
        market: The custody of its target.
        borrow: The custody of its collateral.
        mark: The price of its target, as settled.
        now_s: The time, in seconds of Unix time.

    Raises:
        Uncomputable: The prices' exponents differ, or something is divided by 0.
    """
    if position.empty:
        return empty_metrics(position, mark)
    _expect_same_exponent(position, mark)
    rise = (1 if position.long else -1) * (mark.price - position.entry.price)
    gain = divide_toward_zero(rise * position.size_usd_e6, position.entry.price)
    exit_fee = exit_fee_usd_e6(position.size_usd_e6, market)
    borrow_fee = _borrow_fee_usd_e6(position, borrow, now_s)
    return PositionMetrics(
        max(gain, 0),
        max(-gain, 0),
        exit_fee,
        borrow_fee,
        position.collateral_usd_e6 + gain - exit_fee - borrow_fee,
        leverage_bps(position.size_usd_e6, position.collateral_usd_e6),
        liquidation_price(position, market, exit_fee + borrow_fee),
        mark,
    )


def empty_metrics(position: PositionTerms, mark: OraclePrice) -> PositionMetrics:
    """The figures of a position of nothing, which would be closed at the price as it is."""
    return PositionMetrics(0, 0, 0, 0, position.collateral_usd_e6, 0, OraclePrice(0, 0), mark)


def liquidation_price(position: PositionTerms, market: MarketTerms, fees_usd_e6: int) -> OraclePrice:
    """The price at which a position is liquidated: where its margin is its size by the greatest leverage.

    Args:
        position: The position.
        market: The custody of its target.
        fees_usd_e6: What closing it costs, and what is due for borrowing.

    Returns:
        At the exponent of the entry price; price and exponent are 0 where it would be below 0.

    Raises:
        Uncomputable: Something is divided by 0, or the entry price has an exponent that no price has.
    """
    check_exponent(position.entry.exponent)
    kept = divided(position.size_usd_e6 * BPS, market.max_leverage_bps, "the greatest leverage of the market")
    spare = position.collateral_usd_e6 - kept - fees_usd_e6
    # USD at 1e6 by an amount in its smallest unit: the price is at 1e9, and is then cut to the exponent of the entry.
    raised = shifted(abs(spare), position.size_decimals + RATE_DECIMALS - USD_DECIMALS)
    room = shifted(divided(raised, position.size_amount, "the size"), -RATE_DECIMALS - position.entry.exponent)
    away = room if spare >= 0 else -room
    price = position.entry.price - away if position.long else position.entry.price + away
    return OraclePrice(price, position.entry.exponent) if price >= 0 else OraclePrice(0, 0)


def exit_fee_usd_e6(size_usd_e6: int, market: MarketTerms) -> int:
    """What closing a size costs, in USD at 1e6, truncated."""
    return size_usd_e6 * market.close_fee_e9 // RATE


def leverage_bps(size_usd_e6: int, margin_usd_e6: int) -> int:
    """Size by margin at 1e4, truncated; ``LEVERAGE_UNBOUNDED`` where no margin is left."""
    return size_usd_e6 * BPS // margin_usd_e6 if margin_usd_e6 > 0 else LEVERAGE_UNBOUNDED


def _expect_same_exponent(position: PositionTerms, mark: OraclePrice) -> None:
    if mark.exponent != position.entry.exponent:
        msg = f"expected a price of the exponent {position.entry.exponent} of the entry price, found {mark.exponent}"
        raise Uncomputable(msg)


def _spread_e6(size_usd_e6: int, market: MarketTerms) -> int:
    slope = market.spread_max_e6 - market.spread_min_e6
    # The SDK leaves out the least spread as well where it is the greatest.
    if slope == 0 or size_usd_e6 == 0:
        return 0
    per_usd = divided(slope * _SPREAD_SCALE, market.max_position_usd_e6, "the largest position of the market")
    return market.spread_min_e6 + divide_toward_zero(per_usd * size_usd_e6, _SPREAD_SCALE)


def _with_spread(long: bool, price: int, spread_e6: int) -> int:  # noqa: FBT001 - a position is long or short
    by = divide_toward_zero(price * spread_e6, _USD)
    return price - by if long else price + by


def _profit_and_loss(
    position: PositionTerms, market: MarketTerms, exit_price: int, locked_usd_e6: int, now_s: int
) -> tuple[int, int]:
    direction = 1 if position.long else -1
    gain = direction * (exit_price - position.entry.price)
    if gain <= 0:
        return 0, _worth(position, -gain)
    if now_s <= position.update_time_s + market.delay_s:
        gain = max(direction * (position.reference_price - position.entry.price), 0)
    return min(_worth(position, gain), max(locked_usd_e6 - position.collateral_usd_e6, 0)), 0


def _worth(position: PositionTerms, price_difference: int) -> int:
    return OraclePrice(price_difference, position.entry.exponent).usd_e6(position.size_amount, position.size_decimals)


def _borrow_fee_usd_e6(position: PositionTerms, borrow: BorrowTerms, now_s: int) -> int:
    elapsed_s = max(now_s - borrow.last_update_s, 0)
    owed_e9 = borrow.cumulative_e9 + elapsed_s * borrow.rate_e9 // _S_PER_HOUR - position.fee_snapshot_e9
    return max(owed_e9, 0) * position.size_usd_e6 // RATE + position.unsettled_fees_usd_e6
