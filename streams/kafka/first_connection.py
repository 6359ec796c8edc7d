"""The first connection of a client, which is closed also where the client is broken off before it has connected."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from streams.process.supervision import ended, waited_out

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
    from aiokafka.admin import AIOKafkaAdminClient

# A broker says within milliseconds what there is. A process ends within its own bound, also where it does not answer.
_WITHIN_S = 1.0


def close_first_connection(user: AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaAdminClient) -> None:
    """Let a client that is cancelled while it connects first learn what it has asked, and then end.

    It asks the first broker what there is on a connection that it closes with the answer, and at nothing else.

    Args:
        user: Whose client connects; it has been made and is not started.
    """
    client = getattr(user, "_client", None) or user.client
    bootstrap = client.bootstrap

    async def bootstrap_whole() -> None:
        connecting = asyncio.create_task(bootstrap(), name="first connection")
        connecting.add_done_callback(_look_at)
        try:
            await asyncio.shield(connecting)
        except asyncio.CancelledError:
            await waited_out(_let_end(connecting))
            raise

    client.bootstrap = bootstrap_whole


async def _let_end(connecting: asyncio.Task[None]) -> None:
    await asyncio.wait([connecting], timeout=_WITHIN_S)
    await ended(connecting)


def _look_at(connecting: asyncio.Task[Any]) -> None:
    """Take note of an error that nobody waits for any longer."""
    if not connecting.cancelled():
        connecting.exception()
