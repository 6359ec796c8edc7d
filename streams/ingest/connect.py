"""What of the settings an ingest needs, and the endpoints they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.ingest.rpc import HttpEndpoint, WebsocketEndpoint
from streams.settings import BadSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

    from streams.ingest.rpc import Endpoint
    from streams.settings import DeploymentSettings, Settings


def deployment_of(settings: Settings, name: str) -> DeploymentSettings:
    """Return the settings of a deployment that has endpoints.

    Raises:
        BadSettings: It is not configured, or has no endpoint.
    """
    deployment = settings.deployments.get(name)
    if deployment is None:
        msg = f"expected a deployment {name!r} in the configuration, found {sorted(settings.deployments) or 'none'}"
        raise BadSettings(msg)
    if not deployment.rpc:
        msg = f"expected at least one URL in deployments.{name}.rpc, found none"
        raise BadSettings(msg)
    return deployment


def endpoints_of(
    session: aiohttp.ClientSession, deployment: DeploymentSettings, on_head: Callable[[], None]
) -> list[Endpoint]:
    """Return the deployment's endpoints in their order; ws(s) ones call ``on_head`` for every new head."""
    endpoints: list[Endpoint] = []
    for number, secret in enumerate(deployment.rpc, start=1):
        url, label = secret.get_secret_value(), f"#{number}"
        if url.startswith(("ws://", "wss://")):
            endpoints.append(WebsocketEndpoint(session, url, label, on_head))
        else:
            endpoints.append(HttpEndpoint(session, url, label))
    return endpoints
