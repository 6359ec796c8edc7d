"""Which deployment is charged, and its chain."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from streams.funder.chain_errors import PATIENCE
from streams.funder.chain_view import Chain
from streams.node.endpoints import Node
from streams.node.rpc import HttpEndpoint
from streams.settings import BadSettings, symmio_deployments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from streams.process.clock import Clock
    from streams.settings import Settings, SymmioSettings


def configured(settings: Settings, name: str) -> SymmioSettings:
    """Find a deployment of SYMMIO.

    Raises:
        BadSettings: There is none of that name.
    """
    deployment = symmio_deployments(settings).get(name)
    if deployment is None:
        msg = f"expected one of the deployments {', '.join(sorted(symmio_deployments(settings)))}, found {name!r}"
        raise BadSettings(msg)
    return deployment


@asynccontextmanager
async def connected(deployment: SymmioSettings, name: str, clock: Clock) -> AsyncIterator[Chain]:
    """A deployment's chain, over those of its endpoints that speak HTTP.

    Raises:
        BadSettings: None does.
    """
    urls = [secret.get_secret_value() for secret in deployment.rpc]
    async with aiohttp.ClientSession() as session:
        endpoints = [
            HttpEndpoint(session, url, f"#{number}")
            for number, url in enumerate(urls, start=1)
            if url.startswith("http")
        ]
        if not endpoints:
            msg = f"deployments.{name}.rpc: expected an http or https endpoint, found none"
            raise BadSettings(msg)
        yield Chain(Node(name, endpoints, deployment.chain_id, PATIENCE), deployment.diamond, clock)
