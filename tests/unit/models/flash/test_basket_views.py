from __future__ import annotations

import base64
import json
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from models.flash.basket_views import ListedCustody, ListedMarket, orders_view, position_view
from models.flash.borsh import layout
from models.flash.flash_accounts import (
    DISCRIMINATORS,
    Basket,
    Custody,
    CustomOracle,
    MarketOrders,
    Position,
    Price,
    Side,
    decode_account,
)
from models.flash.flash_prices import Uncomputable
from models.flash.flash_texts import Token, leverage_text, native_text, short_text
from models.flash.position_terms import QuotedCustody, quote_of
from tests.support.flash_values import random_account

BASKET = decode_account(
    Basket, base64.b64decode((Path(__file__).parents[3] / "data" / "flash" / "basket.b64").read_bytes())
)
POSITION = BASKET.positions[0].position._replace(cumulative_lock_fee_snapshot=900_000, locked_amount=600_000_000)
ORDERS = BASKET.orders[0].order
NOW_S = 1_700_003_600


def _listed(symbol: str, decimals: int, precision: int, price: int) -> ListedCustody:
    custody = decode_account(Custody, DISCRIMINATORS[Custody] + bytes(layout(Custody).least))
    oracle = decode_account(CustomOracle, DISCRIMINATORS[CustomOracle] + bytes(layout(CustomOracle).least))
    return ListedCustody(
        QuotedCustody(
            custody._replace(
                decimals=decimals,
                pricing=custody.pricing._replace(max_position_size_usd=10**12, max_leverage=1_000_000),
                fees=custody.fees._replace(close_position=510_000),
                oracle=custody.oracle._replace(max_divergence_bps=50, max_conf_bps=100),
                borrow_rate_state=custody.borrow_rate_state._replace(
                    current_rate=20_000, cumulative_lock_fee=1_000_000, last_update=1_700_000_000
                ),
            ),
            quote_of(oracle._replace(price=price, expo=-8, conf=7, ema=price, publish_time=1_700_003_599)),
        ),
        Token(symbol, 2, precision),
    )


SOL = _listed("SOL", 9, 4, 150 * 10**8)
USDC = _listed("USDC", 6, 2, 10**8)
LONG = ListedMarket(Side.LONG, SOL, USDC)
CUSTODIES = {0: USDC, 1: SOL}


def test_a_position_is_shown_as_it_was_worked_by_hand() -> None:
    assert {
        "marketSymbol": "SOL",
        "collateralSymbol": "USDC",
        "sideUi": "Long",
        "entryPriceUi": "148.52",
        "sizeAmountUi": "3.3665",
        "sizeAmountUiKmb": "3.3665",
        "sizeUsdUi": "500.00",
        "collateralAmountUi": "100.00",
        "collateralAmountUiKmb": "100.00",
        "collateralUsdUi": "100.00",
        # 4.982493 - 0.255 - 0.06 = 4.667493, of a collateral of 100.
        "pnlWithFeeUsdUi": "4.66",
        "pnlPercentageWithFee": "4.66",
        "pnlWithoutFeeUsdUi": "4.98",
        "pnlPercentageWithoutFee": "4.98",
        "liquidationPriceUi": "120.39",
        "leverageUi": "4.77",
        "profitUsd": "4982493",
        "lossUsd": "0",
        "exitFeeUsd": "255000",
        "borrowFeeUsd": "60000",
        "totalFeeUsd": "315000",
        "leverage": "47770",
        "marginUsd": "104667493",
        "liquidationPrice": {"price": "12039476761", "exponent": "-8", "confidence": "0", "timestamp": "0"},
        "exitPrice": {"price": "15000000000", "exponent": "-8", "confidence": "7", "timestamp": "1700003599"},
    } == position_view(POSITION, LONG, NOW_S)


def test_a_loss_beyond_the_margin_is_shown_signed_and_without_bound() -> None:
    falling = LONG._replace(target=_listed("SOL", 9, 4, 100 * 10**8))
    shown = position_view(POSITION, falling, NOW_S)
    # (148.52 - 100) x 3.36654996 = 163.345004, and fees of 0.315.
    assert ("-163.66", "-163.66", "-163.34") == tuple(
        shown[name] for name in ("pnlWithFeeUsdUi", "pnlPercentageWithFee", "pnlWithoutFeeUsdUi")
    )
    assert ("Infinity", str(2**53 - 1), "-63660004") == tuple(
        shown[name] for name in ("leverageUi", "leverage", "marginUsd")
    )


def test_collateral_of_another_price_is_shown_in_its_own_amount() -> None:
    shown = position_view(POSITION, LONG._replace(collateral=SOL), NOW_S)
    assert ("SOL", "0.6666", "100.00") == tuple(
        shown[name] for name in ("collateralSymbol", "collateralAmountUi", "collateralUsdUi")
    )


