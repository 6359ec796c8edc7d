"""Exact valuations by a plain aiokafka loop: the floor of ``bench/valuations.py``, with nothing that survives a crash.

Accounts are decoded once and valued as a worker values them; for each fetch the newest mark of each market is taken,
and each account that holds one is valued once, its row encoded and sent. There is no store, no group and no commit.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from models.codec import decode_order, encode_body
from models.prices import UsedMark, decode_tick, mark_of, used_mark
from models.provenance import join_provenance, provenance
from models.symmio.valuation import AccountValuer
from models.symmio.venue import SYMMIO
from models.valuations import VALUED

_BATCH_BYTES = 256 * 1024


class ValuationLoop:
    """One process of the floor.

    Args:
        job: ``bootstrap``, the topics ``accounts``, ``ticks`` and ``output``, how many ``partitions`` each has, and
            ``settings``, which rows name.
    """

    def __init__(self, job: dict[str, str]) -> None:
        self._job = job
        self._settings = job["settings"]
        self._marks: dict[int, UsedMark] = {}
        self._valuers: dict[bytes, tuple[int, AccountValuer]] = {}
        self._holders: defaultdict[int, set[bytes]] = defaultdict(set)

    async def run(self) -> None:
        """Read the accounts, then follow ticks until the process is killed."""
        bootstrap = self._job["bootstrap"]
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            acks="all",
            enable_idempotence=True,
            compression_type="snappy",
            max_batch_size=_BATCH_BYTES,
        )
        await consumer.start()
        await producer.start()
        await self._read_accounts(consumer)
        consumer.assign(self._partitions_of("ticks"))
        while True:
            moved: set[int] = set()
            for records in (await consumer.getmany(timeout_ms=500)).values():
                moved.update(map(self._take, records))
            await self._write(producer, {key for symbol_id in moved for key in self._holders[symbol_id]})

    def _partitions_of(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(self._job[topic], partition) for partition in range(int(self._job["partitions"]))]

    async def _read_accounts(self, consumer: AIOKafkaConsumer) -> None:
        tps = self._partitions_of("accounts")
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        while [tp for tp in tps if await consumer.position(tp) < ends[tp]]:
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    held = SYMMIO.read_held(record.value)
                    self._valuers[record.key] = tp.partition, AccountValuer(held, decode_order(record.value)[0])
                    for position in held.positions:
                        self._holders[position.symbol_id].add(record.key)

    def _take(self, record: Any) -> int:  # noqa: ANN401 - as aiokafka has it
        """Take a tick in; the market that it is of, which the benchmark calls S1USDT and so on."""
        tick = decode_tick(record.value)
        symbol_id = int(tick.symbol[1:-4])
        standing = self._marks.get(symbol_id)
        if standing is None or tick.event_ms > standing.event_ms:
            mark = mark_of(tick, record.offset)
            self._marks[symbol_id] = used_mark(record.key.decode(), mark, stale=False)
        return symbol_id

    async def _write(self, producer: AIOKafkaProducer, keys: set[bytes]) -> None:
        rows: defaultdict[int, list[tuple[bytes, bytes]]] = defaultdict(list)
        made = provenance(time.time_ns() // 10**6, "symmio/1", self._settings)
        for key in keys:
            partition, valuer = self._valuers[key]
            body = valuer.value(self._marks.get, unsupported=False).body
            if body["status"] == VALUED:
                rows[partition].append((key, join_provenance(encode_body(body), made)))
        for partition, left in rows.items():
            while left:
                batch = producer.create_batch()
                while left and batch.append(key=left[-1][0], value=left[-1][1], timestamp=None):
                    left.pop()
                batch.close()
                await producer.send_batch(batch, self._job["output"], partition=partition)


if __name__ == "__main__":
    uvloop.run(ValuationLoop(json.loads(sys.argv[1])).run())
