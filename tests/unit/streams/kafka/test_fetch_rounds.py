"""Fetches that bring little are as far apart as rounds are; who is behind fetches as fast as it can."""

from __future__ import annotations

import asyncio
from itertools import cycle
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from streams.kafka.fetch_rounds import fetch_in_rounds
from tests.support.pacing import Even
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERVAL_S = 0.01
ROUND_TRIP_S = 0.001


OURS, THEIRS = 7, 8


def batch(producer_id: int) -> bytes:
    """A batch of one record."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, producer_id, 0, 0, 1_000)
    assert builder.append(0, 1, b"k", b"v", [])
    return bytes(builder.build())


class Client:
    """Answers each fetch after a moment, with the next of some bytes, and then with the first again."""

    def __init__(self, *found: bytes) -> None:
        self._found = cycle(found)
        self.asked_s: list[float] = []

    async def send(self, node_id: int, request: object) -> object:
        assert (1, True) == (node_id, request is not None)
        self.asked_s.append(asyncio.get_running_loop().time())
        await asyncio.sleep(ROUND_TRIP_S)
        return SimpleNamespace(topics=[("topic", [(0, 0, 0, next(self._found))]), ("other", [(0, 0, 0, None)])])


def fetches_in_a_second(found: bytes | Sequence[bytes], request: object, own_id: int | None = None) -> int:
    """How many requests a client sends in a second that sends the next as soon as it has the answer."""

    async def send_all() -> int:
        client = Client(*((found,) if isinstance(found, bytes) else found))
        fetch_in_rounds(cast("Any", SimpleNamespace(_client=client)), Even(INTERVAL_S), own_id)
        loop = asyncio.get_running_loop()
        while loop.time() < 1:
            await client.send(1, request)
        return len(client.asked_s)

    return run_in_no_time(send_all(), least_step_s=1e-6)


FETCH = FetchRequest(50, 1, 1, 0, [])


def test_fetches_that_bring_little_are_an_interval_apart() -> None:
    assert 100 <= fetches_in_a_second(b"x" * 300, FETCH) <= 104


def test_fetches_that_bring_much_or_nothing_follow_each_other_at_once() -> None:
    assert fetches_in_a_second(b"x" * 1_000_000, FETCH) > 900
    # The broker has waited for records already.
    assert fetches_in_a_second(b"", FETCH) > 900


def test_nothing_else_is_kept_waiting() -> None:
    assert fetches_in_a_second(b"x" * 300, MetadataRequest([])) > 900


def test_nobody_waits_for_what_he_has_written_himself() -> None:
    assert fetches_in_a_second(batch(OURS) * 3, FETCH, OURS) <= 21
    assert fetches_in_a_second(batch(OURS) + batch(OURS)[:-5], FETCH, OURS) <= 21


def test_what_others_have_written_comes_in_rounds_whoever_else_has_written() -> None:
    assert 100 <= fetches_in_a_second(batch(OURS) + batch(THEIRS), FETCH, OURS) <= 104
    # Most answers are one's alone, since the broker answers with the first record that comes.
    assert 100 <= fetches_in_a_second([batch(THEIRS), *[batch(OURS)] * 9], FETCH, OURS) <= 104
    assert 100 <= fetches_in_a_second(batch(OURS), FETCH) <= 104
