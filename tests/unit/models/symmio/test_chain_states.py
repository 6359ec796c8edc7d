"""Which logs make a position state, and what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.account_events import Transaction
from models.symmio.account import AccountRow, advance
from models.symmio.chain_states import states_of
from models.symmio.position_states import CHAIN
from tests.support.symmio import ALICE, E18, HEDGER, LIQUIDATOR, allocate, block, fee_out, log, send_quote

if TYPE_CHECKING:
    from models.chain_records import RawLog

Told = tuple[str, int, str, str]


def told(*transactions: list[RawLog]) -> list[dict[str, Any]]:
    """The states of Alice's transactions, one a block, all but the last of which only prepare it."""
    row: AccountRow | None = None
    made: list[dict[str, Any]] = []
    for number, logs in enumerate(transactions, start=10):
        (placed,) = [tuple(block(number, logs).logs)]
        transaction = Transaction((number, 0), number, 1_000 + number, placed[0].tx, placed)
        row = advance(row, transaction)
        assert row.suspect is None, row.suspect
        made = states_of("main", transaction, row.state.quotes)
    return made


def brief(states: list[dict[str, Any]]) -> list[Told]:
    return [(s["last_seen_action"], s["quote_id"], s["action_status"], s["state_type"]) for s in states]


FUNDED = [allocate(5_000 * E18), fee_out(0), send_quote(1)]
LOCKED = [*FUNDED, log("LockQuote", HEDGER, 1)]
OPENED = [*LOCKED, log("OpenPosition", 1, ALICE, HEDGER, 10 * E18, 99 * E18)]
CLOSING = [*OPENED, log("RequestToClosePosition", ALICE, HEDGER, 1, 101 * E18, 4 * E18, 1, 2_000_000_000, 5)]


def close(name: str, amount: int, status: int) -> RawLog:
    return log(name, 1, ALICE, HEDGER, amount * E18, 100 * E18, status)


def test_a_quote_that_was_sent_is_seen() -> None:
    assert [
        {
            "source": CHAIN,
            "id": f"main:0x{10:032x}{0:032x}:2",
            "version": 0,
            "at": [10, 0, 2],
            "block": 10,
            "create_time": 1_010,
            "modify_time": 1_010,
            "quote_id": 1,
            "symbol_id": 1,
            "last_seen_action": "SendQuote",
            "action_status": "seen",
            "order_type": 0,
            "state_type": "alert",
        }
    ] == told(FUNDED)


def test_a_position_that_was_opened_in_full_is_an_alert_with_what_was_filled() -> None:
    (state,) = told(LOCKED, [log("OpenPosition", 1, ALICE, HEDGER, 10 * E18, 99 * E18)])

    assert [("FillLimitOrderOpen", 1, "success", "alert")] == brief([state])
    assert ("10", "99") == (state["filled_amount_open"], state["avg_price_open"])
    assert "filled_amount_close" not in state


def test_a_position_of_which_a_part_was_opened_is_a_report_and_what_is_left_is_not_told() -> None:
    rest = log(
        "SendQuote", ALICE, 2, [], 1, 0, 0, 100 * E18, 101 * E18, 6 * E18,
        *(value * E18 for value in (30, 12, 78, 24)), E18 // 1000, 2_000_000_000,
    )  # fmt: skip
    made = told(LOCKED, [log("OpenPosition", 1, ALICE, HEDGER, 4 * E18, 100 * E18), rest])

    assert [("FillLimitOrderOpen", 1, "success", "report")] == brief(made)
    assert "4" == made[0]["filled_amount_open"]


def test_a_request_is_seen() -> None:
    cancelled = told(LOCKED, [log("RequestToCancelQuote", ALICE, HEDGER, 2, 1)])
    closing = told(OPENED, CLOSING[-1:])
    kept = told(CLOSING, [log("RequestToCancelCloseRequest", ALICE, HEDGER, 1, 6)])

    assert [("RequestToCancelQuote", 1, "seen", "alert")] == brief(cancelled)
    assert [("RequestToClosePosition", 1, "seen", "alert")] == brief(closing)
    assert 1 == closing[0]["order_type"]
    assert [("RequestToCancelCloseRequest", 1, "seen", "alert")] == brief(kept)


def test_a_close_request_of_which_a_part_was_filled_is_a_report_and_all_of_it_an_alert() -> None:
    part = told(CLOSING, [close("FillCloseRequest", 1, 5)])
    rest = told(CLOSING, [close("FillCloseRequest", 4, 4)])

    assert [("FillLimitOrderClose", 1, "success", "report")] == brief(part)
    assert ("1", "100") == (part[0]["filled_amount_close"], part[0]["avg_price_close"])
    assert "filled_amount_open" not in part[0]
    assert [("FillLimitOrderClose", 1, "success", "alert")] == brief(rest)


def test_an_emergency_close_is_told_as_any_other() -> None:
    made = told(OPENED, [close("EmergencyClosePosition", 10, 7)])

    assert [("FillLimitOrderClose", 1, "success", "alert")] == brief(made)


def test_a_liquidation_is_told_of_each_quote_under_an_id_of_its_own() -> None:
    second = [send_quote(2), log("LockQuote", HEDGER, 2), log("OpenPosition", 2, ALICE, HEDGER, 10 * E18, 99 * E18)]
    made = told(OPENED, second, [log("LiquidatePositionsPartyB", LIQUIDATOR, HEDGER, ALICE, [1, 2])])

    assert [("LiquidatePosition", quote_id, "success", "alert") for quote_id in (1, 2)] == brief(made)
    assert [f"main:0x{12:032x}{0:032x}:0:{quote_id}" for quote_id in (1, 2)] == [state["id"] for state in made]


def test_locks_and_balances_make_no_state() -> None:
    assert [] == told(FUNDED, [log("LockQuote", HEDGER, 1), allocate(1)])
