"""Sockets of the legacy protocols as their clients hold them."""

from __future__ import annotations

import asyncio
import socket as os_socket
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType

from models.position_states import EMPTY
from models.symmio.position_states import with_engine_state
from tests.support.positions import MADE, TIME_S, engine_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import ClientWebSocketResponse

    from tests.support.feed import FakeTables

TIMEOUT_S = 20.0


async def frame(socket: ClientWebSocketResponse) -> Any:  # noqa: ANN401 - whatever JSON came
    """The next frame, which is text."""
    message = await socket.receive(timeout=TIMEOUT_S)
    assert WSMsgType.TEXT == message.type
    return message.json()


async def is_silent_for(socket: ClientWebSocketResponse, timeout_s: float) -> bool:
    """Whether nothing comes for so long, neither data nor anything else."""
    try:
        await socket.receive(timeout=timeout_s)
    except TimeoutError:
        return True
    return False


def stop_reading(socket: ClientWebSocketResponse) -> asyncio.Transport:
    """Let the client not read until its transport, which is returned, does again."""
    assert socket._conn is not None
    transport = socket._conn.transport
    assert isinstance(transport, asyncio.Transport)
    # The kernel reads on for the client, by default some megabytes; with a few kB TCP would take seconds to catch up.
    transport.get_extra_info("socket").setsockopt(os_socket.SOL_SOCKET, os_socket.SO_RCVBUF, 32_768)
    transport.pause_reading()
    return transport


class PositionStates:
    """The table's rows of a test, made of what an engine says."""

    def __init__(self, tables: FakeTables) -> None:
        self._feed = tables.position_states
        self._bodies: dict[str, Mapping[str, Any]] = {}

    def say(self, key: str, *records: Mapping[str, Any], fresh: bool = True) -> None:
        """Let an engine say records, each with changes of ``engine_record``; the row changes once."""
        body = self._bodies.get(key, EMPTY)
        for record in records:
            state = engine_state(**{"counterparty_address": key.partition(":")[2], **record})
            body = with_engine_state(body, state, MADE, fresh=fresh, gaps=True)
        self.put(key, body)

    def put(self, key: str, body: Mapping[str, Any]) -> None:
        self._bodies[key] = body
        self._feed.put(key, int(body["count"]), body)


def numbered(*numbers: int) -> list[dict[str, Any]]:
    """Records of different ids, each a second newer than the one before."""
    return [{"id": str(number), "modify_time": TIME_S + number, "quote_id": 1 + number} for number in numbers]
