"""The gate: the one place that decides, before any dialect does, what the sender of a request may read.

Every route says what it reads when it is mounted, and a route that does not say so cannot be served. The gate finds out
whose token a request carries and hands the handler a principal that opens no more than the route said it reads. So a
handler that asks for more than its route declares is shown nothing of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, assert_never

from aiohttp import web

from api.access.auth import TooManyFailures
from api.access.credentials import credential_of, refuse_token_in_url, unauthorized
from api.access.tokens import ANYONE, NotAuthenticated, Principal, whole
from models.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiohttp.typedefs import Handler, Middleware

    from api.access.addresses import ClientAddresses
    from api.access.auth import Guard

    Named = Callable[[web.Request], str | None]

_NOTHING = "expected a token as Authorization: Bearer …, found none"

_PRINCIPAL = web.RequestKey("principal", Principal)


@dataclass(frozen=True, slots=True)
class Public:
    """It reads nothing of markets or accounts, so nobody needs a token: documents, files of pages, health."""


@dataclass(frozen=True, slots=True)
class Markets:
    """It reads what is no account's: marks, markets, funding, the state of the system. Any token opens it."""


@dataclass(frozen=True, slots=True)
class OneAccount:
    """It reads one account. ``key_of`` finds the account's key in a request; None where the request names none."""

    key_of: Named


@dataclass(frozen=True, slots=True)
class AllAccounts:
    """It reads all accounts of one deployment, which ``deployment_of`` finds in a request, such as sums over them."""

    deployment_of: Named


@dataclass(frozen=True, slots=True)
class Filtered:
    """It reads many accounts, or those that a client names later, and shows of them what the principal may read."""


@dataclass(frozen=True, slots=True)
class InProtocol:
    """It is a websocket whose client may also send its token in a message, and shows nothing before that."""


@dataclass(frozen=True, slots=True)
class OwnKey:
    """It heeds no reader's token: its ``Authorization`` is a key that it checks, or one of a service behind it."""


@dataclass(frozen=True, slots=True)
class AdminPort:
    """It is for whoever reaches the admin port, and for nobody on the public one."""


Reads = Public | Markets | OneAccount | AllAccounts | Filtered | InProtocol | OwnKey | AdminPort


@dataclass(frozen=True, slots=True)
class Door:
    """A route and what it reads.

    Attributes:
        route: The route as aiohttp defines it.
        reads: What it reads.
        stranger: Finds, for a request without a token, what the settings let everybody read there; None where they
            let nobody. By default they never do.
    """

    route: web.AbstractRouteDef
    reads: Reads
    stranger: Callable[[web.Request], Principal | None] | None = None


class UndeclaredRoute(TidemarkError):
    """A route does not say what it reads, or not where it may. Mount it with ``Gate.mount`` and its declaration."""


