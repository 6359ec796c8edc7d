"""Rows of ``alerts`` and ``position-states`` as the workers make them, and funding of a market."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.alerts import LIQUIDATABLE, QUIET, STALE, UNPRICED, with_transitions
from models.position_states import EMPTY
from models.symmio.position_states import with_chain_states, with_engine_state
from tests.support.feed import unpriced_body, valuation_body
from tests.support.positions import MADE, TIME_S, chain_state, engine_state
from tests.support.rest import NOW_MS, account_key, filled_tables
from tests.support.solver import put_instrument

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.feed import FakeTables

Body = dict[str, Any]

_MADE = {"at_ms": 5, "venue": "symmio/1", "settings": "0a"}


def alerts_body(key: str, *steps: tuple[int, int]) -> Body:
    """The row of an account of which these alarms were on one after another, each as of so many ms."""
    body: Body | None = None
    for alarms, as_of_ms in steps:
        shown = unpriced_body(last_complete=None) if alarms & UNPRICED else valuation_body()
        body = with_transitions(key.encode(), body, alarms, {**shown, "as_of_ms": as_of_ms}, _MADE)
    assert body is not None
    return body


def engine_body(*said: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row of an account of which an engine said this; fields that are not named are those of ``engine_record``."""
    body = EMPTY
    for changes in said:
        body = with_engine_state(body, engine_state(**changes), MADE, fresh=True, gaps=False)
    return body


def full_states_body() -> Mapping[str, Any]:
    """The row of an account with states of both sources and with every field."""
    failed = {
        "id": "all",
        "version": 3,
        "temp_quote_id": -7,
        "action_status": "failed",
        "state_type": "warning",
        "failure_type": "SolverSide",
        "failure_message": "no margin",
        "error_code": 12,
        "order_type": 1,
        "filled_amount_open": "0.5",
        "filled_amount_close": "1",
        "avg_price_open": "100.25",
        "avg_price_close": "101",
    }
    body = engine_body(failed, {"id": "temporary", "quote_id": None, "temp_quote_id": -8, "modify_time": TIME_S + 1})
    filled = chain_state(last_seen_action="FillLimitOrderOpen", filled_amount_open="1", modify_time=TIME_S + 2)
    return with_chain_states(body, [filled], fresh=True, gaps=False, now_ms=NOW_MS)


def told_tables() -> FakeTables:
    """``filled_tables``, with alerts and position states of some accounts, and with funding of the first market."""
    tables = filled_tables()
    steps = (UNPRICED, NOW_MS - 9_000), (STALE | LIQUIDATABLE, NOW_MS - 8_000), (LIQUIDATABLE, NOW_MS - 7_000)
    for number in range(2):
        key = account_key(number)
        tables.alerts.put(key, 1, alerts_body(key, *steps[: number + 2]))
        tables.position_states.put(key, 1, full_states_body())
    tables.alerts.put(account_key(2), 1, alerts_body(account_key(2), *steps, (QUIET, NOW_MS)))
    put_instrument(tables, "BTCUSDT")
    return tables
