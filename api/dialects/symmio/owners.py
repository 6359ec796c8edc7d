"""Whose a sub-account is, asked of the chain itself: for those that were made before the blocks that were read."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from models.errors import TidemarkError
from streams.node.connect import connected
from streams.node.contract_views import ContractViews

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiohttp import web

    from streams.node.endpoints import Node
    from streams.settings import DeploymentSettings

# A node answers within 0.1 s; who asks waits for the blocks that are being read afterwards.
_ANSWERED_WITHIN_S = 2.0

logger = logging.getLogger(__name__)


class Owners:
    """Asks MultiAccount contracts by ``eth_call``.

    Args:
        deployments: Those with endpoints can be asked.
    """

    def __init__(self, deployments: Mapping[str, DeploymentSettings]) -> None:
        self._deployments = {name: one for name, one in deployments.items() if one.rpc}
        self._nodes: dict[str, Node] = {}

    async def opened(self, _app: web.Application) -> AsyncIterator[None]:
        """Have connections as long as the application runs."""
        async with AsyncExitStack() as connections:
            for name, deployment in self._deployments.items():
                self._nodes[name] = await connections.enter_async_context(connected(name, deployment))
            yield

    async def owner_of(self, deployment: str, multi_account: str, account: str) -> str | None:
        """The wallet that had a MultiAccount make an account, as of the newest block.

        Returns:
            None where it did not make it, or where no node says so in time.
        """
        node = self._nodes.get(deployment)
        if node is None:
            return None
        views = ContractViews(self._deployments[deployment].diamond, "latest")
        try:
            async with asyncio.timeout(_ANSWERED_WITHIN_S):
                (owner,) = await node.ask_many([views.owner_of(multi_account, account)])
        except (TimeoutError, TidemarkError) as error:
            logger.warning("owner not told deployment=%s account=%s cause=%r", deployment, account, error)
            return None
        return owner