class Gate:
    """Lets requests to the routes of one application in, or refuses them.

    Args:
        guard: Checks tokens.
        addresses: Tell where a request comes from.
        is_admin: Whether the application is that of the admin port, where no token is needed.
    """

    def __init__(self, guard: Guard, addresses: ClientAddresses, *, is_admin: bool = False) -> None:
        self._guard = guard
        self._addresses = addresses
        self._is_admin = is_admin
        self._doors: dict[web.AbstractRoute, Door] = {}

    def mount(self, app: web.Application, doors: Iterable[Door]) -> None:
        """Serve routes in an application.

        Raises:
            UndeclaredRoute: One is for the admin port, and the application is the public one.
        """
        for door in doors:
            if isinstance(door.reads, AdminPort) and not self._is_admin:
                msg = f"expected routes of the admin port to be mounted there alone, found {door.route!r}"
                raise UndeclaredRoute(msg)
            for route in door.route.register(app.router):
                # aiohttp adds a route for HEAD beside one for GET, and does not tell of it.
                heads = (one for one in route.resource or () if one.method == "HEAD" and one.handler is route.handler)
                self._doors |= dict.fromkeys((route, *heads), door)

    async def expect_declared(self, app: web.Application) -> None:
        """Refuse to start an application that has a route which was not mounted here; for its ``on_startup``.

        Raises:
            UndeclaredRoute: It has one.
        """
        for route in app.router.routes():
            if route not in self._doors:
                path = "?" if route.resource is None else route.resource.canonical
                msg = f"expected every route to say what it reads, found none of {route.method} {path}: use Gate.mount"
                raise UndeclaredRoute(msg)

    def declaration_of(self, route: web.AbstractRoute) -> Reads:
        """Return what a route reads."""
        return self._doors[route].reads

    @property
    def middleware(self) -> Middleware:
        """The middleware that decides; those around it must not answer from tables."""

        @web.middleware
        async def decide(request: web.Request, handler: Handler) -> web.StreamResponse:
            door = self._doors.get(request.match_info.route)
            # A path that is none, or has no such method, has no door. To say so it takes a token, as for markets.
            self.admit(request, Markets() if door is None else door.reads, None if door is None else door.stranger)
            return await handler(request)

        return decide

    def admit(
        self, request: web.Request, reads: Reads, stranger: Callable[[web.Request], Principal | None] | None = None
    ) -> None:
        """Let a request in, with the principal that its handler may read as, or refuse it.

        Args:
            request: The request.
            reads: What its route reads.
            stranger: As for ``Door``.

        Raises:
            aiohttp.web.HTTPException: It is refused: 400 for a token in its query, 401 for a token that is missing or
                not accepted, 429 for too many of those, and 404 where its principal may read nothing of what it asks.
        """
        refuse_token_in_url(request)
        if self._guard.is_open or isinstance(reads, OwnKey | AdminPort):
            principal: Principal | None = ANYONE
        else:
            principal = self._principal(request)
            if principal is None and stranger is not None:
                principal = stranger(request)
        if principal is not None:
            request[_PRINCIPAL] = _narrowed(principal, reads, request)
        elif not isinstance(reads, Public | InProtocol):
            raise unauthorized(_NOTHING, "")

    def _principal(self, request: web.Request) -> Principal | None:
        credential = credential_of(request)
        if credential is None:
            return None
        try:
            return self._guard.authenticate(credential.token, self._addresses.limit_key_of(request), credential.use)
        except NotAuthenticated as error:
            raise unauthorized(str(error), "invalid_token") from error
        except TooManyFailures as error:
            headers = {"Retry-After": str(math.ceil(error.retry_after_s))}
            raise web.HTTPTooManyRequests(text=str(error), headers=headers) from error


def principal_of(request: web.Request) -> Principal:
    """Return who a request is from: a principal that opens no more than the request's route reads."""
    return request[_PRINCIPAL]


def known_principal_of(request: web.Request) -> Principal | None:
    """Return who a request is from; None where it came without a token to a route that lets it in all the same."""
    return request.get(_PRINCIPAL)


def _narrowed(principal: Principal, reads: Reads, request: web.Request) -> Principal:
    """Return the principal as it may read through a route.

    Raises:
        aiohttp.web.HTTPNotFound: The route reads all accounts of a deployment, which the principal may not. It is
            answered as a path that is none.
    """
    match reads:
        case Public() | Markets() | OwnKey() | AdminPort():
            return principal.limited_to(())
        case OneAccount(key_of):
            key = key_of(request)
            return principal.limited_to(() if key is None or not principal.may_read(key) else (key,))
        case AllAccounts(deployment_of):
            deployment = deployment_of(request)
            if deployment is None:
                return principal.limited_to(())
            if not principal.may_read_all_of(deployment):
                raise web.HTTPNotFound(text=f"{HTTPStatus.NOT_FOUND.value}: {HTTPStatus.NOT_FOUND.phrase}")
            return principal.limited_to((whole(deployment),))
        case Filtered() | InProtocol():
            return principal
        case _:
            assert_never(reads)
