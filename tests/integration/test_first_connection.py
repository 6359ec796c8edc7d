"""Clients of a real broker that are broken off while they connect."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import aiokafka.client
import pytest

from streams.kafka.admin import opened_admin
from streams.kafka.consumer import start_consumer
from streams.kafka.ends import true_ends
from streams.kafka.producer import start_producer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streams.settings import Settings
    from streams.settings.kafka_client import Bootstrap


async def administer(bootstrap: Bootstrap) -> None:
    async with opened_admin(bootstrap):
        pass


@pytest.mark.parametrize(
    "connect",
    [
        start_producer,
        partial(start_consumer, wait_ms=50, most_records=1),
        partial(true_ends, partitions=[aiokafka.TopicPartition("t", 0)]),
        administer,
    ],
)
async def test_a_client_that_is_cancelled_while_it_connects_leaves_no_connection_open(
    connect: Callable[[Bootstrap], Awaitable[object]],
    settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create, made = aiokafka.client.create_conn, list[Any]()

    async def noted(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as aiokafka makes it
        made.append(await create(*arguments, **named))
        connecting.cancel()
        return made[-1]

    monkeypatch.setattr(aiokafka.client, "create_conn", noted)
    connecting = asyncio.ensure_future(connect(settings().bootstrap))
    with pytest.raises(asyncio.CancelledError):
        await connecting

    assert [False] == [one.connected() for one in made]
