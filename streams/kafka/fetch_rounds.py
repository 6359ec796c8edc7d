"""Fetches in rounds: where records come one by one, several are fetched at a time."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from aiokafka.protocol.fetch import FetchRequest

from streams.process.cadence import Rounds

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer

    from streams.process.cadence import Pacing

# An answer of so many bytes was worth its request: whoever is behind catches up as fast as it can.
_MUCH_BYTES = 64 * 1024


def fetch_in_rounds(consumer: AIOKafkaConsumer, pacing: Pacing) -> None:
    """Let a consumer's fetches from one broker be as far apart as rounds are, once their answers bring little.

    The broker answers a fetch with the first record that comes. At 500 records a second that was a fetch for each of
    them, and each costs the process and the broker half a millisecond.

    Args:
        consumer: A consumer that was started.
        pacing: Says how far apart rounds are.
    """
    client = consumer._client
    send = client.send
    rounds: defaultdict[int, Rounds] = defaultdict(lambda: Rounds(pacing))

    async def send_in_rounds(node_id: int, request: Any, **kwargs: Any) -> Any:
        if not isinstance(request, FetchRequest):
            return await send(node_id, request, **kwargs)
        clock_s = asyncio.get_running_loop().time
        wait_s = rounds[node_id].due_s() - clock_s()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        asked_s = clock_s()
        answer = await send(node_id, request, **kwargs)
        if 0 < _bytes_in(answer) < _MUCH_BYTES:
            rounds[node_id].began(asked_s)
        return answer

    client.send = send_in_rounds


def _bytes_in(answer: Any) -> int:
    # The records are the last field of a partition in every version of the answer.
    return sum(len(partition[-1] or b"") for _, partitions in answer.topics for partition in partitions)
