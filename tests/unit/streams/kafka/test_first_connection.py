from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.errors import KafkaConnectionError

from streams.kafka import first_connection
from streams.kafka.first_connection import close_first_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class Client:
    """Has a connection open until the broker answers; aiokafka closes it then, and not where it is cancelled before."""

    def __init__(self, error: Exception | None = None) -> None:
        self.is_open = False
        self.is_cancelled = False
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.bootstrap: Callable[[], Coroutine[Any, Any, None]] = self._bootstrap
        self._error = error
        close_first_connection(SimpleNamespace(_client=self))

    async def _bootstrap(self) -> None:
        self.is_open = True
        self.asked.set()
        try:
            await self.answers.wait()
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise
        self.is_open = False
        if self._error is not None:
            raise self._error

    async def connecting(self) -> asyncio.Task[None]:
        """The task that connects, once it has asked."""
        task = asyncio.create_task(self.bootstrap())
        await self.asked.wait()
        return task


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("error", [None, KafkaConnectionError("gone")])
async def test_who_is_cancelled_while_it_connects_ends_with_the_answer(error: Exception | None, times: int) -> None:
    client = Client(error)
    task = await client.connecting()

    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    client.answers.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (False, False) == (client.is_open, client.is_cancelled)


async def test_a_broker_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_connection, "_WITHIN_S", 0.01)
    client = Client()
    task = await client.connecting()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert client.is_cancelled


async def test_an_error_of_the_first_connection_is_raised() -> None:
    client = Client(KafkaConnectionError("gone"))
    task = await client.connecting()

    client.answers.set()
    with pytest.raises(KafkaConnectionError, match="gone"):
        await task
