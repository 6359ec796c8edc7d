from __future__ import annotations

import aiohttp

from streams.node.rpc import HttpEndpoint
from tests.support.paused_asker import WAIT_S, expect_cancelled


async def test_who_is_cancelled_as_the_wait_for_an_answer_ends_is_cancelled() -> None:
    """A process that was paused wakes up so: every wait is over, and at once it hears that it was replaced."""
    async with aiohttp.ClientSession() as session:
        await expect_cancelled(lambda url: HttpEndpoint(session, url, "#1").ask([("eth_blockNumber", [])], WAIT_S))
