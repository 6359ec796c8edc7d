from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest

from models.errors import BadRecord
from models.symmio.engine_states import (
    decode_engine_state,
    encode_engine_state,
    expect_own_key,
    position_state_schema,
)
from tests.support.positions import ACCOUNT, KEY, engine_record

SCHEMA = Path(__file__).parents[4] / "api" / "dialects" / "symmio" / "position_state.schema.json"

GOOD: list[dict[str, Any]] = [
    engine_record(),
    engine_record(quote_id=None, temp_quote_id=-711),
    engine_record(temp_quote_id=-711, version=3, should_send=False),
    engine_record(filled_amount_open=0, filled_amount_close="9.600000000000000000", avg_price_close=None),
    engine_record(
        action_status="failed", failure_type="Solvency Problem", failure_message="é" * 500, error_code=18, order_type=1
    ),
    engine_record(counterparty_address="0x" + "AB" * 20, state_type="warning"),
]
BAD: list[dict[str, Any]] = [
    {},
    {name: value for name, value in engine_record().items() if name != "id"},
    engine_record(quote_id=None),
    engine_record(quote_id=0),
    engine_record(quote_id="7"),
    engine_record(temp_quote_id=7),
    engine_record(counterparty_address="0x12"),
    engine_record(counterparty_address=ACCOUNT + "0"),
    engine_record(last_seen_action="Send Quote"),
    engine_record(last_seen_action=None),
    engine_record(action_status="pending"),
    engine_record(state_type="toast"),
    engine_record(filled_amount_open="1e5"),
    engine_record(filled_amount_open="-1"),
    engine_record(avg_price_open=1.5),
    engine_record(modify_time="now"),
    engine_record(modify_time=1_745_970_777_000),
    engine_record(version=-1),
    engine_record(error_code=-1),
    engine_record(order_type=2),
    engine_record(failure_message="x" * 501),
    engine_record(should_sent=True),
]


@pytest.mark.parametrize("record", GOOD)
def test_what_is_a_position_state_is_taken_and_comes_back(record: dict[str, Any]) -> None:
    jsonschema.validate(record, position_state_schema())
    state = decode_engine_state(orjson.dumps(record))

    assert record["id"] == state.id
    assert state == decode_engine_state(encode_engine_state(state))


@pytest.mark.parametrize("record", BAD)
def test_what_is_none_is_refused_by_the_decoder_and_by_the_schema(record: dict[str, Any]) -> None:
    with pytest.raises(BadRecord, match="expected"):
        decode_engine_state(orjson.dumps(record))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record, position_state_schema())


@pytest.mark.parametrize("value", [b"", b"[]", b"\xff", b'{"id": "\xff"}'])
def test_what_is_no_object_is_refused(value: bytes) -> None:
    with pytest.raises(BadRecord, match="position state"):
        decode_engine_state(value)


@pytest.mark.parametrize("text", ["1.5\n", "1.", ".5", "٣"])
def test_an_amount_that_only_looks_like_one_is_refused(text: str) -> None:
    with pytest.raises(BadRecord):
        decode_engine_state(orjson.dumps(engine_record(avg_price_open=text)))


def test_the_published_schema_is_that_of_the_decoder() -> None:
    jsonschema.Draft202012Validator.check_schema(position_state_schema())
    assert position_state_schema() == orjson.loads(SCHEMA.read_bytes())


def test_a_record_belongs_to_its_account_in_lower_case() -> None:
    state = decode_engine_state(orjson.dumps(engine_record(counterparty_address="0x" + "0A" * 20)))
    expect_own_key(KEY, state)

    for key in (b"", b"main", b"main:0x" + b"0A" * 20, b"main:0x" + b"0b" * 20):
        with pytest.raises(BadRecord, match="expected a key of deployment and 0x"):
            expect_own_key(key, state)
