"""Requests that trade are forwarded to the solver's own engine, and its answers in JSON are returned.

Both are strangers to each other: clients reach only the paths of ``engine_paths``, and the engine's answers are shown
on our own origin, so nothing of them is passed on but their status, their JSON and what is necessary to read it.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from api.dialects.symmio.engine_paths import engine_path
from api.dialects.symmio.replies import Refusal, reply
from api.http.bodies import read_as_sent
from api.http.error_bodies import error_response
from api.http.keys import SETTINGS
from api.http.log_lines import shown
from streams.process.http_bodies import WITHOUT_END
from streams.settings import symmio_deployments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.access.addresses import ClientAddresses

logger = logging.getLogger(__name__)

# These headers hold for one connection only. The engine has its own Host, and lengths follow from what is really sent.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Proxies say with these where a request comes from. From anybody else they are not true.
_SAID_BY_PROXIES = frozenset({"cf-connecting-ip", "forwarded", "true-client-ip", "via", "x-client-ip", "x-real-ip"})
_FORWARDED = "x-forwarded-"
# A cookie of our origin is not for the engine, whose own are never set.
_OF_OUR_ORIGIN = "cookie"
# Anything else would be a policy, a cookie or a redirect of our own origin.
_PASSED_BACK = ("Content-Type", "Content-Encoding", "Content-Language", "Retry-After")
# Answers may hold tokens and orders of one person.
_CACHE = "no-store"
# An engine that signs and sends a transaction takes some seconds; browsers give up after a minute or more.
_WITHIN_S = 30.0
# A list of ten thousand orders has 3 MB.
ANSWER_MAX_BYTES = 4_194_304
# Connections to engines are among the descriptors that no client gets.
_CONNECTIONS = 32


class Engines:
    """The HTTP client for engines; it is opened with the application and closed with it.

    Args:
        addresses: Tell which proxies are trusted.
    """

    def __init__(self, addresses: ClientAddresses) -> None:
        self._addresses = addresses
        self._session: aiohttp.ClientSession | None = None

    async def opened(self, _app: web.Application) -> AsyncIterator[None]:
        """Keep the client open as long as the application runs; for its ``cleanup_ctx``."""
        # Answers are passed on as they come, compressed or not.
        async with aiohttp.ClientSession(
            timeout=WITHOUT_END,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
            skip_auto_headers=("User-Agent",),
        ) as session:
            self._session = session
            yield
        self._session = None

    async def forward(self, request: web.Request, upstream: str, path: str) -> web.StreamResponse:
        """Send a request on and answer what comes back.

        Args:
            request: The client's. Its body is passed on as it was sent, with the header that says how it is packed.
            upstream: The engine's URL.
            path: The request's path as the engine knows it, percent-encoded, with its query.
        """
        if self._session is None:
            msg = "expected the application to be running, found it stopped"
            raise RuntimeError(msg)
        body = await read_as_sent(request)
        ends_s = asyncio.get_running_loop().time() + _WITHIN_S
        try:
            async with asyncio.timeout_at(ends_s):
                answer = await self._session.request(
                    request.method,
                    URL(f"{upstream}{path}", encoded=True),
                    headers=self._sent_on(request),
                    data=body or None,
                    allow_redirects=False,
                )
            async with answer:
                fault = _fault(answer)
                if fault is not None:
                    return _bad_gateway(request, fault)
                return await _passed_back(request, answer, ends_s)
        except (aiohttp.ClientError, OSError) as error:
            return _bad_gateway(request, type(error).__name__)

    def _sent_on(self, request: web.Request) -> CIMultiDict[str]:
        """Return the headers that the engine gets: the client's, and where the request comes from."""
        named = {
            name.strip().lower() for value in request.headers.getall("Connection", ()) for name in value.split(",")
        }
        is_from_proxy = self._addresses.is_trusted_peer(request.remote)
        headers = CIMultiDict[str]({"Accept-Encoding": "identity"})
        headers.extend(
            (name, value)
            for name, value in request.headers.items()
            if _is_sent_on(name.lower(), named, is_from_proxy=is_from_proxy)
        )
        said = request.headers.getall("X-Forwarded-For", ())
        headers["X-Forwarded-For"] = self._addresses.forwarded_for(request.remote, said)
        if "Accept-Encoding" in request.headers:
            headers["Accept-Encoding"] = ", ".join(request.headers.getall("Accept-Encoding"))
        return headers


