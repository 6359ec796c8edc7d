"""A client for programs without an event loop of their own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from tidemark_client.client import Client
from tidemark_client.core import INTERVAL_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from tidemark_client.actions import Event, Held


class SyncClient:
    """The same as ``Client``, for one thread: its loop runs while the next event is waited for.

        with SyncClient("ws://127.0.0.1:8080/v1/ws") as client:
            client.subscribe("account", ["demo:0x…"])
            for event in client.events():
                ...

    Args:
        url: The websocket's address, ws:// or wss://.
        token: A reader's token, or a function that gives the newest one; None where the server needs none.
    """

    def __init__(self, url: str, *, token: str | Callable[[], str | None] | None = None) -> None:
        self._runner = asyncio.Runner()
        self._client = Client(url, token=token)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._runner.run(self._client.close())
        self._runner.close()

    def subscribe(self, channel: str, keys: Iterable[str], interval_ms: int = INTERVAL_MS) -> None:
        """Follow keys of a channel; what stands of them comes first. The same key once more changes its interval.

        Args:
            channel: The channel's name.
            keys: Keys of it.
            interval_ms: The shortest time between two messages of a key, 0 to 60,000 ms; 0: each change as it comes.
        """

        async def subscribe() -> None:
            self._client.subscribe(channel, keys, interval_ms)

        self._runner.run(subscribe())

    def unsubscribe(self, channel: str, keys: Iterable[str]) -> None:
        """Follow keys of a channel no longer."""

        async def unsubscribe() -> None:
            self._client.unsubscribe(channel, keys)

        self._runner.run(unsubscribe())

    def held(self, channel: str, key: str) -> Held | None:
        """Return what stands of a key that is followed; None before it came."""
        return self._client.held(channel, key)

    def events(self) -> Iterator[Event]:
        """Connect, and yield what happens, until the connection ends for good.

        Nothing is read between two events: take the next one within 10 s, or the server closes the connection, and the
        client comes back for what then stands.
        """
        events = self._client.events()

        async def following() -> Event | None:
            return await anext(events, None)

        while (event := self._runner.run(following())) is not None:
            yield event
