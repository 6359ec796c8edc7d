"""How many requests a client may send, and the headers that tell it how many are left.

The headers are those of draft-ietf-httpapi-ratelimit-headers: ``RateLimit-Policy`` has the quota and the window in
which it fills up, ``RateLimit`` what is left of it and the seconds until it is full again.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from api.access.limits import TokenBuckets
from api.http.health import healthz, readyz

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler, Middleware
    from prometheus_client import Counter

    from api.access.addresses import ClientAddresses
    from streams.settings import ApiLimitSettings

_POLICY = "client"
# Whoever asks whether a replica is alive has to get an answer.
_FREE = (healthz, readyz)
_LEFT = web.RequestKey("requests_left", float)


class RequestLimits:
    """Counts the requests of each address, handshakes of websockets among them.

    Args:
        limits: How many pass in a second, and at once.
        addresses: Tell where a request comes from.
        clock_s: A clock that does not go back, in s.
        refused: Counts requests that are refused.
    """

    def __init__(
        self, limits: ApiLimitSettings, addresses: ClientAddresses, clock_s: Callable[[], float], refused: Counter
    ) -> None:
        self._per_s = limits.requests_per_s
        self._burst = limits.requests_burst
        self._buckets = TokenBuckets(self._per_s, self._burst)
        self._addresses = addresses
        self._clock_s = clock_s
        self._refused = refused

    def middleware(self) -> Middleware:
        """Make the middleware that answers 429 to a client that asks too often."""

        @web.middleware
        async def limit(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.match_info.handler not in _FREE:
                self._count(request)
            return await handler(request)

        return limit

    async def tell(self, request: web.Request, response: web.StreamResponse) -> None:
        """Say what is left, and close after a refusal; a signal handler for ``on_response_prepare``."""
        left = request.get(_LEFT)
        if left is None or response.status == HTTPStatus.SWITCHING_PROTOCOLS:
            return
        window_s, full_s = math.ceil(self._burst / self._per_s), math.ceil((self._burst - left) / self._per_s)
        response.headers["RateLimit-Policy"] = f'"{_POLICY}";q={self._burst};w={window_s}'
        response.headers["RateLimit"] = f'"{_POLICY}";r={math.floor(left)};t={full_s}'
        if response.status == HTTPStatus.TOO_MANY_REQUESTS:
            # Requests that are sent without waiting for answers would each cost a refusal.
            response.headers["Connection"] = "close"
            response.force_close()

    def _count(self, request: web.Request) -> None:
        client, now_s = self._addresses.limit_key_of(request), self._clock_s()
        wait_s = self._buckets.take(client, now_s)
        request[_LEFT] = self._buckets.left(client, now_s)
        if wait_s:
            self._refused.inc()
            text = f"expected at most {self._per_s} requests a second, {self._burst} at once, from one address"
            raise web.HTTPTooManyRequests(text=text, headers={"Retry-After": str(math.ceil(wait_s))})
