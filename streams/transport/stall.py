"""A watch that notices when the consumer has stopped fetching although there are records to fetch."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from models.errors import TidemarkError
from streams.kafka.connection import consumer_arguments
from streams.kafka.first_connection import close_first_connection
from streams.process.supervision import waited_out

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from faust.types import TP

    from streams.settings.kafka_client import Bootstrap

_LOOK_EVERY_S = 3.0
_ANSWER_WITHIN_S = 3.0
# A fetch takes 0.5 s at most, and a rebalance does not count: after ten such looks no record will come by itself.
_STALLED_AFTER_S = 30.0


class Stalled(TidemarkError):
    """Records wait in our partitions, the broker answers, and nothing is fetched. A restarted process fetches again."""


class StallWatch:
    """Asks the broker for the ends of our partitions, through a client of its own, and compares them with our offsets.

    After a broker was killed, aiokafka's fetcher has been seen to stop for good while everything else went on.

    Args:
        bootstrap: How the cluster is reached.
        next_offsets: Returns the next offset of each partition, or None while nothing is to be fetched.
        fatal: Ends the process without a commit.
    """

    def __init__(
        self,
        bootstrap: Bootstrap,
        next_offsets: Callable[[], Mapping[TP, int] | None],
        fatal: Callable[[BaseException], None],
    ) -> None:
        self._bootstrap = bootstrap
        self._next_offsets = next_offsets
        self._fatal = fatal
        self._client: AIOKafkaConsumer | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look."""
        self._client = AIOKafkaConsumer(
            **consumer_arguments(self._bootstrap), enable_auto_commit=False, isolation_level="read_committed"
        )
        close_first_connection(self._client)
        await self._client.start()
        self._watching = asyncio.create_task(self._watch(self._client), name="stall watch")

    async def stop(self) -> None:
        """Look no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        if self._client is not None:
            await waited_out(self._client.stop())

    async def _watch(self, client: AIOKafkaConsumer) -> None:
        before: Mapping[TP, int] | None = None
        moved_s = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            offsets = self._next_offsets()
            waiting = await self._waiting(client, offsets) if offsets else {}
            if offsets != before or not waiting:
                moved_s = time.monotonic()
            before = offsets
            if time.monotonic() - moved_s > _STALLED_AFTER_S:
                self._fatal(
                    Stalled(f"expected records to be fetched, found none fetched for {_STALLED_AFTER_S} s: {waiting}")
                )
                return

    async def _waiting(self, client: AIOKafkaConsumer, offsets: Mapping[TP, int]) -> dict[str, int]:
        with suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                ends = await client.end_offsets([TopicPartition(*tp) for tp in offsets])
            return {
                f"{tp.topic}[{tp.partition}]": ends[TopicPartition(*tp)] - offset
                for tp, offset in offsets.items()
                if ends[TopicPartition(*tp)] > offset
            }
        return {}
