"""The legacy endpoints' paths: at the root, under the name of each deployment, and under ``/api`` of both.

Those that take a reader's token stand under ``/ticket/{ticket}`` too, for clients that can send no header. There they
have no ``/api``, since whoever hands out such an address can leave it out.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from api.access.credentials import TICKET_MOUNT
from api.access.gate import AllAccounts, Door, Filtered, Markets, OneAccount, OwnKey, Public
from api.dialects.symmio import upnl_rest
from api.dialects.symmio.app_keys import WHITELIST
from api.dialects.symmio.balance_info import get_balance_info
from api.dialects.symmio.caps import notional_cap, open_interest
from api.dialects.symmio.contract_symbols import contract_symbols
from api.dialects.symmio.engine_door import take_position_states
from api.dialects.symmio.error_codes import error_code, error_codes
from api.dialects.symmio.forwarding import LOCAL_PATH, trading, trading_list
from api.dialects.symmio.frames import parse_address
from api.dialects.symmio.funding_info import get_funding_info
from api.dialects.symmio.locked_params import get_locked_params
from api.dialects.symmio.market_info import get_market_info
from api.dialects.symmio.notifications import notifications, one_position_state, position_state
from api.dialects.symmio.open_paths import OpenPaths
from api.dialects.symmio.price_range import price_range
from api.dialects.symmio.replies import BadParameter, Refusal, encoded, invalid_response
from api.dialects.symmio.sites import Sites
from api.http.error_bodies import error_response
from api.http.health import readyz
from models.errors import BadRow
from models.ids import account_key
from streams.settings import BadSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from aiohttp.typedefs import Handler

    from api.access.gate import Reads
    from api.access.tokens import Principal
    from api.dialects.mounting import Site
    from api.dialects.symmio.live import Live

    Serve = Callable[[web.Request, str], Awaitable[web.StreamResponse]]
    Where = Callable[[web.Request], str | None]

logger = logging.getLogger(__name__)


class Endpoint(NamedTuple):
    """One endpoint of a deployment.

    Attributes:
        method: The HTTP method, ``*`` for any.
        path: Its path at the root. A ``{multi_account}`` in it says which deployment is meant.
        serve: Answers a request for a deployment.
        reads: Makes the declaration of what it reads, given how the deployment of a request is found.
        unknown: The answer where the MultiAccount in the path is no deployment's.
        asks_whitelist: Whether it asks the whitelist itself before it shows an account.
        answers_head: Whether HEAD is answered as GET is, without the body; it is where GET changes nothing.
    """

    method: str
    path: str
    serve: Serve
    reads: Callable[[Where], Reads]
    unknown: bytes = b"{}"
    asks_whitelist: bool = False
    answers_head: bool = False

    @property
    def name(self) -> str:
        """What ``open_paths`` calls it: the first part of its path, without the ``/ws`` that sockets may have."""
        return self.path.removeprefix("/ws").split("/")[1]


def _markets(_where: Where) -> Reads:
    return Markets()


def _filtered(_where: Where) -> Reads:
    return Filtered()


def _own_key(_where: Where) -> Reads:
    return OwnKey()


def _account_of(where: Where, text: str | None, request: web.Request) -> str | None:
    deployment, address = where(request), None if text is None else parse_address(text)
    return None if deployment is None or address is None else account_key(deployment, address).decode()


def _account_in_query(where: Where) -> Reads:
    return OneAccount(lambda request: _account_of(where, request.query.get("address"), request))


def _account_in_path(where: Where) -> Reads:
    return OneAccount(lambda request: _account_of(where, request.match_info["address"], request))


def endpoints(live: Live) -> tuple[Endpoint, ...]:
    """List every endpoint, by its path at the root of a deployment."""
    check, add = live.whitelisting.check, live.whitelisting.add
    return (
        *_sockets(live),
        _get("/upnl-a", upnl_rest.upnl_a, _account_in_query),
        _get("/partyA_upnl/{address}", upnl_rest.party_a_upnl, _account_in_path),
        _get("/contract-symbols", contract_symbols, _markets),
        _get("/open-interest", open_interest, AllAccounts),
        _get("/notional_cap/{symbol}", notional_cap, AllAccounts),
        _get("/price-range/{symbol}", price_range, _markets),
        _get("/error_codes", error_codes, _markets),
        _get("/error_codes/{code}", error_code, _markets),
        _get("/get_locked_params/{symbol}", get_locked_params, _markets),
        _get("/get_market_info", get_market_info, _markets),
        _get("/get_market_info/{multi_account}", get_market_info, _markets),
        # The address may be an owner's, whose accounts have addresses of their own.
        _get("/get_balance_info/{address}/{multi_account}", get_balance_info, _filtered),
        _get("/get_funding_info", get_funding_info, _markets),
        *_position_states(),
        _get(f"/check_in-whitelist{_ADDRESSES}", check, _filtered, b"false", asks_whitelist=True),
        Endpoint("GET", f"/add-sub-address-in-whitelist{_ADDRESSES}", add, _filtered, _NOT_ADDED, asks_whitelist=True),
        Endpoint("POST", "/ingest/whitelist", live.whitelisting.put, _own_key),
        Endpoint("POST", "/ingest/position-states", take_position_states, _own_key),
        *_trading(),
    )


def _get(
    path: str,
    serve: Serve,
    reads: Callable[[Where], Reads],
    unknown: bytes = b"{}",
    *,
    asks_whitelist: bool = False,
) -> Endpoint:
    """Describe an endpoint of GET and HEAD.

    Args:
        path: As for ``Endpoint``, and so are the others.
        serve: Answers.
        reads: Makes the declaration.
        unknown: The answer where the MultiAccount is no deployment's.
        asks_whitelist: Whether it asks the whitelist itself.
    """
    return Endpoint("GET", path, serve, reads, unknown, asks_whitelist, answers_head=True)


# Clients do not follow redirects on a websocket: each path is served with a slash at its end and without.
_SLASHES = ("", "/")
_ANY_SLASH = "{slash:/?}"
_ALIAS = "/api"
_TICKETS = "/ticket"
_ADDRESSES = "/{address}/{multi_account}"
_NOT_ADDED = b'{"successful":false,"message":"no such MultiAccount is served here"}'
# Paths that the deployment's engine serves. Which methods they have and what may follow is said in engine_paths.
_TRADING = ("login", "nonce", "instant_open", "instant_close", "conditional-order", "conditional-orders")
_LISTS = ("instant_open", "instant_close", "conditional-order", "conditional-orders")


def _sockets(live: Live) -> Iterator[Endpoint]:
    for mount in ("", "/ws"):
        yield Endpoint("GET", f"{mount}/upnl-ws", live.upnl.serve, _filtered, asks_whitelist=True)
        yield Endpoint("GET", f"{mount}/position-state-ws", live.states.serve, _filtered, asks_whitelist=True)
        yield Endpoint("GET", f"{mount}/position-state-ws3", live.states.serve, _filtered, asks_whitelist=True)
        yield Endpoint("GET", f"{mount}/funding-rate-ws", live.rates.serve, _markets)


def _position_states() -> Iterator[Endpoint]:
    for name in ("position-state", "position_state"):
        yield Endpoint("POST", f"/{name}/{{start}}/{{size}}", position_state, _filtered, asks_whitelist=True)
        yield Endpoint("POST", f"/{name}/{{state_id}}", one_position_state, _filtered, asks_whitelist=True)
    yield Endpoint("POST", "/notifications/{start}/{size}", notifications, _filtered, asks_whitelist=True)


def _trading() -> Iterator[Endpoint]:
    for path in ("/{name}", "/{name}/{{rest:.+}}"):
        yield from (Endpoint("GET", path.format(name=name), trading_list, _own_key) for name in _LISTS)
        yield from (Endpoint("*", path.format(name=name), trading, _own_key) for name in _TRADING)


def path_prefixes(live: Live, deployments: Iterable[str]) -> set[str]:
    """The beginnings of all the paths that the endpoints of some deployments have."""
    # Other dialects have paths below these, too.
    shared = "/ws/", "/ingest/"
    at_root = {"/".join(one.path.split("/")[: 3 if one.path.startswith(shared) else 2]) for one in endpoints(live)}
    return at_root | {_ALIAS, _TICKETS} | {f"/{name}" for name in deployments}


def doors(site: Site, live: Live) -> list[Door]:
    """The endpoints' routes, each with what it reads.

    Args:
        site: Where the dialect stands; what the endpoints look things up in is in its application already.
        live: The endpoints' own state.

    Raises:
        BadSettings: Two deployments claim one host, one has the name of an endpoint, or opens a path that is none.
    """
    served = endpoints(live)
    shadowed = {_ALIAS[1:], _TICKETS[1:], *(one.path.split("/")[1] for one in served)} & site.deployments.keys()
    if shadowed:
        msg = f"deployments: expected names that are no endpoint's, found {', '.join(sorted(shadowed))}; choose others"
        raise BadSettings(msg)
    opened = OpenPaths(site.settings, {one.name for one in served if one.reads is not _own_key}, site.app[WHITELIST])
    sites, made = Sites(site.settings), []
    for prefix, mount in _mounts(site.deployments):
        if mount:
            made += [Door(web.get(f"{mount}/readyz{slash}", readyz), Public()) for slash in _SLASHES]
        for endpoint in served:
            made += _doors(endpoint, sites, opened, prefix, mount)
    return made


def _doors(endpoint: Endpoint, sites: Sites, opened: OpenPaths, prefix: str | None, mount: str) -> Iterator[Door]:
    where = _deployment_finder(endpoint, sites, prefix)
    handler = _handler(endpoint, where, mount)
    reads = endpoint.reads(where)

    def stranger(request: web.Request) -> Principal | None:
        deployment = where(request)
        if deployment is None:
            return None
        return opened.stranger(deployment, endpoint.name, asks_whitelist=endpoint.asks_whitelist)

    for slash in _SLASHES:
        yield Door(_route(endpoint, f"{mount}{endpoint.path}{slash}", handler), reads, stranger)
    # A key of one's own is sent in a header, so no ticket is of use there.
    if not isinstance(reads, OwnKey) and not mount.endswith(_ALIAS):
        yield Door(_route(endpoint, f"{TICKET_MOUNT}{mount}{endpoint.path}{_ANY_SLASH}", handler), reads)


def _route(endpoint: Endpoint, path: str, handler: Handler) -> web.RouteDef:
    if endpoint.method == "GET":
        return web.get(path, handler, allow_head=endpoint.answers_head)
    return web.route(endpoint.method, path, handler)


def _mounts(deployments: Iterable[str]) -> Iterator[tuple[str | None, str]]:
    """Yield the beginnings of paths that endpoints are served under, each with the deployment that it names, if any."""
    yield from ((None, ""), (None, _ALIAS))
    for name in deployments:
        yield from ((name, f"/{name}"), (name, f"/{name}{_ALIAS}"))


def _deployment_finder(endpoint: Endpoint, sites: Sites, prefix: str | None) -> Where:
    """Make the function that finds the deployment that a request to an endpoint is for."""

    def of_multi_account(request: web.Request) -> str | None:
        address = parse_address(request.match_info["multi_account"])
        return None if address is None else sites.of_multi_account(request.host, prefix, address)

    return of_multi_account if "{multi_account}" in endpoint.path else lambda request: sites.of(request.host, prefix)


def _handler(endpoint: Endpoint, where: Where, mount: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        request[LOCAL_PATH] = request.rel_url.raw_path_qs.removeprefix(mount)
        try:
            deployment = where(request)
            if deployment is not None:
                return await endpoint.serve(request, deployment)
            if "{multi_account}" in endpoint.path:
                return encoded(endpoint.unknown)
            msg = f"no deployment is served here: {request.host[:200]!r} is not its host, or say it by a prefix"
            return error_response(HTTPStatus.NOT_FOUND, msg)
        except Refusal as error:
            return error_response(error.status, str(error))
        except BadParameter as error:
            return invalid_response(error)
        except BadRow:
            # The path as it came may hold a ticket.
            logger.exception("row cannot be read path=%s", endpoint.path)
            return error_response(HTTPStatus.SERVICE_UNAVAILABLE, "a row that this needs cannot be read")

    return handle
