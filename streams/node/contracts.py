"""Whether there is a contract at an address, of which one endpoint's old state is no proof."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streams.node.answers import read_code
from streams.node.rpc import RpcError
from streams.process.backoff import Backoff

if TYPE_CHECKING:
    from streams.node.endpoints import Node

# An endpoint that is syncing may not have the contract yet; five looks take some seconds.
_LOOKS = 5
# Endpoints that do not answer may know better, so they are waited for, though not for ever.
_LONG_S = 300.0


async def is_contract(node: Node, address: str) -> bool:
    """Find out whether there is code at an address, by asking every endpoint that says there is none after the others.

    Args:
        node: Where the chain is read.
        address: The address, in lower case.

    Returns:
        True where any endpoint says so. False where all of them say that there is none in each of five looks, or where
        some do for five minutes and the others do not answer.

    Raises:
        RpcError: No endpoint in order answers.
    """
    began_s = asyncio.get_running_loop().time()
    backoff = Backoff(0.5, 4.0)
    looks = 0
    while True:
        denying: list[str] = []
        while len(denying) < node.endpoints:
            try:
                has_code, label = await node.ask_elsewhere(
                    [("eth_getCode", [address, "latest"])], lambda results: read_code(results[0]), than=denying
                )
            except RpcError:
                if not denying:
                    raise
                break
            if has_code:
                return True
            denying.append(label)
        looks += len(denying) == node.endpoints
        if looks >= _LOOKS or asyncio.get_running_loop().time() - began_s >= _LONG_S:
            return False
        await asyncio.sleep(backoff.next_s())
