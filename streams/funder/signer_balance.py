"""What a signer has left for gas, told in a metric: an alert on it comes before charges fail for want of money."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from prometheus_client import Gauge

from streams.funder.chain_errors import ChainError

if TYPE_CHECKING:
    from streams.funder.chain_view import Chain

_log = logging.getLogger(__name__)

_BALANCE = Gauge("tidemark_funding_balance_wei", "What a signer has, of the chain's coin.", ("deployment", "signer"))

# It changes with transactions, which cost a small part of it each.
_EVERY_S = 60.0


async def tell_balance(name: str, chain: Chain, signer: str) -> None:
    """Keep the metric up to date until cancelled; a node that does not answer leaves it as it is.

    Args:
        name: The deployment's name.
        chain: The node.
        signer: The signer's address.
    """
    while True:
        try:
            _BALANCE.labels(name, signer).set(await chain.balance_wei(signer))
        except ChainError as error:
            _log.warning("balance not known signer=%s: %s", signer, error)
        await asyncio.sleep(_EVERY_S)
