"""Keeps on ``served`` what this replica made figures of; nobody who waits for a figure waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, assert_never

from models.errors import TidemarkError
from models.kept_inputs import CalculationsMade, FundingMade, encode_kept, kept_key
from streams.kafka.topics import SERVED

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.kept_inputs import KeptInput
    from streams.kafka.single_records import RecordSink

_log = logging.getLogger(__name__)

# A record is acknowledged in some ms. While the broker is away for longer than these last, the oldest are lost.
_WAITING_MAX = 1_000


class InputsWriter:
    """Writes records in their order, each when the broker has the one before.

    Args:
        records: Take the records.
        epoch: That of the rows which figures are made of.
        count: Called with ``written`` or ``lost`` for each.
    """

    def __init__(self, records: RecordSink, epoch: int, count: Callable[[str], None]) -> None:
        self._records = records
        self._topic = f"{SERVED}-{epoch}"
        self._count = count
        self._waiting: deque[tuple[bytes, KeptInput]] = deque()
        self._writing: asyncio.Task[None] | None = None

    def keep(self, deployment: str, made: KeptInput) -> None:
        """Keep what figures of a deployment were made of."""
        match made:
            case CalculationsMade():
                key = kept_key("calc", deployment)
            case FundingMade():
                key = kept_key("funding", deployment)
            case _:
                assert_never(made)
        if len(self._waiting) >= _WAITING_MAX:
            self._waiting.popleft()
            self._count("lost")
        self._waiting.append((key, made))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="what figures were made of")

    async def stop(self) -> None:
        """Write nothing more."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])

    async def _write(self) -> None:
        try:
            while self._waiting:
                key, made = self._waiting.popleft()
                try:
                    await self._records.send(self._topic, key, encode_kept(made))
                except TidemarkError as error:
                    self._count("lost")
                    _log.warning("what figures were made of is not kept key=%s cause=%s", key.decode(), error)
                else:
                    self._count("written")
        finally:
            self._writing = None
