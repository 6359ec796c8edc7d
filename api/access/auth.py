"""Tokens in requests: taken from the ``Authorization`` header and never from a URL, refused, counted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aiohttp import web

from api.access.tokens import ANYONE, NotAuthenticated, Principal
from models.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from aiohttp.typedefs import Handler, Middleware

    from api.access.addresses import ClientAddresses
    from api.access.limits import TokenBuckets
    from api.access.tokens import Authenticator

# A URL stays in logs, histories and referrers; who learns to put a token there leaves it behind everywhere.
_NAMES_OF_TOKENS = {"token", "access_token", "accesstoken", "auth_token", "id_token", "jwt", "bearer", "authorization"}
_NOTHING = "expected a token as Authorization: Bearer …, found none"
_ANOTHER_FORM = "expected one header Authorization: Bearer …, found another form"

_PRINCIPAL = web.RequestKey("principal", Principal)


class TooManyFailures(TidemarkError):
    """Too many tokens from one address were refused; wait before the next."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"too many tokens were refused; expected the next one after {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


class Guard:
    """Checks the tokens of all clients, and counts those that it refuses by where they come from.

    A token that is good is let in whatever came from its address before: a neighbour must not be able to lock it out.

    Args:
        authenticator: Checks a token; None: reading is open, and everybody may read everything.
        failures: How many tokens from one address are refused as tokens, before they are refused as too many.
        clock_s: A clock that does not go back, in s.
    """

    def __init__(
        self, authenticator: Authenticator | None, failures: TokenBuckets, clock_s: Callable[[], float]
    ) -> None:
        self._authenticator = authenticator
        self._failures = failures
        self._clock_s = clock_s

    @property
    def is_open(self) -> bool:
        """Whether no token is needed."""
        return self._authenticator is None

    def authenticate(self, token: str, client: str) -> Principal:
        """Tell who a token is of, which came from ``client``, the key of its address in limits.

        Raises:
            NotAuthenticated: It is refused.
            TooManyFailures: It is refused, as others from there were.
        """
        if self._authenticator is None:
            return ANYONE
        try:
            return self._authenticator.authenticate(token)
        except NotAuthenticated as error:
            wait_s = self._failures.take(client, self._clock_s())
            if wait_s:
                raise TooManyFailures(wait_s) from error
            raise


def authentication(
    guard: Guard, addresses: ClientAddresses, public: Collection[str], keyed: Collection[str] = frozenset()
) -> Middleware:
    """A middleware that lets no request through without knowing who may read what, but for those of ``public`` paths.

    It answers 400 to a token in a URL, 401 to a missing or refused one, and 429 to too many of these. A token that
    comes to a public path is looked at all the same.

    Args:
        guard: Checks tokens.
        addresses: Tell where a request comes from.
        public: Paths of routes as they were added, such as ``/v1/ws``, that need no token.
        keyed: Paths whose ``Authorization`` is for somebody else: for a check of their own, or for a solver's engine.
    """

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        _refuse_token_in_url(request)
        if guard.is_open or _is_one_of(request, keyed):
            request[_PRINCIPAL] = ANYONE
            return await handler(request)
        token = _bearer_token(request)
        if token is not None:
            request[_PRINCIPAL] = _principal(guard, token, addresses.limit_key_of(request))
        elif not _is_one_of(request, public):
            raise _unauthorized(_NOTHING, "")
        return await handler(request)

    return authenticate


def principal_of(request: web.Request) -> Principal:
    """Who a request is from, on a path that needs to know."""
    return request[_PRINCIPAL]


def known_principal_of(request: web.Request) -> Principal | None:
    """Who a request is from; None where it came without a token to a public path, while reading is not open."""
    return request.get(_PRINCIPAL)


def _refuse_token_in_url(request: web.Request) -> None:
    if not _NAMES_OF_TOKENS.isdisjoint(name.lower() for name in request.query):
        text = "expected no token in the URL, found one: revoke it, and send the next in the Authorization header"
        raise web.HTTPBadRequest(text=text)


def _bearer_token(request: web.Request) -> str | None:
    values = request.headers.getall("Authorization", ())
    if not values:
        return None
    scheme, _, token = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise _unauthorized(_ANOTHER_FORM, "invalid_request")
    return token.strip()


def _principal(guard: Guard, token: str, client: str) -> Principal:
    try:
        return guard.authenticate(token, client)
    except NotAuthenticated as error:
        raise _unauthorized(str(error), "invalid_token") from error
    except TooManyFailures as error:
        headers = {"Retry-After": str(math.ceil(error.retry_after_s))}
        raise web.HTTPTooManyRequests(text=str(error), headers=headers) from error


def _unauthorized(text: str, code: str) -> web.HTTPUnauthorized:
    # RFC 6750, 3: a code only where there was a token.
    challenge = f'Bearer realm="tidemark", error="{code}"' if code else 'Bearer realm="tidemark"'
    return web.HTTPUnauthorized(text=text, headers={"WWW-Authenticate": challenge})


def _is_one_of(request: web.Request, paths: Collection[str]) -> bool:
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical in paths
