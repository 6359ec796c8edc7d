"""Position states over REST, newest first.

``POST /position-state/{start}/{size}``, ``POST /notifications/{start}/{size}``, and by its id one alone, ``POST
/position-state/{state_id}``.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson

from api.access.gate import principal_of
from api.dialects.symmio.app_keys import POSITION_STATES, WHITELIST
from api.dialects.symmio.frames import parse_address
from api.dialects.symmio.position_state_search import Wanted
from api.dialects.symmio.replies import BadParameter, Refusal, reply
from api.dialects.symmio.requested_market import listed
from api.http.bodies import read_plain
from api.http.keys import FEEDS, STANDINGS
from models.symmio.notification_views import notification_item

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from api.dialects.symmio.position_state_search import Found

SIZE_MAX = 100
_START_MAX = 1_000_000
_MAX_S = 253_402_300_799
# An engine's have 128 at most; the chain's, a deployment's name, a transaction, a log and a quote, are no longer.
STATE_ID_MAX = 200


async def position_state(request: web.Request, deployment: str) -> web.Response:
    """Answer the states that a client asks for; an empty body asks for all."""
    wanted = await _wanted(request, deployment, await _body(request))
    return await _page_of_states(request, deployment, wanted, *_page(request))


async def one_position_state(request: web.Request, deployment: str) -> web.Response:
    """Answer the state that has the id in the path, in the same form; what the body asks for must hold of it too."""
    state_id = request.match_info["state_id"]
    if len(state_id) > STATE_ID_MAX:
        msg = f"expected state_id of {STATE_ID_MAX} characters at most, found {len(state_id)}"
        raise BadParameter(("path", "state_id"), msg, "value_error.any_str.max_length")
    wanted = replace(await _wanted(request, deployment, await _body(request)), state_id=state_id)
    return await _page_of_states(request, deployment, wanted, 0, SIZE_MAX)


async def _page_of_states(request: web.Request, deployment: str, wanted: Wanted, start: int, size: int) -> web.Response:
    count, found = await _find(request, deployment, wanted, start, size)
    return reply({"count": count, "position_state": _items(found)})


async def notifications(request: web.Request, deployment: str) -> web.Response:
    """Answer the same under newer names."""
    said = await _body(request)
    wanted = Wanted(
        address=_address(said, "counterparty_address"),
        quote_id=_integer(said, "quote_id"),
        modified_since_s=_seconds(said, "timestamp_gte"),
    )
    count, found = await _find(request, deployment, wanted, *_page(request))
    return reply({"count": count, "notification_data": _items(found)})


async def _wanted(request: web.Request, deployment: str, said: Mapping[str, Any]) -> Wanted:
    return Wanted(
        address=_address(said, "address"),
        quote_id=_integer(said, "quote_id"),
        created_since_s=_seconds(said, "create_time_gte"),
        modified_since_s=_seconds(said, "modify_time_gte"),
        states=_texts(said, "states"),
        symbols=await _symbols(request, deployment, _texts(said, "symbols")),
    )


def _page(request: web.Request) -> tuple[int, int]:
    return _path_number(request, "start", 0, _START_MAX), _path_number(request, "size", 1, SIZE_MAX)


async def _find(
    request: web.Request, deployment: str, wanted: Wanted, start: int, size: int
) -> tuple[int, list[Found]]:
    app = request.app
    # The whitelist looks accounts up in their rows and on its list, which must have been read.
    if not (app[FEEDS].position_states.is_ready and app[STANDINGS].is_warm and app[WHITELIST].is_warm):
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the tables are still being read, try again in some seconds")
    may_read = principal_of(request).may_read
    return await app[POSITION_STATES].find(deployment, wanted, start, size, may_read)


async def _symbols(request: web.Request, deployment: str, names: frozenset[str]) -> frozenset[int] | None:
    if not names:
        return None
    markets = listed(request, deployment)
    found = [one.market.symbol_id async for one in markets if not names.isdisjoint((one.name, one.market.name))]
    return frozenset(found)


def _items(found: list[Found]) -> list[dict[str, Any]]:
    return [notification_item(one.key.decode(), one.state) for one in found]


async def _body(request: web.Request) -> Mapping[str, Any]:
    raw = await read_plain(request)
    if not raw.strip():
        return {}
    try:
        said = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadParameter(("body",), f"expected a JSON object, found a fault: {error}", "value_error.json") from error
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise BadParameter(("body",), f"expected a JSON object, found {raw[:80]!r}", "type_error.dict")
    return said


def _path_number(request: web.Request, name: str, least: int, most: int) -> int:
    text = request.match_info[name]
    if not (text.isascii() and text.isdigit() and least <= int(text[:9]) <= most and len(text) < len(str(most)) + 1):
        msg = f"expected {name} from {least} to {most}, found {text[:40]!r}"
        raise BadParameter(("path", name), msg, "value_error.number")
    return int(text)


def _address(said: Mapping[str, Any], name: str) -> str | None:
    value = said.get(name)
    if value is None or value == "":
        return None
    address = parse_address(value) if isinstance(value, str) else None
    if address is None:
        raise BadParameter(("body", name), f"expected 0x and 40 hex digits, found {value!r:.80}", "value_error.address")
    return address


def _integer(said: Mapping[str, Any], name: str) -> int | None:
    """A number, or its text: clients send either."""
    value = said.get(name)
    match value:
        case None | "":
            return None
        case bool():
            pass
        case int():
            return value
        case str() if value.removeprefix("-").isascii() and value.removeprefix("-").isdigit() and len(value) < 20:  # noqa: PLR2004 - 63 bits
            return int(value)
        case _:
            pass
    raise BadParameter(("body", name), f"expected an integer or its text, found {value!r:.80}", "type_error.integer")


def _seconds(said: Mapping[str, Any], name: str) -> int | None:
    value = said.get(name)
    if isinstance(value, float) and 0 <= value <= _MAX_S:
        return int(value)
    return _integer(said, name)


def _texts(said: Mapping[str, Any], name: str) -> frozenset[str]:
    value = said.get(name)
    if value is None:
        return frozenset()
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise BadParameter(("body", name), f"expected a list of texts, found {value!r:.80}", "type_error.list")
    return frozenset(value)
