from __future__ import annotations

import pytest

from models.errors import BadRow
from models.position_states import EMPTY
from models.symmio.notification_views import checksummed, notification_frame, notification_item
from models.symmio.position_states import with_engine_state
from tests.support.positions import KEY, MADE, chain_state, engine_state

# The examples of EIP-55.
CHECKSUMMED = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
]
BY = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
CLOSED = engine_state(
    id="ecbaca8f",
    create_time=1_785_909_531,
    modify_time=1_785_909_531,
    quote_id=228_234,
    temp_quote_id=-711,
    counterparty_address=BY,
    state_type="report",
    filled_amount_open=0,
    filled_amount_close="9.600000000000000000",
    avg_price_open="0",
    avg_price_close="1.0696",
    last_seen_action="InstantRequestToClosePosition",
    action_status="success",
    order_type=1,
)


@pytest.mark.parametrize("address", CHECKSUMMED)
def test_an_address_has_the_capitals_of_eip_55(address: str) -> None:
    assert address == checksummed(address.lower())


def test_a_frame_is_what_the_live_service_sends() -> None:
    (state,) = with_engine_state(EMPTY, CLOSED, MADE, fresh=True, gaps=True)["states"]

    assert {
        "id": "ecbaca8f",
        "create_time": 1_785_909_531,
        "modify_time": 1_785_909_531,
        "quote_id": 228_234,
        "temp_quote_id": -711,
        "counterparty_address": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "state_type": "report",
        "filled_amount_open": 0,
        "filled_amount_close": "9.600000000000000000",
        "avg_price_open": 0,
        "avg_price_close": "1.0696",
        "last_seen_action": "InstantRequestToClosePosition",
        "action_status": "success",
        "failure_type": None,
        "error_code": 0,
        "order_type": 1,
    } == notification_frame(f"main:{BY}", state)


def test_over_rest_an_amount_that_there_is_none_of_is_text() -> None:
    item = notification_item(KEY.decode(), chain_state())

    assert ["0"] * 4 == [
        item[f"{name}_{side}"] for name in ("filled_amount", "avg_price") for side in ("open", "close")
    ]
    assert (131_388, None, "SendQuote", "seen", "alert", 0) == (
        item["quote_id"],
        item["temp_quote_id"],
        item["last_seen_action"],
        item["action_status"],
        item["state_type"],
        item["order_type"],
    )


def test_a_quote_that_the_chain_has_not_named_yet_goes_by_its_temporary_id() -> None:
    state = engine_state(quote_id=None, temp_quote_id=-5)
    frame = notification_frame(KEY.decode(), with_engine_state(EMPTY, state, MADE, fresh=True, gaps=True)["states"][0])

    assert (-5, -5) == (frame["quote_id"], frame["temp_quote_id"])
    assert "order_type" not in frame


def test_a_failure_says_why_and_a_version_is_shown_where_there_is_one() -> None:
    state = engine_state(
        action_status="failed", failure_type="Solvency Problem", failure_message="no", error_code=18, version=3
    )
    frame = notification_frame(KEY.decode(), with_engine_state(EMPTY, state, MADE, fresh=True, gaps=True)["states"][0])

    assert ("failed", "Solvency Problem", "no", 18, 3) == (
        frame["action_status"],
        frame["failure_type"],
        frame["failure_message"],
        frame["error_code"],
        frame["version"],
    )


def test_what_is_no_state_is_refused() -> None:
    with pytest.raises(BadRow, match="position-states"):
        notification_frame(KEY.decode(), {"id": "a"})
