"""Where the legacy endpoints stand: at the root for the first deployment, and under ``/{deployment}`` for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from api.dialects.symmio import rest, upnl_ws

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aiohttp.typedefs import Handler

    Endpoint = Callable[[web.Request, str], Awaitable[web.StreamResponse]]

_ENDPOINTS: tuple[tuple[str, Endpoint], ...] = (
    ("/upnl-ws", upnl_ws.serve),
    ("/ws/upnl-ws", upnl_ws.serve),
    ("/api/ws/upnl-ws", upnl_ws.serve),
    ("/upnl-a", rest.upnl_a),
    ("/partyA_upnl/{address}", rest.party_a_upnl),
)


def routes(deployments: Sequence[str]) -> list[web.RouteDef]:
    """Every legacy route, with and without a trailing slash: clients do not follow redirects on a websocket."""
    prefixes = [("", deployments[0]), *((f"/{name}", name) for name in deployments)]
    return [
        web.get(f"{prefix}{path}{slash}", _of_deployment(endpoint, deployment))
        for prefix, deployment in prefixes
        for path, endpoint in _ENDPOINTS
        for slash in ("", "/")
    ]


def _of_deployment(endpoint: Endpoint, deployment: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await endpoint(request, deployment)

    return handle