def test_orders_are_shown_as_they_were_worked_by_hand() -> None:
    limit_size = {"sizeAmountUi": "1.0000", "sizeAmountUiKmb": "1.0000", "sizeUsdUi": "140.00"}
    closed_size = {"sizeAmountUi": "3.3665", "sizeAmountUiKmb": "3.3665"}
    of_all = {"orderId": 0, "sideUi": "Long", "symbol": "SOL"}
    assert {
        "marketSymbol": "SOL",
        "sideUi": "Long",
        "limitOrders": [
            {
                **of_all,
                **limit_size,
                "reserveSymbol": "USDC",
                "reserveAmountUi": "50.00",
                "reserveAmountUsdUi": "50.00",
                "collateralAmountUi": "50.00",
                "collateralAmountUiKmb": "50.00",
                "collateralAmountUsdUi": "50.00",
                "entryOraclePrice": {"price": "14000000000", "exponent": "-8", "confidence": "0", "timestamp": "0"},
                "entryPriceUi": "140.00",
                "leverageUi": "2.80",
                # 140 - (50 - 140 / 100 - 140 x 0.00051) = 91.4714
                "liquidationPriceUi": "91.47",
                "limitTakeProfitPriceUi": "160.00",
                "limitStopLossPriceUi": "130.00",
                "receiveTokenSymbol": "USDC",
                "reserveTokenSymbol": "USDC",
            }
        ],
        "takeProfitOrders": [
            {
                **of_all,
                **closed_size,
                "receiveTokenSymbol": "USDC",
                "sizeUsdUi": "538.64",
                "type": "TP",
                "triggerPriceUi": "160.00",
                "leverage": "",
            }
        ],
        "stopLossOrders": [
            {
                **of_all,
                **closed_size,
                "receiveTokenSymbol": "USDC",
                "sizeUsdUi": "437.65",
                "type": "SL",
                "triggerPriceUi": "130.00",
                "leverage": "",
            }
        ],
    } == orders_view(ORDERS, LONG, CUSTODIES)


def test_free_places_are_passed_over_and_orders_keep_their_numbers() -> None:
    (order,) = ORDERS.limit_orders
    (trigger,) = ORDERS.take_profit_orders
    orders = ORDERS._replace(
        limit_orders=(order._replace(size_amount=0), order),
        take_profit_orders=(trigger, trigger._replace(trigger_size=0), trigger),
        stop_loss_orders=(),
    )
    shown = orders_view(orders, LONG, CUSTODIES)
    assert ([1], [0, 2], []) == tuple(
        [one["orderId"] for one in shown[name]] for name in ("limitOrders", "takeProfitOrders", "stopLossOrders")
    )


def test_an_order_without_take_profit_or_stop_loss_says_a_dash() -> None:
    (order,) = ORDERS.limit_orders
    bare = order._replace(take_profit_price=Price(0, 0), stop_loss_price=Price(0, 2**31 - 1))
    (shown,) = orders_view(ORDERS._replace(limit_orders=(bare,)), LONG, CUSTODIES)["limitOrders"]
    assert ("-", "-") == (shown["limitTakeProfitPriceUi"], shown["limitStopLossPriceUi"])


def test_an_order_of_an_unknown_custody_is_refused_by_its_number() -> None:
    with pytest.raises(Uncomputable, match=r"\[1\], found 0"):
        orders_view(ORDERS, LONG, {1: SOL})


def test_a_market_of_no_side_has_no_figures() -> None:
    nowhere = LONG._replace(side=Side.NONE)
    with pytest.raises(Uncomputable, match="no side"):
        position_view(POSITION, nowhere, NOW_S)
    with pytest.raises(Uncomputable, match="no side"):
        orders_view(ORDERS, nowhere, CUSTODIES)


@pytest.mark.parametrize("side", [Side.LONG, Side.SHORT])
def test_whatever_hostile_accounts_say_is_shown_or_refused_in_bounded_room(side: Side) -> None:
    rng = Random(side)
    shown = 0
    for _ in range(1_000):
        quoted = QuotedCustody(random_account(Custody, rng), quote_of(random_account(CustomOracle, rng)))
        hostile = ListedCustody(quoted, SOL.token)
        market = ListedMarket(side, rng.choice((hostile, SOL)), rng.choice((hostile, USDC)))
        position = random_account(Position, rng)
        if rng.random() < 0.5:
            position = position._replace(entry_price=POSITION.entry_price)
        views: list[dict[str, Any]] = []
        with suppress(Uncomputable):
            views.append(position_view(position, market, NOW_S))
        with suppress(Uncomputable):
            views.append(orders_view(random_account(MarketOrders, rng), market, dict.fromkeys(range(256), hostile)))
        assert all(len(json.dumps(view)) < 10_000 for view in views)
        shown += len(views)
    assert shown > 50


@pytest.mark.parametrize(
    ("amount", "decimals", "precision", "text"),
    [
        (0, 6, 2, "0.00"),
        (999_999, 6, 2, "0.99"),
        (-999_999, 6, 2, "-0.99"),
        # BigNumber.js keeps the sign of what it cuts off to nothing.
        (-1, 6, 2, "-0.00"),
        (15, 1, 0, "1"),
        (5, 0, 3, "5.000"),
        (2**128, 6, 2, "340282366920938463463374607431768.21"),
    ],
)
def test_an_amount_is_cut_off_toward_zero(amount: int, decimals: int, precision: int, text: str) -> None:
    assert text == native_text(amount, decimals, precision)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (999_999, "999.9990"),
        (1_000_000, "1.0K"),
        (1_299_999, "1.2K"),
        (-1_299_999, "-1.2K"),
        (999_999_999, "999.9K"),
        (1_000_000_000, "1.0M"),
        (1_000_000_000_000, "1.0B"),
        (5_000_000_000_000_000, "5000.0B"),
    ],
)
def test_a_short_amount_has_one_decimal_and_a_unit_from_a_thousand_on(amount: int, text: str) -> None:
    assert text == short_text(amount, 3, 4)


def test_leverages_are_cut_off_to_two_decimals() -> None:
    assert ("1.10", "4.77", "0.00", "Infinity") == tuple(leverage_text(bps) for bps in (11_000, 47_799, 0, 2**53 - 1))
