"""The smallest correct client of ``/v1/ws``: a model of what it holds, and a loop that follows.

The server does not need it. Tests and ``tidemark watch`` use it, and other clients can be written after it.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import orjson

from api.dialects.native.protocol import INTERVAL_DEFAULT_MS, SUBPROTOCOL
from models.patch import patched

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable

Message = dict[str, Any]
Watched = tuple[str, str]
"""Channel and key."""

_AGAIN_MIN_S = 0.2
_AGAIN_MAX_S = 10.0
# Three heartbeats. A network that fails does not close the connection, it only falls silent.
_SILENCE_MAX_S = 15.0


class Held(NamedTuple):
    """What a client holds of a key."""

    epoch: int
    seq: list[int]
    data: dict[str, Any]


class Model:
    """The keys that are subscribed to and what is held of each; it outlives connections.

    Attributes:
        held: The newest state of each channel and key.
        gaps: How many deltas did not follow from what was held.
    """

    def __init__(self) -> None:
        self.held: dict[Watched, Held] = {}
        self.gaps = 0
        self._watched_of: dict[int, Watched] = {}
        self._resyncing: set[int] = set()
        self._last_id = 0

    def subscribe(self, channel: str, keys: Iterable[str], interval_ms: int = INTERVAL_DEFAULT_MS) -> Message:
        """Make the request for keys of a channel, which says what is held of them, so that it need not be sent again.

        Args:
            channel: The channel's name.
            keys: Keys of the channel.
            interval_ms: The shortest time between two messages of one key, 0 to 60,000 ms.
        """
        keys = list(keys)
        resume = {
            key: {"epoch": held.epoch, "seq": held.seq}
            for key in keys
            if (held := self.held.get((channel, key))) is not None
        }
        return self._request("subscribe", channel=channel, keys=keys, interval_ms=interval_ms, resume=resume)

    def disconnected(self) -> None:
        """Forget the numbers of subscriptions, which end with their connection; what is held stays."""
        self._watched_of.clear()
        self._resyncing.clear()

    def knows(self, sub: int) -> bool:
        """Whether the subscription was acknowledged on this connection."""
        return sub in self._watched_of

    def watched(self, sub: int) -> Watched:
        """Return channel and key of a subscription that was acknowledged on this connection."""
        return self._watched_of[sub]

    def take(self, message: Message) -> Message | None:
        """Take in a message of the server, and return the request to send in answer, where there is one."""
        match message["type"]:
            case "ack" if message["op"] == "subscribe":
                for sub in message["subs"]:
                    self._watched_of[sub["sub"]] = sub["channel"], sub["key"]
            case "snapshot":
                self._resyncing.discard(message["sub"])
                watched = self._watched_of[message["sub"]]
                self.held[watched] = Held(message["epoch"], message["seq"], message["data"])
            case "delta":
                return self._patch(message)
            case _:
                pass
        return None

    def _patch(self, message: Message) -> Message | None:
        sub = message["sub"]
        watched = self._watched_of[sub]
        held = self.held.get(watched)
        if held is not None and held.seq == message["prev"]:
            self.held[watched] = Held(held.epoch, message["seq"], patched(held.data, message["data"]))
            return None
        if sub in self._resyncing:
            return None
        self.gaps += 1
        self._resyncing.add(sub)
        return self._request("resync", sub=sub)

    def _request(self, op: str, **said: object) -> Message:
        self._last_id += 1
        return {"op": op, "id": self._last_id, **said}


async def follow(
    session: aiohttp.ClientSession,
    url: str,
    model: Model,
    subscriptions: dict[str, list[str]],
    *,
    interval_ms: int = INTERVAL_DEFAULT_MS,
    token: str | None = None,
) -> AsyncIterator[Message]:
    """Follow keys by channel for ever, over reconnects; yield each message after ``model`` has taken it in.

    Between two connections it yields a message of its own: ``disconnected``, with ``reason``, and ``code`` where the
    server closed.

    Args:
        session: Opens the connections.
        url: The websocket's address, such as ``ws://127.0.0.1:8080/v1/ws``.
        model: What is held of the keys; it outlives connections.
        subscriptions: Keys by the name of their channel.
        interval_ms: The shortest time between two messages of one key, 0 to 60,000 ms.
        token: A reader's token; None where the server needs none.
    """
    again_s = _AGAIN_MIN_S
    while True:
        connection = _follow_once(session, url, model, subscriptions, interval_ms=interval_ms, token=token)
        try:
            # Whoever follows no longer has the socket closed at once, not when the generator is collected.
            async with aclosing(connection):
                async for message in connection:
                    again_s = _again_s(message, again_s)
                    yield message
        except aiohttp.ClientError as error:
            yield {"type": "disconnected", "reason": str(error)}
        except TimeoutError:
            yield {"type": "disconnected", "reason": f"nothing came for {_SILENCE_MAX_S:.0f} s"}
        model.disconnected()
        await asyncio.sleep(again_s)
        again_s = min(_AGAIN_MAX_S, 2 * again_s) * random.uniform(0.5, 1)  # noqa: S311 - spreads load


async def _follow_once(
    session: aiohttp.ClientSession,
    url: str,
    model: Model,
    subscriptions: dict[str, list[str]],
    *,
    interval_ms: int,
    token: str | None,
) -> AsyncGenerator[Message]:
    silence = aiohttp.ClientWSTimeout(ws_receive=_SILENCE_MAX_S)
    async with session.ws_connect(url, protocols=(SUBPROTOCOL,), max_msg_size=0, timeout=silence) as socket:
        if token is not None:
            await socket.send_json({"op": "auth", "id": 0, "token": token})
        for channel, keys in subscriptions.items():
            await socket.send_json(model.subscribe(channel, keys, interval_ms))
        async for frame in socket:
            for message in orjson.loads(frame.data):
                answer = model.take(message)
                if answer is not None:
                    await socket.send_json(answer)
                yield message
        code = socket.close_code
    yield {"type": "disconnected", "reason": f"closed with {code}", "code": code}


def _again_s(message: Message, again_s: float) -> float:
    match message["type"]:
        case "goodbye":
            return float(message["reconnect_in_ms"]) / 1000
        case "snapshot" | "delta" | "heartbeat":
            return _AGAIN_MIN_S
        case _:
            return again_s
