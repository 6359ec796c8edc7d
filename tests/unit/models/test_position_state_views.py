from __future__ import annotations

from typing import Any

import pytest

from models.errors import BadRow
from models.position_state_views import position_states_view
from models.position_states import EMPTY
from models.symmio.position_states import with_chain_states
from tests.support.account_rows import engine_body, full_states_body
from tests.support.positions import TIME_S, chain_state
from tests.support.rest import NOW_MS

KEY = "main:0xa"
AT = {"created": "2025-04-29T23:52:57.000Z", "created_ns": f"{TIME_S}000000000"}
MODIFIED = {"modified": "2025-04-29T23:52:57.000Z", "modified_ns": f"{TIME_S}000000000"}


def states_of(body: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    states = position_states_view(KEY, body)["states"]
    assert isinstance(states, dict)
    return states


def test_what_an_engine_says_is_shown_under_its_id_and_what_it_does_not_say_is_absent() -> None:
    assert {
        "account": KEY,
        "deployment": "main",
        "address": "0xa",
        "states": {
            "a": {
                "id": "a",
                "source": "engine",
                "version": 0,
                "quote_id": 131_388,
                "last_seen_action": "SendQuote",
                "action_status": "seen",
                "state_type": "alert",
                **AT,
                **MODIFIED,
            }
        },
    } == position_states_view(KEY, engine_body({"id": "a"}))


def test_all_that_an_engine_can_say_is_shown() -> None:
    assert {
        "id": "all",
        "source": "engine",
        "version": 3,
        "quote_id": 131_388,
        "temp_quote_id": -7,
        "filled_amount_open": "0.5",
        "filled_amount_close": "1",
        "avg_price_open": "100.25",
        "avg_price_close": "101",
        "last_seen_action": "SendQuote",
        "action_status": "failed",
        "state_type": "warning",
        "failure_type": "SolverSide",
        "failure_message": "no margin",
        "error_code": 12,
        "order_type": 1,
        **AT,
        **MODIFIED,
    } == states_of(full_states_body())["all"]


def test_a_market_and_a_block_are_those_of_the_chain_and_how_a_state_is_kept_is_not_shown() -> None:
    body = with_chain_states(EMPTY, [chain_state()], fresh=True, gaps=False, now_ms=NOW_MS)
    (state,) = states_of(body).values()

    assert ("chain", 1, 118, 0) == (state["source"], state["symbol_id"], state["block"], state["order_type"])
    assert not {"at", "seq", "push", "said", "due_ms", "create_time", "modify_time"} & state.keys()


@pytest.mark.parametrize("amount", [0, None])
def test_an_amount_that_there_is_none_of_is_absent(amount: int | None) -> None:
    assert "filled_amount_open" not in states_of(engine_body({"id": "a", "filled_amount_open": amount}))["a"]


def test_an_error_code_of_zero_is_shown() -> None:
    assert 0 == states_of(engine_body({"id": "a", "error_code": 0}))["a"]["error_code"]


def test_states_that_wait_for_the_engine_are_not_shown() -> None:
    assert {} == states_of(with_chain_states(EMPTY, [chain_state()], fresh=True, gaps=True, now_ms=NOW_MS))


def test_the_newest_state_comes_first() -> None:
    body = engine_body(*({"id": name, "modify_time": TIME_S + at} for name, at in (("a", 2), ("b", 3), ("c", 1))))

    assert ["b", "a", "c"] == list(states_of(body))


@pytest.mark.parametrize("body", [{}, {"states": None}, {"states": [{"id": "a"}]}, {"states": [7]}])
def test_what_is_no_row_of_position_states_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(BadRow, match="expected the body of a position-states row"):
        position_states_view(KEY, body)
