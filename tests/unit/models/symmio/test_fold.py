"""Where the recording is thin: exact arithmetic and the rare paths, by hand from the contract's source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from models.symmio.abi import decode_log
from models.symmio.draft import BadFold
from models.symmio.events import MarketSettings, OtherEvent
from models.symmio.fold import NAME_CHARACTERS_MAX, fold
from models.symmio.state import EMPTY, NOBODY, NOTHING, AccountState, Locked, QuoteStatus
from tests.support.symmio import (
    ALICE,
    BOB,
    E18,
    HEDGER,
    LIQUIDATOR,
    MULTI_ACCOUNT,
    SECOND_HEDGER,
    allocate,
    allocate_b,
    fee_in,
    fee_out,
    log,
    send_quote,
)

if TYPE_CHECKING:
    from models.chain_records import RawLog

_BLOCK = 50


def _fold(state: AccountState, *logs: RawLog) -> AccountState:
    events = [decode_log(one) for one in logs]
    folded = [event for event in events if not isinstance(event, MarketSettings | OtherEvent)]
    return fold(state, folded, _BLOCK)


def _sent(**changes: int) -> AccountState:
    """Alice and the hedger have 1000 each; quote 1: 10 at limit 100, locked 50, 20, 130, 40, fee 1."""
    return _fold(EMPTY, allocate(1_000 * E18), allocate_b(1_000 * E18), fee_out(E18), send_quote(**changes))


def _locked(**changes: int) -> AccountState:
    return _fold(_sent(**changes), log("LockQuote", HEDGER, 1))


def _opened(price: int = 100 * E18, **changes: int) -> AccountState:
    state = _locked(**changes)
    return _fold(state, log("OpenPosition", 1, ALICE, HEDGER, state.quotes[1].quantity, price))


def _close_requested(quantity: int = 10 * E18, price: int = 120 * E18) -> AccountState:
    return _fold(_opened(), log("RequestToClosePosition", ALICE, HEDGER, 1, price, quantity, 0, 1_900_000_000, 5, 1))


def _of(cva: int, lf: int, amm: int, bmm: int) -> Locked:
    return Locked(cva * E18, lf * E18, amm * E18, bmm * E18)


def test_a_sent_quote_locks_nothing_yet() -> None:
    state = _sent()

    assert (999 * E18, NOTHING, _of(50, 20, 130, 40)) == (
        state.balances.allocated, state.balances.locked, state.balances.pending,
    )  # fmt: skip


def test_locked_values_follow_the_opened_price_rounded_down_one_by_one() -> None:
    state = _locked(price=7 * E18)

    opened = _fold(state, log("OpenPosition", 1, ALICE, HEDGER, 10 * E18, 3 * E18))

    expected = Locked(*(value * E18 * 3 * E18 // (7 * E18) for value in (50, 20, 130, 40)))
    assert expected == opened.quotes[1].locked == opened.balances.locked == opened.party_b[HEDGER].locked
    assert (NOTHING, NOTHING) == (opened.balances.pending, opened.party_b[HEDGER].pending)
    assert _of(50, 20, 130, 40) == opened.quotes[1].initial_locked


def test_a_partial_fill_keeps_its_share_and_leaves_the_rest_pending_as_a_child() -> None:
    filled = 3 * E18 + 1
    parts = tuple(value * E18 * filled // (10 * E18) for value in (50, 20, 130, 40))
    left = tuple(value * E18 - part for value, part in zip((50, 20, 130, 40), parts, strict=True))
    child = log(
        "SendQuote", ALICE, 2, [HEDGER], 1, 0, 0, 100 * E18, 101 * E18, 10 * E18 - filled, *left, E18 // 1000, 9
    )  # fmt: skip

    state = _fold(_locked(), log("OpenPosition", 1, ALICE, HEDGER, filled, 90 * E18), child)

    held = Locked(*(part * 90 * E18 // (100 * E18) for part in parts))
    assert (filled, held) == (state.quotes[1].quantity, state.quotes[1].locked)
    assert (1, QuoteStatus.PENDING, NOBODY) == (
        state.quotes[2].parent_id, state.quotes[2].status, state.quotes[2].party_b,
    )  # fmt: skip
    assert Locked(*left) == state.quotes[2].initial_locked == state.balances.pending
    assert (held, held) == (state.balances.locked, state.party_b[HEDGER].locked)
    assert NOTHING == state.party_b[HEDGER].pending
    assert 999 * E18 == state.balances.allocated


def test_what_a_partial_fill_leaves_of_a_quote_to_be_cancelled_is_cancelled_under_a_new_id() -> None:
    asked = _fold(_locked(), log("RequestToCancelQuote", ALICE, HEDGER, 2, 1))

    state = _fold(
        asked,
        fee_in(6 * E18 // 10),
        log("OpenPosition", 1, ALICE, HEDGER, 4 * E18, 100 * E18),
        log("AcceptCancelRequest", 2, 3),
    )

    rest = state.quotes[2]
    assert (QuoteStatus.CANCELED, 6 * E18, _of(30, 12, 78, 24), NOBODY, 1, _BLOCK) == (
        rest.status, rest.quantity, rest.locked, rest.party_b, rest.parent_id, rest.terminal_block,
    )  # fmt: skip
    assert (NOTHING, NOTHING) == (state.balances.pending, state.party_b[HEDGER].pending)
    assert _of(20, 8, 52, 16) == state.balances.locked


@pytest.mark.parametrize(
    "follows",
    [
        (),
        (log("LockQuote", HEDGER, 2),),
        (send_quote(2),),
        (log("AcceptCancelRequest", 2, 3),),
    ],
)
def test_a_partial_fill_that_is_not_followed_by_its_rest_does_not_fold(follows: tuple[RawLog, ...]) -> None:
    with pytest.raises(BadFold, match="part"):
        _fold(_locked(), log("OpenPosition", 1, ALICE, HEDGER, 4 * E18, 100 * E18), *follows)


def test_closing_in_parts_releases_what_is_locked_by_share_and_averages_the_price() -> None:
    first, second = 3 * E18, 7 * E18

    part = _fold(_close_requested(), log("FillCloseRequest", 1, ALICE, HEDGER, first, 121 * E18, 5, 1))
    whole = _fold(part, log("FillCloseRequest", 1, ALICE, HEDGER, second, 122 * E18 + 1, 7, 1))

    assert (_of(35, 14, 91, 28), 7 * E18) == (part.quotes[1].locked, part.quotes[1].quantity_to_close)
    assert (QuoteStatus.CLOSE_PENDING, 120 * E18) == (part.quotes[1].status, part.quotes[1].requested_close_price)
    assert (121 * E18 * first + (122 * E18 + 1) * second) // (10 * E18) == whole.quotes[1].avg_closed_price
    assert (QuoteStatus.CLOSED, 0, 0, NOTHING) == (
        whole.quotes[1].status, whole.quotes[1].quantity_to_close, whole.quotes[1].requested_close_price,
        whole.balances.locked,
    )  # fmt: skip
    assert NOTHING == whole.party_b[HEDGER].locked


def test_filling_part_of_a_close_request_to_be_cancelled_reopens_the_position() -> None:
    asked = _fold(_close_requested(), log("RequestToCancelCloseRequest", ALICE, HEDGER, 1, 6, 1))

    state = _fold(asked, log("FillCloseRequest", 1, ALICE, HEDGER, E18, 121 * E18, 4, 1))

    assert (QuoteStatus.OPENED, 0, 0, E18) == (
        state.quotes[1].status, state.quotes[1].quantity_to_close, state.quotes[1].requested_close_price,
        state.quotes[1].closed_amount,
    )  # fmt: skip


def test_a_close_whose_event_tells_another_status_does_not_fold() -> None:
    with pytest.raises(BadFold, match="expected quote 1 to be CLOSE_PENDING"):
        _fold(_close_requested(), log("FillCloseRequest", 1, ALICE, HEDGER, E18, 121 * E18, 4, 1))


def test_an_emergency_close_needs_no_request() -> None:
    state = _fold(_opened(), log("EmergencyClosePosition", 1, ALICE, HEDGER, 10 * E18, 99 * E18, 7, 0))

    assert (QuoteStatus.CLOSED, 99 * E18, NOTHING) == (
        state.quotes[1].status, state.quotes[1].avg_closed_price, state.balances.locked,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("side", "rate", "expected"),
    [
        (0, E18 // 3, 100 * E18 + 100 * E18 * (E18 // 3) // E18),
        (1, E18 // 3, 100 * E18 - 100 * E18 * (E18 // 3) // E18),
        (0, -7, 100 * E18 - 700),
        (1, -7, 100 * E18 + 700),
        (0, 0, 100 * E18),
    ],
)
def test_funding_moves_the_opened_price_by_the_floored_share(side: int, rate: int, expected: int) -> None:
    state = _fold(_opened(side=side), log("ChargeFundingRate", HEDGER, ALICE, [1], [rate]))

    assert (expected, 100 * E18) == (state.quotes[1].opened_price, state.quotes[1].initial_opened_price)


def test_settlement_moves_only_opened_prices_and_said_balances() -> None:
    state = _fold(
        _opened(),
        log("BalanceChangePartyB", HEDGER, ALICE, 50 * E18, 5),
        log("BalanceChangePartyA", ALICE, 50 * E18, 4),
        log("SettleUpnl", [(1, 110 * E18, 0)], [105 * E18], ALICE, 1049 * E18, [950 * E18]),
    )

    assert (105 * E18, 1_049 * E18, 950 * E18) == (
        state.quotes[1].opened_price, state.balances.allocated, state.party_b[HEDGER].allocated,
    )  # fmt: skip


def _liquidate_party_a(allocated: int, *, deferred: bool = False) -> RawLog:
    if deferred:
        return log("DeferredLiquidatePartyA", LIQUIDATOR, ALICE, allocated, -1, -1, b"id", 1, 2, 3)
    return log("LiquidatePartyA", LIQUIDATOR, ALICE, allocated, -1, -1, b"id")


def _with_second_quote_pending() -> AccountState:
    return _fold(_opened(), fee_out(2 * E18), send_quote(2, order_type=1, market_price=200 * E18))


def test_a_liquidation_sets_fees_aside_and_gives_them_back_at_its_end() -> None:
    state = _with_second_quote_pending()

    flagged = _fold(state, _liquidate_party_a(997 * E18))
    pending = _fold(
        flagged, fee_in(2 * E18), log("LiquidatePendingPositionsPartyA", LIQUIDATOR, ALICE, [2], [10 * E18], b"id")
    )
    closed = _fold(
        pending,
        log("SetSymbolsPrices", LIQUIDATOR, ALICE, [1], [60 * E18], b"id"),
        log("LiquidatePositionsPartyA", LIQUIDATOR, ALICE, [1], [10 * E18], [0], b"id"),
    )
    ended = _fold(
        closed,
        log("BalanceChangePartyB", HEDGER, ALICE, 50 * E18, 6),
        log("BalanceChangePartyA", ALICE, 997 * E18, 5),
        log("SettlePartyALiquidation", ALICE, [HEDGER], [0], b"id"),
        log("FullyLiquidatedPartyA", ALICE, b"id"),
    )

    assert flagged.liquidating
    assert (997 * E18, 2 * E18, NOTHING) == (
        pending.balances.allocated, pending.reimbursement, pending.balances.pending,
    )  # fmt: skip
    assert QuoteStatus.LIQUIDATED_PENDING is pending.quotes[2].status
    assert (QuoteStatus.LIQUIDATED, 60 * E18, 10 * E18) == (
        closed.quotes[1].status, closed.quotes[1].avg_closed_price, closed.quotes[1].closed_amount,
    )  # fmt: skip
    assert (_of(50, 20, 130, 40), NOTHING) == (closed.balances.locked, closed.party_b[HEDGER].locked)
    assert (2 * E18, 0, NOTHING, False) == (
        ended.balances.allocated, ended.reimbursement, ended.balances.locked, ended.liquidating,
    )  # fmt: skip
    assert ({}, 1_050 * E18) == (ended.liquidation_prices, ended.party_b[HEDGER].allocated)


def test_contracts_0_8_3_say_the_liquidation_by_fewer_and_other_balance_changes_to_the_same_end() -> None:
    state = _fold(
        _with_second_quote_pending(),
        _liquidate_party_a(997 * E18),
        log("LiquidatePendingPositionsPartyA", LIQUIDATOR, ALICE, [2], [10 * E18], b"id"),
        log("SetSymbolsPrices", LIQUIDATOR, ALICE, [1], [60 * E18], b"id"),
        log("LiquidatePositionsPartyA", LIQUIDATOR, ALICE, [1], [10 * E18], [0], b"id"),
        log("BalanceChangePartyA", ALICE, 50 * E18, 7),
        log("BalanceChangePartyB", HEDGER, ALICE, 50 * E18, 6),
        log("BalanceChangePartyA", ALICE, 997 * E18, 5),
        fee_in(2 * E18),
        log("FullyLiquidatedPartyA", ALICE, b"id"),
    )

    assert (2 * E18, 0, False) == (state.balances.allocated, state.reimbursement, state.liquidating)


def test_a_deferred_liquidation_sets_aside_what_it_may_not_take() -> None:
    flagged = _fold(_opened(), _liquidate_party_a(900 * E18, deferred=True))
    ended = _fold(
        flagged,
        log("LiquidatePositionsPartyA", LIQUIDATOR, ALICE, [1], [10 * E18], [0], b"id"),
        log("BalanceChangePartyA", ALICE, 900 * E18, 5),
        log("FullyLiquidatedPartyA", ALICE, b"id"),
    )

    assert (900 * E18, 99 * E18) == (flagged.balances.allocated, flagged.reimbursement)
    assert 99 * E18 == ended.balances.allocated


def test_a_liquidator_that_is_the_account_itself_keeps_its_share() -> None:
    state = _fold(
        _fold(EMPTY, allocate(10 * E18)),
        _liquidate_party_a(10 * E18),
        log("BalanceChangePartyA", ALICE, 10 * E18, 5),
        log("BalanceChangePartyA", ALICE, 3 * E18, 8),
        log("FullyLiquidatedPartyA", ALICE, b"id"),
    )

    assert 3 * E18 == state.balances.allocated


def test_a_disputed_liquidation_pays_what_the_settlement_says() -> None:
    state = _fold(
        _opened(),
        _liquidate_party_a(999 * E18),
        log("SetSymbolsPrices", LIQUIDATOR, ALICE, [1], [60 * E18], b"id"),
        log("LiquidatePositionsPartyA", LIQUIDATOR, ALICE, [1], [10 * E18], [0], b"id"),
        log("LiquidationDisputed", ALICE, b"id"),
        log("ResolveLiquidationDispute", ALICE, [HEDGER], [-123 * E18], False, b"id"),  # noqa: FBT003
        log("BalanceChangePartyB", HEDGER, ALICE, 50 * E18, 6),
        log("BalanceChangePartyB", HEDGER, ALICE, 123 * E18, 4),
        log("BalanceChangePartyA", ALICE, 999 * E18, 5),
        log("SettlePartyALiquidation", ALICE, [HEDGER], [-123 * E18], b"id"),
        log("FullyLiquidatedPartyA", ALICE, b"id"),
    )

    assert (0, 1_173 * E18) == (state.balances.allocated, state.party_b[HEDGER].allocated)


def _party_b_liquidation(*, event_first: bool) -> tuple[RawLog, ...]:
    said = (
        fee_in(2 * E18),
        log("BalanceChangePartyA", ALICE, 990 * E18, 4),
        log("BalanceChangePartyB", HEDGER, ALICE, 1_000 * E18, 5),
    )
    event = log("LiquidatePartyB", LIQUIDATOR, HEDGER, ALICE, 1_000 * E18, -1)
    return (event, *said) if event_first else (*said, event)


@pytest.mark.parametrize("event_first", [True, False])
def test_liquidating_a_party_b_ends_its_pending_quotes_and_empties_its_bucket(event_first: bool) -> None:  # noqa: FBT001
    state = _fold(
        _with_second_quote_pending(),
        log("LockQuote", HEDGER, 2),
        allocate_b(7 * E18, SECOND_HEDGER),
        fee_out(E18),
        send_quote(3),
        log("LockQuote", SECOND_HEDGER, 3),
    )

    after = _fold(state, *_party_b_liquidation(event_first=event_first))

    assert (QuoteStatus.OPENED, QuoteStatus.LIQUIDATED_PENDING, QuoteStatus.LOCKED) == tuple(
        after.quotes[quote_id].status for quote_id in (1, 2, 3)
    )
    assert _of(50, 20, 130, 40) == after.balances.pending == after.balances.locked
    bucket = after.party_b[HEDGER]
    assert (0, NOTHING, NOTHING) == (bucket.allocated, bucket.locked, bucket.pending)
    assert state.party_b[SECOND_HEDGER] == after.party_b[SECOND_HEDGER]
    assert (996 + 2 + 990) * E18 == after.balances.allocated


def test_a_force_close_that_party_b_cannot_pay_ends_in_its_liquidation() -> None:
    """The reserve vault's rest is paid in first, and the event follows (ForceActionsFacetImpl.sol:125-136)."""
    state = _fold(
        _close_requested(),
        log("BalanceChangePartyB", HEDGER, ALICE, 5 * E18, 4),
        log("BalanceChangePartyA", ALICE, 1_005 * E18, 4),
        log("BalanceChangePartyB", HEDGER, ALICE, 1_005 * E18, 5),
        log("LiquidatePartyB", ALICE, HEDGER, ALICE, 0, -1),
    )
    closed = _fold(state, log("LiquidatePositionsPartyB", LIQUIDATOR, HEDGER, ALICE, [1], [10 * E18], [1]))

    assert (QuoteStatus.CLOSE_PENDING, 0, NOTHING) == (
        state.quotes[1].status, state.party_b[HEDGER].allocated, state.party_b[HEDGER].locked,
    )  # fmt: skip
    assert (QuoteStatus.LIQUIDATED, False, NOTHING) == (
        closed.quotes[1].status, closed.quotes[1].avg_closed_known, closed.balances.locked,
    )  # fmt: skip
    assert 2_004 * E18 == closed.balances.allocated


