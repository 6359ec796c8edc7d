"""Fetches that bring little are as far apart as rounds are; who is behind fetches as fast as it can."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest

from streams.kafka.fetch_rounds import fetch_in_rounds
from tests.support.pacing import Even
from tests.support.virtual_loop import run_in_no_time

INTERVAL_S = 0.01
ROUND_TRIP_S = 0.001


class Client:
    """Answers each fetch after a moment, with so many bytes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.asked_s: list[float] = []

    async def send(self, node_id: int, request: object) -> object:
        assert (1, True) == (node_id, request is not None)
        self.asked_s.append(asyncio.get_running_loop().time())
        await asyncio.sleep(ROUND_TRIP_S)
        return SimpleNamespace(topics=[("topic", [(0, 0, 0, b"x" * self._size)]), ("other", [(0, 0, 0, None)])])


def fetches_in_a_second(size: int, request: object) -> int:
    """How many requests a client sends in a second that sends the next as soon as it has the answer."""

    async def send_all() -> int:
        client = Client(size)
        fetch_in_rounds(cast("Any", SimpleNamespace(_client=client)), Even(INTERVAL_S))
        loop = asyncio.get_running_loop()
        while loop.time() < 1:
            await client.send(1, request)
        return len(client.asked_s)

    return run_in_no_time(send_all(), least_step_s=1e-6)


FETCH = FetchRequest(50, 1, 1, 0, [])


def test_fetches_that_bring_little_are_an_interval_apart() -> None:
    assert 100 <= fetches_in_a_second(300, FETCH) <= 104


def test_fetches_that_bring_much_or_nothing_follow_each_other_at_once() -> None:
    assert fetches_in_a_second(1_000_000, FETCH) > 900
    # The broker has waited for records already.
    assert fetches_in_a_second(0, FETCH) > 900


def test_nothing_else_is_kept_waiting() -> None:
    assert fetches_in_a_second(300, MetadataRequest([])) > 900
