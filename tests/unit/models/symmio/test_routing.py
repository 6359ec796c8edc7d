from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from models.chain_records import RawLog
from models.symmio.routing import RoutedBlock, route_block
from tests.support.symmio import (
    ALICE,
    BOB,
    DIAMOND,
    E18,
    HEDGER,
    LIQUIDATOR,
    MULTI_ACCOUNT,
    allocate,
    block,
    fee_in,
    fee_out,
    log,
    send_quote,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def _route(*transactions: Sequence[RawLog], known: dict[int, str] | None = None, begun: bool = True) -> RoutedBlock:
    return route_block(
        block(7, *transactions),
        offset=70,
        diamond=DIAMOND.upper().replace("0X", "0x"),
        multi_accounts=frozenset({MULTI_ACCOUNT}),
        account_of=(known or {}).get,
        begun=begun,
    )


def _names(routed: RoutedBlock) -> list[tuple[str, tuple[int, int], list[int]]]:
    return [(account, t.position, [one.log_index for one in t.logs]) for account, t in routed.transactions]


def _reason(routed: RoutedBlock) -> str:
    assert routed.unsupported is not None
    return routed.unsupported.reason


def test_one_transaction_becomes_one_record_for_each_account_it_concerns() -> None:
    routed = _route([allocate(1), allocate(2, BOB), allocate(3)], [allocate(4, BOB)])

    assert [(ALICE, (70, 0), [0, 2]), (BOB, (70, 0), [1]), (BOB, (70, 1), [3])] == _names(routed)
    assert (7, 1_700_000_007) == (routed.transactions[0][1].block, routed.transactions[0][1].time_s)


def test_events_that_name_only_a_quote_go_to_whose_it_is() -> None:
    routed = _route([log("LockQuote", HEDGER, 5)], known={5: BOB})

    assert [(BOB, (70, 0), [0])] == _names(routed)


def test_a_quote_sent_in_the_block_is_known_in_it_and_told() -> None:
    routed = _route([fee_out(1), send_quote(5, symbol_id=3)], [log("LockQuote", HEDGER, 5)])

    assert [(ALICE, (70, 0), [0, 1]), (ALICE, (70, 1), [2])] == _names(routed)
    assert ((5, ALICE, 3),) == routed.quotes


def test_a_quote_of_an_abandoned_branch_is_known_as_the_block_says() -> None:
    routed = _route([fee_out(1), send_quote(5)], [log("LockQuote", HEDGER, 5)], known={5: BOB})

    assert [ALICE, ALICE] == [account for account, _ in routed.transactions]


def test_the_legacy_form_beside_the_modern_one_is_left_out() -> None:
    modern = log("ForceCancelCloseRequest", 5, 4, 9)
    legacy = log("ForceCancelCloseRequest", 5, 4)

    assert [(ALICE, (70, 0), [0])] == _names(_route([modern, legacy], known={5: ALICE}))
    assert [(ALICE, (70, 0), [0])] == _names(_route([legacy], known={5: ALICE}))


def test_expire_quote_is_left_out_beside_the_event_that_replaced_it() -> None:
    routed = _route([fee_in(1), log("ExpireQuoteOpen", 9, 5), log("ExpireQuote", 9, 5)], known={5: ALICE})

    assert [(ALICE, (70, 0), [0, 1])] == _names(routed)


def test_a_liquidators_share_goes_to_the_liquidators_own_account() -> None:
    share = log("BalanceChangePartyA", LIQUIDATOR, 5, 8)
    routed = _route([log("LiquidatePartyB", LIQUIDATOR, HEDGER, ALICE, 1, -1), fee_in(2), share])

    assert [(ALICE, (70, 0), [0, 1]), (LIQUIDATOR, (70, 0), [2])] == _names(routed)


def test_what_is_cancelled_of_a_partly_filled_quote_goes_to_the_account_of_the_fill() -> None:
    filled = log("OpenPosition", 5, ALICE, HEDGER, E18, E18)

    routed = _route([fee_in(1), filled, log("AcceptCancelRequest", 6, 3)], known={5: ALICE, 6: BOB})

    assert [(ALICE, (70, 0), [0, 1, 2])] == _names(routed)


def test_a_settlement_that_settled_nothing_concerns_nobody() -> None:
    idle = log("SettleUpnl", [(999, E18, 0)], [], BOB, 0, [0])

    routed = _route([idle])

    assert (None, ()) == (routed.unsupported, routed.transactions)


def test_owner_and_name_come_from_the_multi_account() -> None:
    added = log("AddAccount", BOB, ALICE, "main", address=MULTI_ACCOUNT)

    assert [(ALICE, (70, 0), [0])] == _names(_route([added]))


def test_logs_of_other_contracts_are_left_out() -> None:
    stranger = log("BalanceChangePartyA", ALICE, 1, 0, address="0x" + "99" * 20)
    unknown_of_multi_account = RawLog(MULTI_ACCOUNT, ("0x" + "12" * 32,), "0x", "0x", 0, 0)
    balance_of_multi_account = log("BalanceChangePartyA", ALICE, 1, 0, address=MULTI_ACCOUNT)

    routed = _route([stranger, unknown_of_multi_account, balance_of_multi_account])

    assert ((), None) == (routed.transactions, routed.unsupported)


def test_what_is_said_of_markets_is_told_in_order() -> None:
    added = log("AddSymbol", 3, "BTCUSDT", 1, 2, 3, 4, 14_400, 420)

    routed = _route([added, log("SetSymbolValidationState", 3, *(True, False)), log("SetSymbolTradingFee", 3, 3, 30)])

    assert [(3, "BTCUSDT", True, 3), (3, None, False, None), (3, None, None, 30)] == [
        (market.symbol_id, market.name, market.is_valid, market.trading_fee) for market in routed.markets
    ]
    assert (14_400, 420) == (routed.markets[0].funding_rate_epoch_duration_s, routed.markets[0].funding_rate_window_s)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (RawLog(DIAMOND, ("0x" + "12" * 32,), "0x", "0x", 0, 0), "topic0 0x1212"),
        (RawLog(DIAMOND, log("LockQuote", HEDGER, 1).topics, "0x01", "0x", 0, 0), "LockQuote"),
        (log("LockQuote", HEDGER, 404), "quote 404"),
        (log("OpenPosition", 404, ALICE, HEDGER, 1, 1), "quote 404"),
        (log("ChargeFundingRate", HEDGER, ALICE, [5, 404], [1, 1]), "quote 404"),
        (log("OpenPosition", 5, BOB, HEDGER, 1, 1), "quote 5 to be of"),
        (log("LockQuotes", HEDGER, [5]), "later than 0.8.4"),
        (log("SetLongFundingFee", [1], [1], HEDGER), "funding accumulates"),
        (log("LiquidatePartyA", LIQUIDATOR, ALICE), "before 0.8.2"),
        (log("AddAccount", ALICE, ALICE, "x"), "of a MultiAccount"),
        (log("DiamondCut", [], ALICE, b""), "--from-state"),
        (RawLog(MULTI_ACCOUNT, log("AddAccount", ALICE, ALICE, "x").topics, "0x01", "0x", 0, 0), "AddAccount"),
    ],
)
def test_a_log_that_cannot_be_pinned_on_an_account_ends_support_from_its_transaction_on(bad: RawLog, why: str) -> None:
    routed = _route([allocate(1)], [allocate(2), bad], [allocate(3)], known={5: ALICE})

    assert [(ALICE, (70, 0), [0])] == _names(routed)
    assert routed.unsupported is not None
    assert 1 == routed.unsupported.tx_index
    assert why in routed.unsupported.reason
    assert "block 7, transaction 0x" in routed.unsupported.reason
    assert "log 2: " in routed.unsupported.reason


