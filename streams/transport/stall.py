"""Noticing a consumer that has stopped to fetch while there is something to fetch."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from models.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from faust.types import TP

_LOOK_EVERY_S = 3.0
_ANSWER_WITHIN_S = 3.0
# A fetch takes 0.5 s at most, a rebalance is not counted: after ten of these looks nothing will come by itself.
_STALLED_AFTER_S = 30.0


class Stalled(TidemarkError):
    """Records wait in a partition of ours, the broker answers, and nothing is fetched. A restart fetches again."""


class StallWatch:
    """Asks the broker, through a client of its own, for the ends of our partitions, and compares.

    After a broker was killed, aiokafka's fetcher has been seen to stay silent for good while everything else went on.

    Args:
        bootstrap: Kafka's bootstrap servers.
        next_offsets: Where each partition goes on, None while the consumer is held.
        fatal: Ends the process without a commit.
    """

    def __init__(
        self,
        bootstrap: str,
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
            bootstrap_servers=self._bootstrap, enable_auto_commit=False, isolation_level="read_committed"
        )
        await self._client.start()
        self._watching = asyncio.create_task(self._watch(self._client), name="stall watch")

    async def stop(self) -> None:
        """Look no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        if self._client is not None:
            await self._client.stop()

    async def _watch(self, client: AIOKafkaConsumer) -> None:
        before: Mapping[TP, int] | None = None
        moved_s = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            standing = self._next_offsets()
            waiting = await self._waiting(client, standing) if standing else {}
            if standing != before or not waiting:
                moved_s = time.monotonic()
            before = standing
            if time.monotonic() - moved_s > _STALLED_AFTER_S:
                self._fatal(
                    Stalled(f"expected records to be fetched, found none fetched for {_STALLED_AFTER_S} s: {waiting}")
                )
                return

    async def _waiting(self, client: AIOKafkaConsumer, standing: Mapping[TP, int]) -> dict[str, int]:
        with suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                ends = await client.end_offsets([TopicPartition(*tp) for tp in standing])
            return {
                f"{tp.topic}[{tp.partition}]": ends[TopicPartition(*tp)] - offset
                for tp, offset in standing.items()
                if ends[TopicPartition(*tp)] > offset
            }
        return {}
