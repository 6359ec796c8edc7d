"""What of the settings says how a deployment is asked, and the endpoints they name."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from streams.node.endpoints import Node
from streams.node.rpc import HttpEndpoint, WebsocketEndpoint
from streams.settings import BadSettings, symmio_deployments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from streams.node.rpc import Endpoint
    from streams.settings import Settings, SymmioSettings


def deployment_of(settings: Settings, name: str) -> SymmioSettings:
    """Return the settings of a deployment that has endpoints.

    Raises:
        BadSettings: It is not configured, or has no endpoint.
    """
    deployments = symmio_deployments(settings)
    deployment = deployments.get(name)
    if deployment is None:
        msg = f"expected a deployment {name!r} in the configuration, found {sorted(deployments) or 'none'}"
        raise BadSettings(msg)
    if not deployment.rpc:
        msg = f"expected at least one URL in deployments.{name}.rpc, found none"
        raise BadSettings(msg)
    return deployment


@asynccontextmanager
async def opened_endpoints(
    session: aiohttp.ClientSession, deployment: SymmioSettings, on_head: Callable[[], None]
) -> AsyncIterator[list[Endpoint]]:
    """The endpoints of a deployment in the order of the configuration, labelled by their place in it; closed after all.

    Args:
        session: HTTP client.
        deployment: Says where they are.
        on_head: Called by ws(s) endpoints for every new head.
    """
    async with AsyncExitStack() as opened:
        endpoints: list[Endpoint] = []
        for number, secret in enumerate(deployment.rpc, start=1):
            url, label = secret.get_secret_value(), f"#{number}"
            if url.startswith(("ws://", "wss://")):
                endpoints.append(WebsocketEndpoint(session, url, label, on_head))
            else:
                endpoints.append(HttpEndpoint(session, url, label))
            opened.push_async_callback(endpoints[-1].close)
        yield endpoints


@asynccontextmanager
async def connected(name: str, deployment: SymmioSettings) -> AsyncIterator[Node]:
    """The node of a deployment, for who does not follow its heads; disconnected at the end."""
    async with (
        aiohttp.ClientSession() as session,
        opened_endpoints(session, deployment, lambda: None) as endpoints,
    ):
        yield Node(name, endpoints, deployment.chain_id)
