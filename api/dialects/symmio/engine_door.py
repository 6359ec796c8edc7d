"""``POST /ingest/position-states``: a solver's engine that has no access to Kafka says its position states here."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson

from api.dialects.symmio.replies import BadParameter, Refusal, reply
from api.dialects.symmio.whitelisting import expect_operator
from api.http.bodies import read_plain
from api.http.keys import RECORDS
from models.errors import BadRecord
from models.ids import account_key
from models.symmio.engine_states import decode_engine_state, encode_engine_state
from models.symmio.topics import POSITION_STATES_IN
from streams.kafka.single_records import NotWritten

if TYPE_CHECKING:
    from aiohttp import web

    from models.symmio.engine_states import EngineState

# With so many, the answer comes within a second even where each record takes the broker some ms.
_RECORDS_MAX = 100


async def take_position_states(request: web.Request, deployment: str) -> web.Response:
    """Take one state or a list of them: all are checked before any is written, and all are written before the answer.

    The engine may send states again where no answer came: an id and version that are known already change nothing.
    """
    expect_operator(request, deployment)
    states = _states(await read_plain(request))
    try:
        for state in states:
            key = account_key(deployment, state.counterparty_address)
            await request.app[RECORDS].send(POSITION_STATES_IN, key, encode_engine_state(state))
    except NotWritten as error:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "not all could be written, send them again") from error
    return reply({"taken": len(states)})


def _states(raw: bytes) -> list[EngineState]:
    try:
        said: Any = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadParameter(("body",), f"expected JSON, found a fault: {error}", "value_error.json") from error
    records = said if isinstance(said, list) else [said]
    if len(records) > _RECORDS_MAX:
        msg = f"expected at most {_RECORDS_MAX} position states at once, found {len(records)}"
        raise BadParameter(("body",), msg, "value_error.list")
    states = []
    for number, record in enumerate(records):
        try:
            states.append(decode_engine_state(orjson.dumps(record)))
        except (BadRecord, orjson.JSONEncodeError) as error:
            raise BadParameter(("body", str(number)), str(error), "value_error.position_state") from error
    return states
