"""What users are shown of a basket: its positions and orders, in the fields of the venue's own interface.

The fields are those of ``MbPositionMetricsDto``, ``MbOrderMetricsDto`` and what they hold, in ``openapi.v2.json`` of
github.com/flash-trade/examples-v2 at commit 3e6202eea545aaa88dd0db8eec899175c837af03. docs/flash.md has their formulae.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from models.flash.flash_prices import BPS, USD_DECIMALS, OraclePrice, Uncomputable
from models.flash.flash_texts import (
    Token,
    leverage_text,
    native_text,
    price_object,
    price_or_nothing,
    price_text,
    short_text,
)
from models.flash.position_metrics import (
    PositionMetrics,
    PositionTerms,
    exit_fee_usd_e6,
    leverage_bps,
    liquidation_price,
)
from models.flash.position_terms import QuotedCustody, is_long, market_terms, metrics_of, settled_price
from models.money import divide_toward_zero

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from models.flash.flash_accounts import LimitOrder, MarketOrders, Position, Side, TriggerOrder

    Calculate = Callable[[Position, Side, QuotedCustody, QuotedCustody, int], PositionMetrics]

# A part of 1e4 is hundredths of a percent.
_PERCENT_DECIMALS = 2


class ListedCustody(NamedTuple):
    """A custody with what its oracle says, and how its token is shown."""

    quoted: QuotedCustody
    token: Token


class ListedMarket(NamedTuple):
    """A market, with the custodies of its target and of its collateral."""

    side: Side
    target: ListedCustody
    collateral: ListedCustody


def position_view(
    position: Position, market: ListedMarket, now_s: int, calculate: Calculate = metrics_of
) -> dict[str, Any]:
    """What users are shown of a position: the fields of ``MbPositionMetricsDto``.

    Args:
        position: The position, of a size that is not 0.
        market: Its market.
        now_s: The time, in seconds of Unix time.
        calculate: Makes the figures, ``metrics_of`` or ``metrics_at_mark_of``.

    Raises:
        Uncomputable: There are no figures at these prices.
    """
    metrics = calculate(position, market.side, market.target.quoted, market.collateral.quoted, now_s)
    token = market.target.token
    entry = OraclePrice(*position.entry_price)
    return {
        "marketSymbol": token.symbol,
        "collateralSymbol": market.collateral.token.symbol,
        "sideUi": _side_text(market.side),
        "entryPriceUi": price_text(entry, token),
        **_size_texts(position.size_amount, position.size_decimals, token),
        "sizeUsdUi": _usd_text(position.size_usd, token),
        **_collateral_texts(position.collateral_usd, market.collateral),
        "collateralUsdUi": _usd_text(position.collateral_usd, market.collateral.token),
        **_gain_texts(metrics, position.collateral_usd, token),
        "liquidationPriceUi": price_text(metrics.liquidation, token),
        "leverageUi": leverage_text(metrics.leverage_bps),
        "profitUsd": str(metrics.profit_usd_e6),
        "lossUsd": str(metrics.loss_usd_e6),
        "exitFeeUsd": str(metrics.exit_fee_usd_e6),
        "borrowFeeUsd": str(metrics.borrow_fee_usd_e6),
        "totalFeeUsd": str(metrics.fees_usd_e6),
        "leverage": str(metrics.leverage_bps),
        "marginUsd": str(metrics.margin_usd_e6),
        "liquidationPrice": price_object(metrics.liquidation),
        "exitPrice": price_object(metrics.exit),
    }


def orders_view(orders: MarketOrders, market: ListedMarket, custodies: Mapping[int, ListedCustody]) -> dict[str, Any]:
    """What users are shown of all orders of a basket in a market: the fields of ``MbOrderMetricsDto``.

    Args:
        orders: The orders; places without a size are passed over, and do not change the numbers of others.
        market: The market.
        custodies: The custodies of its pool, by their ``uid``.

    Raises:
        Uncomputable: An order names a custody that is not known, or has no figures at these prices.
    """
    return {
        "marketSymbol": market.target.token.symbol,
        "sideUi": _side_text(market.side),
        "limitOrders": [
            _limit_view(number, order, market, custodies)
            for number, order in enumerate(orders.limit_orders)
            if order.size_amount
        ],
        "takeProfitOrders": list(_trigger_views("TP", orders.take_profit_orders, market, custodies)),
        "stopLossOrders": list(_trigger_views("SL", orders.stop_loss_orders, market, custodies)),
    }


def _limit_view(
    number: int, order: LimitOrder, market: ListedMarket, custodies: Mapping[int, ListedCustody]
) -> dict[str, Any]:
    token = market.target.token
    decimals = market.target.quoted.custody.decimals
    reserve = _custody_of(order.reserve_custody_uid, custodies)
    receive = _custody_of(order.receive_custody_uid, custodies)
    limit = OraclePrice(*order.limit_price)
    size_usd_e6 = limit.usd_e6(order.size_amount, decimals)
    put_in = reserve.quoted.custody
    put_in_usd_e6 = settled_price(reserve.quoted).usd_e6(
        order.reserve_amount, put_in.decimals, put_in.token_amount_multiplier
    )
    terms = market_terms(market.target.quoted.custody)
    opened = PositionTerms(
        long=is_long(market.side),
        entry=limit,
        reference_price=limit.price,
        size_amount=order.size_amount,
        size_decimals=decimals,
        size_usd_e6=size_usd_e6,
        collateral_usd_e6=put_in_usd_e6,
        fee_snapshot_e9=0,
        unsettled_fees_usd_e6=0,
        update_time_s=0,
    )
    liquidation = liquidation_price(opened, terms, exit_fee_usd_e6(size_usd_e6, terms))
    return {
        "orderId": number,
        "sideUi": _side_text(market.side),
        "symbol": token.symbol,
        "reserveSymbol": reserve.token.symbol,
        "reserveAmountUi": native_text(order.reserve_amount, put_in.decimals, reserve.token.token_precision),
        "reserveAmountUsdUi": _usd_text(put_in_usd_e6, reserve.token),
        **_size_texts(order.size_amount, decimals, token),
        "sizeUsdUi": _usd_text(size_usd_e6, token),
        **_collateral_texts(put_in_usd_e6, market.collateral),
        "collateralAmountUsdUi": _usd_text(put_in_usd_e6, market.collateral.token),
        "entryOraclePrice": price_object(limit),
        "entryPriceUi": price_text(limit, token),
        "leverageUi": leverage_text(leverage_bps(size_usd_e6, put_in_usd_e6)),
        "liquidationPriceUi": price_text(liquidation, token),
        "limitTakeProfitPriceUi": price_or_nothing(OraclePrice(*order.take_profit_price), token),
        "limitStopLossPriceUi": price_or_nothing(OraclePrice(*order.stop_loss_price), token),
        "receiveTokenSymbol": receive.token.symbol,
        "reserveTokenSymbol": reserve.token.symbol,
    }


def _trigger_views(
    kind: str, orders: Iterable[TriggerOrder], market: ListedMarket, custodies: Mapping[int, ListedCustody]
) -> Iterable[dict[str, Any]]:
    token = market.target.token
    decimals = market.target.quoted.custody.decimals
    for number, order in enumerate(orders):
        if order.trigger_size:
            trigger = OraclePrice(*order.trigger_price)
            yield {
                "orderId": number,
                "sideUi": _side_text(market.side),
                "symbol": token.symbol,
                "receiveTokenSymbol": _custody_of(order.receive_custody_uid, custodies).token.symbol,
                **_size_texts(order.trigger_size, decimals, token),
                "sizeUsdUi": _usd_text(trigger.usd_e6(order.trigger_size, decimals), token),
                "type": kind,
                "triggerPriceUi": price_text(trigger, token),
                # The venue leaves it empty: what is closed has none, and what is left is not known before.
                "leverage": "",
            }


def _side_text(side: Side) -> str:
    return "Long" if is_long(side) else "Short"


def _usd_text(usd_e6: int, token: Token) -> str:
    return native_text(usd_e6, USD_DECIMALS, token.usd_precision)


def _size_texts(amount: int, decimals: int, token: Token) -> dict[str, str]:
    return {
        "sizeAmountUi": native_text(amount, decimals, token.token_precision),
        "sizeAmountUiKmb": short_text(amount, decimals, token.token_precision),
    }


def _collateral_texts(usd_e6: int, collateral: ListedCustody) -> dict[str, str]:
    custody, token = collateral.quoted.custody, collateral.token
    price = settled_price(collateral.quoted)
    amount = price.token_amount(usd_e6, custody.decimals, custody.token_amount_multiplier)
    return {
        "collateralAmountUi": native_text(amount, custody.decimals, token.token_precision),
        "collateralAmountUiKmb": short_text(amount, custody.decimals, token.token_precision),
    }


def _gain_texts(metrics: PositionMetrics, collateral_usd_e6: int, token: Token) -> dict[str, str]:
    without = metrics.pnl_usd_e6
    with_fee = without - metrics.fees_usd_e6
    return {
        "pnlWithFeeUsdUi": _usd_text(with_fee, token),
        "pnlPercentageWithFee": _percent_text(with_fee, collateral_usd_e6),
        "pnlWithoutFeeUsdUi": _usd_text(without, token),
        "pnlPercentageWithoutFee": _percent_text(without, collateral_usd_e6),
    }


def _percent_text(usd_e6: int, collateral_usd_e6: int) -> str:
    # Without collateral there is nothing of which it could be a part.
    part_bps = divide_toward_zero(usd_e6 * BPS, collateral_usd_e6) if collateral_usd_e6 else 0
    return native_text(part_bps, _PERCENT_DECIMALS, _PERCENT_DECIMALS)


def _custody_of(uid: int, custodies: Mapping[int, ListedCustody]) -> ListedCustody:
    if uid not in custodies:
        msg = f"expected an order to name one of the pool's custodies, {sorted(custodies)}, found {uid}"
        raise Uncomputable(msg)
    return custodies[uid]
