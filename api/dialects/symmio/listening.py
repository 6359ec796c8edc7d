"""What legacy clients send: text is taken, anything else is counted, and nothing of it is ever answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import WSCloseCode, WSMsgType

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.delivery.connection import Connection
    from api.http.metrics import ApiMetrics


async def listen(connection: Connection, metrics: ApiMetrics, take: Callable[[str], str | None]) -> None:
    """Hand on every text of a client until it or the server goes away.

    Args:
        connection: The client's.
        metrics: Count what is ignored.
        take: Takes a text, or says why it is ignored.
    """
    async for message in connection.messages():
        match message.type:
            case WSMsgType.TEXT:
                ignored = take(message.data)
            case WSMsgType.ERROR:
                too_large = getattr(message.data, "code", None) == WSCloseCode.MESSAGE_TOO_BIG
                ignored = "too_large" if too_large else "broken_frame"
            case _:
                ignored = "not_text"
        if ignored is not None:
            metrics.ignored_messages.labels(connection.dialect.name, ignored).inc()