def _is_sent_on(name: str, named: set[str], *, is_from_proxy: bool) -> bool:
    if name in _HOP_BY_HOP or name in named or name == _OF_OUR_ORIGIN:
        return False
    return is_from_proxy or not (name in _SAID_BY_PROXIES or name.startswith(_FORWARDED))


def _fault(answer: aiohttp.ClientResponse) -> str | None:
    """Say why an answer cannot be shown on our origin; None where it can."""
    if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
        return f"a redirect, {answer.status}"
    size = answer.content_length
    if size is not None and size > ANSWER_MAX_BYTES:
        return f"an answer of {size} bytes, more than {ANSWER_MAX_BYTES}"
    is_json = answer.content_type == "application/json" or answer.content_type.endswith("+json")
    if not is_json and not _is_empty(answer):
        return f"{answer.content_type} with status {answer.status}, not JSON"
    return None


def _is_empty(answer: aiohttp.ClientResponse) -> bool:
    return answer.content_length == 0 or answer.status == HTTPStatus.NO_CONTENT


async def _passed_back(request: web.Request, answer: aiohttp.ClientResponse, ends_s: float) -> web.StreamResponse:
    """Pass an answer on, piece by piece; one that turns out too large, breaks off or takes too long is broken off."""
    headers = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
    if _is_empty(answer):
        headers.pop("Content-Type", None)
        return web.Response(status=answer.status, headers={**headers, "Cache-Control": _CACHE})
    response = web.StreamResponse(status=answer.status, headers={**headers, "Cache-Control": _CACHE})
    response.content_length = answer.content_length
    await response.prepare(request)
    passed = 0
    try:
        async with asyncio.timeout_at(ends_s):
            async for piece in answer.content.iter_any():
                passed += len(piece)
                if passed > ANSWER_MAX_BYTES:
                    _break_off(request, f"an answer of more than {ANSWER_MAX_BYTES} bytes")
                    break
                await response.write(piece)
    except (aiohttp.ClientError, OSError) as error:
        _break_off(request, type(error).__name__)
    return response


def _break_off(request: web.Request, cause: str) -> None:
    # Its end would tell the client that the answer is whole. A client that has gone already is no fault of the engine.
    if request.transport is not None:
        logger.warning("engine failed path=%s cause=%s", shown(request.path), shown(cause))
        request.transport.abort()


def _bad_gateway(request: web.Request, cause: str) -> web.Response:
    logger.warning("engine failed path=%s cause=%s", shown(request.path), shown(cause))
    return error_response(HTTPStatus.BAD_GATEWAY, "the solver's engine does not answer, or not in JSON")


ENGINES = web.AppKey("symmio_engines", Engines)
LOCAL_PATH = web.RequestKey("symmio_local_path", str)
"""A request's path and query without the prefix that names the deployment, which the engine does not know."""


async def trading(request: web.Request, deployment: str) -> web.StreamResponse:
    """Forward a request; refuse it where the deployment has no engine."""
    answer = await _forwarded(request, deployment)
    if answer is None:
        msg = f"deployment {deployment} has no engine for {request.method} {request.path[:200]}"
        raise Refusal(HTTPStatus.NOT_IMPLEMENTED, msg)
    return answer


async def trading_list(request: web.Request, deployment: str) -> web.StreamResponse:
    """Forward a request; answer an empty list where the deployment has no engine."""
    answer = await _forwarded(request, deployment)
    return reply([]) if answer is None else answer


async def _forwarded(request: web.Request, deployment: str) -> web.StreamResponse | None:
    local_path, mark, query = request[LOCAL_PATH].partition("?")
    found = engine_path(local_path)
    if found is None:
        raise web.HTTPNotFound
    if request.method not in found.methods:
        raise web.HTTPMethodNotAllowed(request.method, found.methods)
    upstream = symmio_deployments(request.app[SETTINGS])[deployment].solver.upstream
    if upstream is None:
        return None
    return await request.app[ENGINES].forward(request, upstream, f"{found.path}{mark}{query}")
