"""Records of ``position-states-in``: the notifications of a solver's engine about a position. Key: the account's.

``position_state_schema`` describes such a record for those who write engines.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from models.errors import BadRecord
from models.ids import split_key

# 9999-12-31T23:59:59Z, the last second that RFC 3339 can write.
_LAST_S = 253_402_300_799
_ID_MAX = 2**63 - 1
# With the bounds below the fullest row of an account stays under the broker's 1 MB, whatever its texts hold.
# In Python ``$`` also matches before a line feed at the end of the text.
_END = r"$(?!\n)"
_ADDRESS = r"^0x[0-9a-fA-F]{40}" + _END
_AMOUNT = r"^[0-9]{1,60}(\.[0-9]{1,60})?" + _END
_ACTION = r"^[A-Za-z]{1,64}" + _END

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
_Seconds = Annotated[int, msgspec.Meta(ge=0, le=_LAST_S)]
_Amount = (
    Annotated[str, msgspec.Meta(pattern=_AMOUNT, max_length=80, description="Plain decimal text, never negative.")]
    | Literal[0]
    | None
)


class EngineState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One version of one notification.

    Times are Unix seconds. ``version`` orders what is said under one ``id``: a later one takes the place of an earlier.
    ``temp_quote_id`` is what the engine calls a quote before the chain gives it its ``quote_id``. Amounts and average
    prices are plain decimal texts, ``error_code`` one of those the solver publishes.
    """

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=128, description="The same in every version.")]
    counterparty_address: Annotated[str, msgspec.Meta(pattern=_ADDRESS, description="Party A, a sub-account.")]
    create_time: _Seconds
    modify_time: _Seconds
    last_seen_action: Annotated[str, msgspec.Meta(pattern=_ACTION, description="Such as SendQuote.")]
    action_status: Literal["failed", "seen", "success"]
    state_type: Literal["alert", "report", "warning"]
    quote_id: Annotated[int, msgspec.Meta(ge=1, le=_ID_MAX)] | None = None
    temp_quote_id: Annotated[int, msgspec.Meta(ge=-_ID_MAX, le=-1)] | None = None
    version: Annotated[int, msgspec.Meta(ge=0, le=_ID_MAX)] = 0
    filled_amount_open: _Amount = None
    filled_amount_close: _Amount = None
    avg_price_open: _Amount = None
    avg_price_close: _Amount = None
    failure_type: _Text | None = None
    failure_message: Annotated[str, msgspec.Meta(max_length=500)] | None = None
    error_code: Annotated[int, msgspec.Meta(ge=0, le=_ID_MAX)] | None = None
    order_type: Literal[0, 1] | None = None
    should_send: Annotated[bool, msgspec.Meta(description="False: kept and served, but not pushed.")] = True


_decoder = msgspec.json.Decoder(EngineState)
_encoder = msgspec.json.Encoder()


def decode_engine_state(value: bytes) -> EngineState:
    """Decode and check a record.

    Raises:
        BadRecord: ``value`` is not such a record; the message names the field that is wrong.
    """
    try:
        state = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"expected a position state, found {value[:80]!r}: {error}"
        raise BadRecord(msg) from error
    if state.quote_id is None and state.temp_quote_id is None:
        msg = f"expected quote_id or temp_quote_id in position state {state.id!r}, found neither"
        raise BadRecord(msg)
    return state


def encode_engine_state(state: EngineState) -> bytes:
    """Encode a record as an engine should write it."""
    return _encoder.encode(state)


def expect_own_key(key: bytes, state: EngineState) -> None:
    """Refuse a record whose key is not ``<deployment>:<address of its account in lower case>``.

    Raises:
        BadRecord: The key is another one.
    """
    address = state.counterparty_address.lower()
    if split_key(key)[1] != address:
        msg = f"expected a key of deployment and {address} for position state {state.id!r}, found {key!r}"
        raise BadRecord(msg)


def position_state_schema() -> dict[str, Any]:
    """Make the JSON schema of a record."""
    schema = msgspec.json.schema_components([EngineState])[1]["EngineState"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Position state",
        "description": " ".join(schema["description"].split()),
        "anyOf": [
            {"properties": {name: {"not": {"type": "null"}}}, "required": [name]}
            for name in ("quote_id", "temp_quote_id")
        ],
    }
