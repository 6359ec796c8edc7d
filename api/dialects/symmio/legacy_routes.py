"""The legacy endpoints' paths: at the root, under the name of each deployment, and under ``/api`` of both."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from api.access.addresses import ClientAddresses
from api.dialects.symmio import upnl_rest
from api.dialects.symmio.balance_info import get_balance_info
from api.dialects.symmio.caps import notional_cap, open_interest
from api.dialects.symmio.contract_symbols import contract_symbols
from api.dialects.symmio.engine_door import take_position_states
from api.dialects.symmio.error_codes import error_code, error_codes
from api.dialects.symmio.forwarding import ENGINES, LOCAL_PATH, Engines, trading, trading_list
from api.dialects.symmio.frames import parse_address
from api.dialects.symmio.funding_info import get_funding_info
from api.dialects.symmio.locked_params import get_locked_params
from api.dialects.symmio.market_info import get_market_info
from api.dialects.symmio.notifications import notifications, position_state
from api.dialects.symmio.price_range import price_range
from api.dialects.symmio.replies import BadParameter, Refusal, encoded, error_response, invalid_response
from api.dialects.symmio.sites import Sites
from api.http.health import readyz
from api.http.keys import SETTINGS
from models.errors import BadRow
from streams.settings import BadSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from aiohttp.typedefs import Handler

    from api.dialects.symmio.live import Live

    Serve = Callable[[web.Request, str], Awaitable[web.StreamResponse]]

logger = logging.getLogger(__name__)


class Endpoint(NamedTuple):
    """One endpoint of a deployment.

    Attributes:
        method: The HTTP method, ``*`` for any.
        path: Its path at the root. A ``{multi_account}`` in it says which deployment is meant.
        serve: Answers a request for a deployment.
        unknown: The answer where the MultiAccount in the path is no deployment's.
        is_keyed: Whether its ``Authorization`` is not a reader's token, but a key that it checks, or the engine's.
    """

    method: str
    path: str
    serve: Serve
    unknown: bytes = b"{}"
    is_keyed: bool = False


def endpoints(live: Live) -> tuple[Endpoint, ...]:
    """List every endpoint, by its path at the root of a deployment."""
    return (
        *_sockets(live),
        Endpoint("GET", "/upnl-a", upnl_rest.upnl_a),
        Endpoint("GET", "/partyA_upnl/{address}", upnl_rest.party_a_upnl),
        Endpoint("GET", "/contract-symbols", contract_symbols),
        Endpoint("GET", "/open-interest", open_interest),
        Endpoint("GET", "/notional_cap/{symbol}", notional_cap),
        Endpoint("GET", "/price-range/{symbol}", price_range),
        Endpoint("GET", "/error_codes", error_codes),
        Endpoint("GET", "/error_codes/{code}", error_code),
        Endpoint("GET", "/get_locked_params/{symbol}", get_locked_params),
        Endpoint("GET", "/get_market_info", get_market_info),
        Endpoint("GET", "/get_market_info/{multi_account}", get_market_info),
        Endpoint("GET", "/get_balance_info/{address}/{multi_account}", get_balance_info),
        Endpoint("GET", "/get_funding_info", get_funding_info),
        Endpoint("POST", "/position-state/{start}/{size}", position_state),
        Endpoint("POST", "/position_state/{start}/{size}", position_state),
        Endpoint("POST", "/notifications/{start}/{size}", notifications),
        Endpoint("GET", "/check_in-whitelist/{address}/{multi_account}", live.whitelisting.check, b"false"),
        Endpoint("GET", "/add-sub-address-in-whitelist/{address}/{multi_account}", live.whitelisting.add, _NOT_ADDED),
        Endpoint("POST", "/ingest/whitelist", live.whitelisting.put, is_keyed=True),
        Endpoint("POST", "/ingest/position-states", take_position_states, is_keyed=True),
        *_trading(),
    )


# Clients do not follow redirects on a websocket: each path is served with a slash at its end and without.
_SLASHES = ("", "/")
_NOT_ADDED = b'{"successful":false,"message":"no such MultiAccount is served here"}'
# Paths that the deployment's engine serves. Which methods they have and what may follow is said in engine_paths.
_TRADING = ("login", "nonce", "instant_open", "instant_close", "conditional-order", "conditional-orders")
_LISTS = ("instant_open", "instant_close", "conditional-order", "conditional-orders")


def _sockets(live: Live) -> Iterator[Endpoint]:
    for mount in ("", "/ws"):
        yield Endpoint("GET", f"{mount}/upnl-ws", live.upnl.serve)
        yield Endpoint("GET", f"{mount}/position-state-ws", live.states.serve)
        yield Endpoint("GET", f"{mount}/position-state-ws3", live.states.serve)
        yield Endpoint("GET", f"{mount}/funding-rate-ws", live.rates.serve)


def _trading() -> Iterator[Endpoint]:
    for path in ("/{name}", "/{name}/{{rest:.+}}"):
        yield from (Endpoint("GET", path.format(name=name), trading_list, is_keyed=True) for name in _LISTS)
        yield from (Endpoint("*", path.format(name=name), trading, is_keyed=True) for name in _TRADING)


def add_to(app: web.Application, live: Live, keyed: set[str]) -> None:
    """Serve the endpoints in an application, and put into it what they look things up in.

    Args:
        app: Has its settings already.
        live: The endpoints' own state.
        keyed: Receives the paths whose ``Authorization`` is not a reader's token.

    Raises:
        BadSettings: Two deployments claim one host, or one has the name of an endpoint.
    """
    settings, served = app[SETTINGS], endpoints(live)
    shadowed = {endpoint.path.split("/")[1] for endpoint in served} & settings.deployments.keys()
    if shadowed:
        msg = f"deployments: expected names that are no endpoint's, found {', '.join(sorted(shadowed))}; choose others"
        raise BadSettings(msg)
    engines = app[ENGINES] = Engines(ClientAddresses(settings.api.trusted_proxies))
    app.cleanup_ctx.append(engines.opened)
    sites = Sites(settings)
    for prefix, mount in _mounts(settings.deployments):
        # The application serves the root's own ``/readyz`` itself.
        app.add_routes([web.get(f"{mount}/readyz{slash}", readyz) for slash in _SLASHES if mount or slash])
        for endpoint in served:
            handler = _handler(endpoint, sites, prefix, mount)
            for slash in _SLASHES:
                route = app.router.add_route(endpoint.method, f"{mount}{endpoint.path}{slash}", handler)
                if endpoint.is_keyed and route.resource is not None:
                    keyed.add(route.resource.canonical)


def _mounts(deployments: Iterable[str]) -> Iterator[tuple[str | None, str]]:
    """Yield the beginnings of paths that endpoints are served under, each with the deployment that it names, if any."""
    yield from ((None, ""), (None, "/api"))
    for name in deployments:
        yield from ((name, f"/{name}"), (name, f"/{name}/api"))


def _handler(endpoint: Endpoint, sites: Sites, prefix: str | None, mount: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        request[LOCAL_PATH] = request.rel_url.raw_path_qs.removeprefix(mount)
        try:
            deployment = _deployment(request)
            return encoded(endpoint.unknown) if deployment is None else await endpoint.serve(request, deployment)
        except Refusal as error:
            return error_response(error.status, str(error))
        except BadParameter as error:
            return invalid_response(error)
        except BadRow:
            logger.exception("row cannot be read path=%s", request.path)
            return error_response(HTTPStatus.SERVICE_UNAVAILABLE, "a row that this needs cannot be read")

    def _deployment(request: web.Request) -> str | None:
        if "{multi_account}" in endpoint.path:
            address = parse_address(request.match_info["multi_account"])
            return None if address is None else sites.of_multi_account(request.host, prefix, address)
        deployment = sites.of(request.host, prefix)
        if deployment is None:
            msg = f"no deployment is served here: {request.host[:200]!r} is not its host, or say it by a prefix"
            raise Refusal(HTTPStatus.NOT_FOUND, msg)
        return deployment

    return handle
