"""What a writer of transactions says when it is fenced in the middle of one, and what nobody says after it."""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiokafka.errors import ProducerFenced

from streams.kafka.fenced_writer import Fenced, FencedWriter, Written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiokafka import AIOKafkaProducer


class FencedAtTheSecond:
    """A producer that takes one record, and is fenced before the next."""

    def __init__(self) -> None:
        self._taken: list[asyncio.Future[object]] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        yield

    async def send(self, topic: str, value: bytes, key: bytes) -> asyncio.Future[object]:
        del topic, value, key
        if self._taken:
            self._taken.pop().set_exception(ProducerFenced())
            raise ProducerFenced
        self._taken.append(asyncio.get_running_loop().create_future())
        return self._taken[0]


async def test_a_fenced_writer_says_so_and_nothing_is_told_after_it() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    writer = FencedWriter(cast("AIOKafkaProducer", FencedAtTheSecond()), "mine")
    with pytest.raises(Fenced, match="expected to be the only writer under mine"):
        await writer.write([Written("t", b"k", b"1"), Written("t", b"k", b"2")])
    await asyncio.sleep(0)
    gc.collect()
    assert [] == told
