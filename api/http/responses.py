"""What all HTTP answers have in common: open CORS, a strict content policy, errors as JSON, a count."""

from __future__ import annotations

import logging
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from api.http.keys import DIALECTS, METRICS, REPLAY_OF
from api.http.log_lines import shown
from api.http.problems import said_by

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

logger = logging.getLogger(__name__)

_EXPOSED = "Access-Control-Expose-Headers"
_REPLAY_OF = "Tidemark-Replay-Of"
# Frontends on other hosts send App-Name with almost every request, so browsers send a preflight first.
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "App-Name, Content-Type, Authorization",
    _EXPOSED: "ETag, RateLimit, RateLimit-Policy, Retry-After",
    "Access-Control-Max-Age": "86400",
}
_CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SERVER = "Tidemark"
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# Headers of an error that tell a client how to do better.
_KEPT_HEADERS = {"Accept-Encoding", "Allow", "Connection", "Retry-After", "Upgrade", "WWW-Authenticate"}
# Figures change every second: a browser may keep a copy, and must ask each time whether it is still the newest.
_CACHE = "no-cache"


async def name_server(_request: web.Request, response: web.StreamResponse) -> None:
    """Tell no version of the server; a signal handler for ``on_response_prepare``."""
    hide_versions(response)


def hide_versions(response: web.StreamResponse) -> None:
    """Name the server alone: aiohttp would tell its version and Python's, and so which faults of theirs there are."""
    response.headers["Server"] = _SERVER


async def set_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers that every answer has; a signal handler for ``on_response_prepare``."""
    if response.status != HTTPStatus.SWITCHING_PROTOCOLS:
        response.headers.update(_CORS | _SECURITY)
        response.headers.setdefault("Content-Security-Policy", _CONTENT_POLICY)
        response.headers.setdefault("Cache-Control", _CACHE)


async def name_replay(request: web.Request, response: web.StreamResponse) -> None:
    """Say of which instant an answer is a replay, also that to a handshake; for ``on_response_prepare``."""
    replay_of = request.app[REPLAY_OF]
    if replay_of is not None:
        response.headers[_REPLAY_OF] = replay_of()
        exposed = response.headers.get(_EXPOSED)
        if exposed is not None:
            response.headers[_EXPOSED] = f"{exposed}, {_REPLAY_OF}"


@web.middleware
async def answer_preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a browser's preflight for any path."""
    if request.method == "OPTIONS":
        return web.Response(status=HTTPStatus.NO_CONTENT)
    return await handler(request)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every error the body that clients of its path read, which says nothing of the server's insides."""
    answered = partial(request.app[DIALECTS].error, request.path)
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        detail = said_by(error) or f"{error.reason}: {request.method} {request.path[:200]}"
        response = answered(HTTPStatus(error.status), detail)
        for name in _KEPT_HEADERS & error.headers.keys():
            response.headers[name] = error.headers[name]
        return response
    except Exception as error:  # no code above this can answer: without it the client gets aiohttp's text
        is_gone = request.transport is None and isinstance(error, ConnectionError)
        if request.writer.output_size or is_gone:
            raise
        logger.exception("request failed method=%s path=%s", request.method, shown(request.path))
        return answered(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed at this request, and has noted why")


@web.middleware
async def count_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count answers by route and status."""
    response = await handler(request)
    if response.status != HTTPStatus.SWITCHING_PROTOCOLS:
        resource = request.match_info.route.resource
        route = "none" if resource is None else resource.canonical
        request.app[METRICS].requests.labels(route, str(response.status)).inc()
    return response
