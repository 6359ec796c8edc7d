"""What concerns trading goes to the solver's own engine, as it came, and the engine's answer back as it is."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from yarl import URL

from api.dialects.symmio.replies import Refusal, error_response, reply
from api.http.keys import SETTINGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from multidict import CIMultiDict, CIMultiDictProxy

logger = logging.getLogger(__name__)

# These are said from hop to hop. Host is the engine's own; lengths are those of what is really sent.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# An engine that signs and sends a transaction takes some seconds; browsers give up after a minute or more.
_TIMEOUT = aiohttp.ClientTimeout(total=30.0)


class Engines:
    """The HTTP client for engines; it is opened with the application and closed with it."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def opened(self, _app: web.Application) -> AsyncIterator[None]:
        """Be open as long as the application is; for its ``cleanup_ctx``."""
        # What the engine sends goes on as it is, compressed or not, with its cookies and redirects.
        async with aiohttp.ClientSession(
            timeout=_TIMEOUT, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            self._session = session
            yield
        self._session = None

    async def forward(self, request: web.Request, upstream: str, path: str) -> web.Response:
        """Send a request on and answer what comes back.

        Args:
            request: The client's.
            upstream: The engine's URL.
            path: The request's path as the engine knows it, percent-encoded, with its query.
        """
        if self._session is None:
            msg = "expected the application to be running, found it stopped"
            raise RuntimeError(msg)
        body = await request.read()
        try:
            async with self._session.request(
                request.method,
                URL(f"{upstream}{path}", encoded=True),
                headers=_passed_on(request.headers),
                data=body or None,
                allow_redirects=False,
            ) as answer:
                content = await answer.read()
                return web.Response(status=answer.status, body=content, headers=_passed_on(answer.headers))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            logger.warning("engine failed path=%s cause=%s", request.path, type(error).__name__)
            return error_response(HTTPStatus.BAD_GATEWAY, "the solver's engine does not answer")


def _passed_on(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    passed = headers.copy()
    named = {name.strip().lower() for value in headers.getall("Connection", ()) for name in value.split(",")}
    for name in {name.lower() for name in headers} & (_HOP_BY_HOP | named):
        passed.popall(name)
    return passed


ENGINES = web.AppKey("symmio_engines", Engines)
LOCAL_PATH = web.RequestKey("symmio_local_path", str)
"""A request's path and query without what says which deployment is meant: an engine knows only its own paths."""


async def trading(request: web.Request, deployment: str) -> web.Response:
    """Forward; without an engine there is nobody to do it."""
    answer = await _forwarded(request, deployment)
    if answer is None:
        msg = f"deployment {deployment} has no engine for {request.method} {request.path[:200]}"
        raise Refusal(HTTPStatus.NOT_IMPLEMENTED, msg)
    return answer


async def trading_list(request: web.Request, deployment: str) -> web.Response:
    """Forward; without an engine nothing is under way."""
    answer = await _forwarded(request, deployment)
    return reply([]) if answer is None else answer


async def _forwarded(request: web.Request, deployment: str) -> web.Response | None:
    upstream = request.app[SETTINGS].deployments[deployment].solver.upstream
    if upstream is None:
        return None
    return await request.app[ENGINES].forward(request, upstream, request[LOCAL_PATH])
