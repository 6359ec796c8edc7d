"""The journal of a deployment: it writes records to ``chain-blocks`` in order, and waits for their acknowledgement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from models.chain_records import Watermark, encode_chain_record
from models.symmio.topics import CHAIN_BLOCKS
from streams.kafka.topics import topic_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.chain_records import ChainRecord
    from streams.ingest.outlet import Outlet
    from streams.ingest.symmio.tail import Tail
    from streams.settings import Settings

_RECORDS = Counter("tidemark_chain_records_total", "Records written to chain-blocks.", ("deployment", "kind"))
_HEAD = Gauge("tidemark_chain_head_block", "Highest block every log of which is in chain-blocks.", ("deployment",))
_FINAL = Gauge("tidemark_chain_final_block", "Highest block that will not be rolled back.", ("deployment",))


class Journal:
    """Writes a deployment's records, and applies them to its ``tail`` once the broker has acknowledged them.

    Args:
        settings: Name the topic.
        deployment: The deployment's name, which is the records' key.
        outlet: The way to Kafka.
        tail: What the topic already holds.
    """

    def __init__(self, settings: Settings, deployment: str, outlet: Outlet, tail: Tail) -> None:
        self.deployment = deployment
        self.tail = tail
        self._outlet = outlet
        self._topic = topic_name(settings, CHAIN_BLOCKS)
        self._key = deployment.encode()

    async def write(self, records: Sequence[ChainRecord]) -> None:
        """Write records and wait for the broker.

        Raises:
            NotAcknowledged: The broker did not take one; the process has to end and start again from the topic.
        """
        for record in records:
            await self._outlet.put(self._topic, self._key, encode_chain_record(record))
        await self._outlet.flush()
        for record in records:
            self.tail.apply(record)
            _RECORDS.labels(self.deployment, type(record).__name__.lower()).inc()
            if isinstance(record, Watermark):
                _HEAD.labels(self.deployment).set(record.head)
                _FINAL.labels(self.deployment).set(record.final)