def test_a_position_liquidated_at_a_price_that_is_not_known_has_no_average() -> None:
    state = _fold(
        _opened(),
        _liquidate_party_a(999 * E18),
        log("LiquidatePositionsPartyA", LIQUIDATOR, ALICE, [1], [10 * E18], [0], b"id"),
    )

    assert not state.quotes[1].avg_closed_known


def test_owner_and_a_bounded_name_come_from_the_multi_account() -> None:
    named = _fold(EMPTY, log("AddAccount", BOB, ALICE, "x" * 1_000, address=MULTI_ACCOUNT))
    renamed = _fold(named, log("EditAccountName", BOB, ALICE, "savings", address=MULTI_ACCOUNT))

    assert (BOB, MULTI_ACCOUNT, "x" * NAME_CHARACTERS_MAX) == (named.owner, named.multi_account, named.name)
    assert (BOB, MULTI_ACCOUNT, "savings") == (renamed.owner, renamed.multi_account, renamed.name)


@pytest.mark.parametrize(
    ("state", "bad", "why"),
    [
        (EMPTY, fee_out(1), "at least the 1 taken"),
        (EMPTY, log("BalanceChangePartyB", HEDGER, ALICE, 1, 1), "at least the 1 taken"),
        (EMPTY, log("LockQuote", HEDGER, 1), "unknown or long finished"),
        (_sent(), send_quote(1), "expected quote 1 to be new"),
        (_sent(), log("UnlockQuote", HEDGER, 1, 0), "expected quote 1 to be LOCKED at UnlockQuote, found it PENDING"),
        (_locked(), log("RequestToCancelQuote", ALICE, HEDGER, 3, 1), "expected quote 1 to be PENDING"),
        (_locked(), log("RequestToCancelQuote", ALICE, HEDGER, 9, 1), "CANCELED or CANCEL_PENDING, found EXPIRED"),
        (_locked(), log("OpenPosition", 1, ALICE, SECOND_HEDGER, E18, E18), "filled by"),
        (_locked(), log("OpenPosition", 1, ALICE, HEDGER, 11 * E18, E18), "expected at most"),
        (_locked(price=0), log("OpenPosition", 1, ALICE, HEDGER, 10 * E18, E18), "requested open price"),
        (_close_requested(E18), log("FillCloseRequest", 1, ALICE, HEDGER, 2 * E18, 1, 5, 1), "at most"),
        (_opened(side=1), log("ChargeFundingRate", HEDGER, ALICE, [1], [2 * E18]), "leaves quote 1"),
        (_opened(), _liquidate_party_a(998 * E18), "with 998"),
        (_opened(), log("FullyLiquidatedPartyA", ALICE, b""), "found none"),
        (
            _fold(_with_second_quote_pending(), _liquidate_party_a(997 * E18)),
            log("LiquidatePendingPositionsPartyA", LIQUIDATOR, ALICE, [], [], b""),
            "found \\[2\\] left",
        ),
    ],
)
def test_an_event_that_does_not_fit_the_state_does_not_fold(state: AccountState, bad: RawLog, why: str) -> None:
    with pytest.raises(BadFold, match=why):
        _fold(state, bad)


def test_a_fold_leaves_the_state_before_it_as_it_was() -> None:
    before = _opened()
    copy = _opened()

    _fold(before, fee_out(E18), send_quote(2), log("LockQuote", SECOND_HEDGER, 2))

    assert copy == before
