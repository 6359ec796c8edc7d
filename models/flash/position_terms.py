"""What a position's figures depend on, out of the accounts of Flash that say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from models.flash.flash_accounts import Side
from models.flash.flash_prices import OraclePrice, PriceBounds, Uncomputable, settled
from models.flash.position_metrics import (
    BorrowTerms,
    MarketTerms,
    PositionMetrics,
    PositionTerms,
    empty_metrics,
    metrics_at_mark,
    position_metrics,
)

if TYPE_CHECKING:
    from models.flash.flash_accounts import Custody, CustomOracle, Position


class Quote(NamedTuple):
    """What an oracle says of a token: its price, and the exponential moving average of it."""

    spot: OraclePrice
    average: OraclePrice


class QuotedCustody(NamedTuple):
    """A custody and what its oracle says."""

    custody: Custody
    quote: Quote


def quote_of(oracle: CustomOracle) -> Quote:
    """What an oracle's account says. Its price is that of the entry prices, of inverse markets too."""
    return Quote(
        OraclePrice(oracle.price, oracle.expo, oracle.conf, oracle.publish_time),
        OraclePrice(oracle.ema, oracle.expo, oracle.conf, oracle.publish_time),
    )


def metrics_of(
    position: Position, side: Side, target: QuotedCustody, collateral: QuotedCustody, now_s: int
) -> PositionMetrics:
    """Calculate the figures of a position of a basket.

    Args:
        position: The position.
        side: That of its market.
        target: The custody of its market's target.
        collateral: The custody of its collateral, which may be the same.
        now_s: The time, in seconds of Unix time.

    Raises:
        Uncomputable: The market has no side, or there are no figures at these prices.
    """
    terms = _position_terms(position, side)
    if terms.empty:
        # Its figures are known even where its prices are not.
        return empty_metrics(terms, target.quote.spot)
    return position_metrics(
        terms,
        market_terms(target.custody),
        _borrow_terms(collateral),
        mark=_exit_mark(target),
        locked_usd_e6=_locked_usd_e6(position, collateral),
        now_s=now_s,
    )


def metrics_at_mark_of(
    position: Position, side: Side, target: QuotedCustody, collateral: QuotedCustody, now_s: int
) -> PositionMetrics:
    """Calculate the figures of a position of a basket at the mark itself, as ``metrics_at_mark`` does.

    Args:
        position: As of ``metrics_of``, and so are the others.
        side: That of its market.
        target: The custody of its market's target.
        collateral: The custody of its collateral.
        now_s: The time, in seconds of Unix time.

    Raises:
        Uncomputable: As ``metrics_of`` does.
    """
    terms = _position_terms(position, side)
    if terms.empty:
        return empty_metrics(terms, target.quote.spot)
    return metrics_at_mark(
        terms, market_terms(target.custody), _borrow_terms(collateral), mark=_exit_mark(target), now_s=now_s
    )


def is_long(side: Side) -> bool:
    """Whether the positions of a market gain while the price rises.

    Raises:
        Uncomputable: The market has no side.
    """
    if side is Side.NONE:
        msg = "expected a market that is long or short, found one of no side"
        raise Uncomputable(msg)
    return side is Side.LONG


def market_terms(custody: Custody) -> MarketTerms:
    """What the figures of all positions of a market depend on of the custody of its target."""
    return MarketTerms(
        spread_min_e6=custody.pricing.trade_spread_min,
        spread_max_e6=custody.pricing.trade_spread_max,
        max_position_usd_e6=custody.pricing.max_position_size_usd,
        max_leverage_bps=custody.pricing.max_leverage,
        close_fee_e9=custody.fees.close_position,
        delay_s=custody.pricing.delay_seconds,
    )


def settled_price(quoted: QuotedCustody) -> OraclePrice:
    """The price at which a custody settles.

    Raises:
        Uncomputable: There is none at what its oracle says.
    """
    oracle = quoted.custody.oracle
    bounds = PriceBounds(quoted.custody.is_stable, oracle.max_divergence_bps, oracle.max_conf_bps)
    return settled(*quoted.quote, bounds)


def _position_terms(position: Position, side: Side) -> PositionTerms:
    return PositionTerms(
        long=is_long(side),
        entry=OraclePrice(*position.entry_price),
        reference_price=position.reference_price.price,
        size_amount=position.size_amount,
        size_decimals=position.size_decimals,
        size_usd_e6=position.size_usd,
        collateral_usd_e6=position.collateral_usd,
        fee_snapshot_e9=position.cumulative_lock_fee_snapshot,
        unsettled_fees_usd_e6=position.unsettled_fees_usd,
        update_time_s=position.update_time,
    )


def _borrow_terms(collateral: QuotedCustody) -> BorrowTerms:
    borrowing = collateral.custody.borrow_rate_state
    return BorrowTerms(borrowing.current_rate, borrowing.cumulative_lock_fee, borrowing.last_update)


def _exit_mark(target: QuotedCustody) -> OraclePrice:
    # The SDK settles twice, first to see the exponent, and what it takes off a doubted price stays off.
    once = settled_price(target)
    return settled_price(target._replace(quote=target.quote._replace(spot=once)))


def _locked_usd_e6(position: Position, collateral: QuotedCustody) -> int:
    custody = collateral.custody
    return settled_price(collateral).usd_e6(position.locked_amount, custody.decimals, custody.token_amount_multiplier)
