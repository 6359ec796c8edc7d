"""How legacy clients' messages are received: texts are handed on, all else is counted, and nothing is answered.

A client that sends too fast is read no faster than its limit. Its messages wait, and none is left out: the last one
says what it is shown, and figures of another account would look right. One that does not slow down is closed; clients
connect again then, and say what they want first.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode, WSMsgType

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import WSMessage

    from api.delivery.connection import Connection
    from api.http.metrics import ApiMetrics

# A person who clicks through accounts waits for some of them; who waits for so many in a row does not slow down.
_WAITS_MAX = 20
# Frontends connect before a wallet does. A socket that has asked nothing for so long is only a place taken.
ASK_WITHIN_S = 300.0


async def listen(connection: Connection, metrics: ApiMetrics, take: Callable[[str], str | None]) -> None:
    """Hand on every text that a client sends, until one side goes away.

    Args:
        connection: The client's.
        metrics: Count what is ignored.
        take: Takes a text; it returns why the text is ignored, or None.
    """
    messages = aiter(connection.messages())
    waits = 0
    try:
        async with asyncio.timeout(ASK_WITHIN_S):
            message = await anext(messages)
        while True:
            ignored = _take(message, take)
            if ignored is not None:
                metrics.ignored_messages.labels(connection.dialect.name, ignored).inc()
            message = await anext(messages)
            waits = waits + 1 if await _waited(connection) else 0
            if waits > _WAITS_MAX:
                metrics.ignored_messages.labels(connection.dialect.name, "too_many").inc()
                connection.close(WSCloseCode.POLICY_VIOLATION, b"too many messages")
                return
    except StopAsyncIteration:
        return
    except TimeoutError:
        connection.close(WSCloseCode.POLICY_VIOLATION, b"nothing was asked")


async def _waited(connection: Connection) -> bool:
    """Wait until the client may send another message, and tell whether that was necessary."""
    loop, limit = asyncio.get_running_loop(), connection.messages_limit
    wait_s = limit.take(loop.time())
    is_late = wait_s > 0
    while wait_s:
        await asyncio.sleep(wait_s)
        wait_s = limit.take(loop.time())
    return is_late


def _take(message: WSMessage, take: Callable[[str], str | None]) -> str | None:
    match message.type:
        case WSMsgType.TEXT:
            return take(message.data)
        case WSMsgType.ERROR:
            too_large = getattr(message.data, "code", None) == WSCloseCode.MESSAGE_TOO_BIG
            return "too_large" if too_large else "broken_frame"
        case _:
            return "not_text"
