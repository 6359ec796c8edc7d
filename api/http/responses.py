"""What holds for every HTTP answer: open CORS, a tight content policy, errors as JSON, a count."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from api.dialects.symmio.replies import error_response
from api.http.keys import METRICS

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

# Frontends of other hosts send App-Name with almost every request, so browsers ask first.
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "App-Name, Content-Type, Authorization",
    "Access-Control-Expose-Headers": "ETag, Retry-After",
    "Access-Control-Max-Age": "86400",
}
_CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# What tells a client how to do better.
_KEPT_HEADERS = {"Allow", "Retry-After", "Upgrade", "WWW-Authenticate"}
# Figures change every second; a browser may keep a copy only to ask whether it still holds.
_CACHE = "no-cache"


async def set_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers every answer carries; a signal handler for ``on_response_prepare``."""
    if response.status != HTTPStatus.SWITCHING_PROTOCOLS:
        response.headers.update(_CORS | _SECURITY)
        response.headers.setdefault("Content-Security-Policy", _CONTENT_POLICY)
        response.headers.setdefault("Cache-Control", _CACHE)


@web.middleware
async def answer_preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a browser's preflight for any path."""
    if request.method == "OPTIONS":
        return web.Response(status=HTTPStatus.NO_CONTENT)
    return await handler(request)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give routing errors (404, 405 and the like) the body legacy clients know."""
    try:
        return await handler(request)
    except web.HTTPClientError as error:
        response = error_response(HTTPStatus(error.status), f"{error.reason}: {request.method} {request.path}")
        for name in _KEPT_HEADERS & error.headers.keys():
            response.headers[name] = error.headers[name]
        return response


@web.middleware
async def count_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count answers by route and status."""
    response = await handler(request)
    if response.status != HTTPStatus.SWITCHING_PROTOCOLS:
        resource = request.match_info.route.resource
        route = "none" if resource is None else resource.canonical
        request.app[METRICS].requests.labels(route, str(response.status)).inc()
    return response
