"""What a system shows of accounts: the newest row of each, as a reader of its output topic has them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson

from models.codec import ORDER_BYTES
from streams.kafka.consumer import start_consumer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.settings.kafka_client import Bootstrap

_MOST_RECORDS = 5_000
# Without somebody who looks at each row, whole batches cost a fraction of a fetch for each.
_UNWATCHED_MIN_BYTES = 512 * 1024
_UNWATCHED_WAIT_MS = 500
_WATCHED_WAIT_MS = 50


class ShownRows:
    """Follows an output topic from its beginning.

    Args:
        bootstrap: How the cluster is reached.
        topic: The topic, which exists.
        on_row: Called with the key and the body of each row that comes; None where only the newest ones count.

    Attributes:
        rows: How many have come.
        bodies: The newest of each key, without the row's order.
    """

    def __init__(self, bootstrap: Bootstrap, topic: str, on_row: Callable[[bytes, bytes], None] | None = None) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._on_row = on_row
        self._following: asyncio.Task[None] | None = None
        self._done: set[bytes] = set()
        self.rows = 0
        self.bodies: dict[bytes, bytes] = {}

    async def start(self) -> None:
        """Begin to follow."""
        self._following = asyncio.create_task(self._follow(), name=f"rows of {self._topic}")

    async def stop(self) -> None:
        """Follow no more."""
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following

    def show(self, newest: Mapping[str, int]) -> bool:
        """Whether every row shows the newest marks: those at these offsets of their partitions, by their keys."""
        left = [key for key in self.bodies if key not in self._done]
        for key in left:
            positions = orjson.loads(self.bodies[key])["positions"]
            if all(position["mark_offset"] == newest[position["mark_key"]] for position in positions):
                self._done.add(key)
        return len(self._done) == len(self.bodies)

    async def _follow(self) -> None:
        is_watched = self._on_row is not None
        consumer = await start_consumer(
            self._bootstrap,
            self._topic,
            wait_ms=_WATCHED_WAIT_MS if is_watched else _UNWATCHED_WAIT_MS,
            min_bytes=1 if is_watched else _UNWATCHED_MIN_BYTES,
            most_records=_MOST_RECORDS,
        )
        try:
            while True:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    self._take(records)
                await asyncio.sleep(0)
        finally:
            await consumer.stop()

    def _take(self, records: list[Any]) -> None:
        for record in records:
            body = record.value if record.value.startswith(b"{") else record.value[ORDER_BYTES:]
            self.bodies[record.key] = body
            if self._on_row is not None:
                self._on_row(record.key, body)
        self.rows += len(records)