def test_quotes_and_markets_of_the_refused_transaction_are_not_told() -> None:
    refused = [
        fee_out(1),
        send_quote(6),
        log("SetSymbolTradingFee", 3, 1, 2),
        log("LockQuote", HEDGER, 404),
    ]

    routed = _route(refused)

    assert ((), ()) == (routed.quotes, routed.markets)


def test_a_diamond_cut_before_any_account_event_is_the_construction_of_the_diamond() -> None:
    cut = log("DiamondCut", [], ALICE, b"")

    built = _route([cut, log("SetCollateral", BOB)], begun=False)
    changed = _route([cut], [allocate(1)], [cut], begun=False)

    assert (None, False) == (built.unsupported, built.begun)
    assert changed.unsupported is not None
    assert (2, True) == (changed.unsupported.tx_index, changed.begun)


@pytest.mark.parametrize(
    "moving",
    [
        log("AllocatePartyA", ALICE, 5),
        log("AllocatePartyA", ALICE, 5, 5),
        log("DeallocateForPartyB", HEDGER, ALICE, 5, 5),
        log("TransferAllocation", 5, ALICE, BOB),
        send_quote(6),
        log("RequestToCancelQuote", ALICE, HEDGER, 3, 5),
        log("AcceptCancelRequest", 5, 3),
        log("ExpireQuote", 9, 5),
        log("FillCloseRequest", 5, ALICE, HEDGER, 1, 1, 7),
        log("SettlePartyALiquidation", ALICE, [HEDGER], [1]),
        log("LiquidatePartyB", LIQUIDATOR, HEDGER, ALICE, 1, -1),
    ],
)
def test_balances_that_move_without_a_balance_change_come_from_older_contracts(moving: RawLog) -> None:
    routed = _route([moving], known={5: ALICE})

    assert () == routed.transactions
    assert "expected a BalanceChange event beside" in _reason(routed)
    assert "--from-state" in _reason(routed)


@pytest.mark.parametrize(
    "still",
    [
        log("RequestToCancelQuote", ALICE, HEDGER, 2, 5),
        log("SettlePartyALiquidation", ALICE, [], []),
        log("LockQuote", HEDGER, 5),
        log("Deposit", ALICE, ALICE, 5),
    ],
)
def test_what_moves_no_allocated_balance_needs_no_balance_change(still: RawLog) -> None:
    assert _route([still], known={5: ALICE}).unsupported is None


def test_what_a_partial_fill_leaves_pending_pays_no_fee_again() -> None:
    filled = log("OpenPosition", 5, ALICE, HEDGER, E18, E18)

    routed = _route([filled, send_quote(6)], known={5: ALICE})

    assert (None, ((6, ALICE, 1),)) == (routed.unsupported, routed.quotes)
