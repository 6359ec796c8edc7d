"""Fetches in rounds: where records come one by one, several are fetched at a time."""

from __future__ import annotations

import asyncio
import struct
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from aiokafka.protocol.fetch import FetchRequest

from streams.process.cadence import Rounds

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer

    from streams.process.cadence import Pacing

# An answer of so many bytes was worth its request: whoever is behind catches up as fast as it can.
_MUCH_BYTES = 64 * 1024
# Nobody waits for what he has written himself. Where others begin to write too, what they write first comes so late.
_OWN_APART_S = 0.05
# Others who have written within so long will write again, and are waited for.
_OTHERS_FOR_S = 1.0
# The head of a batch, as far as the id of its producer: the first offset, the length of what follows these two, and 31
# bytes on the id.
_BATCH_HEAD = struct.Struct(">qi31xq")
_BEFORE_LENGTH_COUNTS = 12


def fetch_in_rounds(consumer: AIOKafkaConsumer, pacing: Pacing, own_id: int | None = None) -> None:
    """Let a consumer's fetches from one broker be as far apart as rounds are, once their answers bring little.

    The broker answers a fetch with the first record that comes. At 500 records a second that was a fetch for each of
    them, and each costs the process and the broker half a millisecond.

    Args:
        consumer: A consumer that was started.
        pacing: Says how far apart rounds are.
        own_id: The id of a producer whose batches nobody waits for: while for a second no answer has brought any of
            others, fetches are 50 ms apart. None where all are waited for.
    """
    client = consumer._client
    send = client.send
    rounds: defaultdict[int, Rounds] = defaultdict(lambda: Rounds(pacing))
    not_before_s: defaultdict[int, float] = defaultdict(float)
    others_until_s: defaultdict[int, float] = defaultdict(float)

    async def send_in_rounds(node_id: int, request: Any, **kwargs: Any) -> Any:
        if not isinstance(request, FetchRequest):
            return await send(node_id, request, **kwargs)
        clock_s = asyncio.get_running_loop().time
        wait_s = max(rounds[node_id].due_s(), not_before_s[node_id]) - clock_s()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        asked_s = clock_s()
        answer = await send(node_id, request, **kwargs)
        parts = _parts_of(answer)
        if 0 < sum(map(len, parts)) < _MUCH_BYTES:
            rounds[node_id].began(asked_s)
        if own_id is None or not parts:
            return answer
        if not all(_is_of(own_id, part) for part in parts):
            others_until_s[node_id] = asked_s + _OTHERS_FOR_S
        elif asked_s >= others_until_s[node_id]:
            not_before_s[node_id] = asked_s + _OWN_APART_S
        return answer

    client.send = send_in_rounds


def _parts_of(answer: Any) -> list[bytes]:
    # The records are the last field of a partition in every version of the answer.
    return [partition[-1] for _, partitions in answer.topics for partition in partitions if partition[-1]]


def _is_of(producer_id: int, batches: bytes) -> bool:
    """Whether all batches of a partition's answer are one producer's; the last one may be cut off."""
    at = 0
    while at + _BATCH_HEAD.size <= len(batches):
        _, length, found = _BATCH_HEAD.unpack_from(batches, at)
        if found != producer_id:
            return False
        at += _BEFORE_LENGTH_COUNTS + length
    return True
