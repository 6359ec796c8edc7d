"""Rising numbers that all replicas share, kept on a compacted topic: each is used once, wherever and whenever."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING

from models.errors import BadRecord
from models.nonces import NonceMarks, NonceUse, decode_nonce, encode_nonce
from streams.kafka.reader import TopicReader
from streams.kafka.single_records import NotWritten
from streams.kafka.topics import NONCES, topic_name
from streams.replicas.lease_holder import Undecided

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka import TopicPartition

    from streams.kafka.record import Record
    from streams.kafka.single_records import RecordSink
    from streams.process.clock import Clock
    from streams.settings import Settings

_log = logging.getLogger(__name__)

# Writing takes some ms. A client that logs in waits for the answer, and most of them give up after ten seconds.
_DECIDE_WITHIN_S = 3.0
# A record stays uncompacted for an hour at least, so a mark that was sunk has much longer than this.
_RAISE_EVERY_S = 5.0


class NonceLog(TopicReader):
    """Uses numbers, in the order of the log.

    Args:
        settings: Name the broker and the topic.
        records: Takes records; one is in the log for good once it says so.
        clock: As for ``TopicReader``.
    """

    def __init__(self, settings: Settings, records: RecordSink, clock: Clock) -> None:
        super().__init__(settings.bootstrap, topic_name(settings, NONCES), clock)
        self._records = records
        self._marks = NonceMarks()
        self._asked: dict[str, asyncio.Future[bool]] = {}

    async def spend(self, key: bytes, nonce: int) -> bool:
        """Use a number.

        Args:
            key: Whose it is, as ``nonce_key`` makes it.
            nonce: The number, in 0 to 2^63 - 1.

        Returns:
            False where that number or a higher one was used before, on any replica, at any time.

        Raises:
            Undecided: The log was not read yet, or the broker did not answer in time. The number may be used up.
        """
        if not self.is_ready:
            msg = f"expected {self.topic} to have been read, found that it is still being read"
            raise Undecided(msg)
        if nonce <= self._marks.of(key):
            return False
        use = uuid.uuid4().hex
        accepted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asked[use] = accepted
        try:
            async with asyncio.timeout(_DECIDE_WITHIN_S):
                await self._records.send(NONCES, key, encode_nonce(NonceUse(nonce, use)))
                return await accepted
        except (NotWritten, TimeoutError) as error:
            msg = f"expected the broker to take a record of {self.topic} within {_DECIDE_WITHIN_S} s, found {error!r}"
            raise Undecided(msg) from error
        finally:
            del self._asked[use]

    async def raise_marks(self) -> None:
        """Write the highest number of a key again wherever its newest record is lower; until cancelled.

        Two replicas may append two numbers before either has read the other's. Every replica does this, so it is done
        also where the one that wrote the lower number has ended.
        """
        while True:
            await asyncio.sleep(_RAISE_EVERY_S)
            for key in list(self._marks.sunk):
                try:
                    await self._records.send(NONCES, key, encode_nonce(NonceUse(self._marks.of(key))))
                except NotWritten as error:
                    _log.warning("the highest nonce of a key is not written again yet: %s", error)
                    break

    def _take(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        for tp, records in fetched.items():
            for record in records:
                try:
                    used = decode_nonce(record.key, record.value)
                except BadRecord as error:
                    _log.warning("nonce refused partition=%d offset=%d error=%s", tp.partition, record.offset, error)
                    continue
                is_first = self._marks.take(record.key, used.nonce)
                asked = self._asked.get(used.use)
                if asked is not None and not asked.done():
                    asked.set_result(is_first)
