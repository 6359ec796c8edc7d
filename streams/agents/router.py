"""chain-blocks → account-events, quotes, markets, deployments: who is concerned by what happened on chain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import prometheus_client

from models.account_events import AccountCheckpoint, Transaction, Unfoldable, encode_account_record
from models.chain_records import decode_chain_record
from models.engine.router import Router
from models.errors import BadRecord
from streams.kafka.partitions import expect_in_place, partition_of
from streams.kafka.topics import account_events_name
from streams.transport.publisher import RecordTooLarge, check_size

if TYPE_CHECKING:
    from models.engine.step import Output, Step
    from streams.kafka.record import Record
    from streams.settings import Settings
    from streams.transport.slices import Slice
    from streams.transport.tables import Rows

_BLOCKS = prometheus_client.Counter(
    "tidemark_routed_records_total", "Records of chain-blocks routed.", ("deployment", "kind")
)
_SENT = prometheus_client.Counter(
    "tidemark_account_events_total", "Account events sent by the router.", ("deployment",)
)
# A block's logs are decoded in about 1 ms; the loop is given back every 10 ms.
_YIELD_EVERY = 10


class RouterAgent:
    """Keeps ``quotes``, ``markets`` and ``deployments`` and sends ``account-events``."""

    def __init__(self, settings: Settings, rows: Rows) -> None:
        self._rows = rows
        self._events = account_events_name(settings)
        self._deployments = {name: deployment.engine for name, deployment in settings.deployments.items()}

    async def handle(self, part: Slice) -> None:
        """Route a slice, record by record; each deployment's row is written once, after all its outputs."""
        router = Router(self._deployments, self._rows.reader(part.partition))
        for at, record in enumerate(part):
            self._write(self._route(router, record, part), part)
            if at % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        self._write(router.take_deployments(), part)

    def _route(self, router: Router, record: Record[bytes | None], part: Slice) -> Step:
        name = (record.key or b"").decode(errors="replace")
        try:
            expect_in_place(record.key or b"", part.partition, self._rows.partitions)
            chain_record = decode_chain_record(record.value or b"")
        except BadRecord as error:
            self._rows.refuse(part, record, error)
            return router.skip(name, record.offset, str(error))
        _BLOCKS.labels(name, type(chain_record).__name__.lower()).inc()
        return router.apply(name, chain_record, record.offset)

    def _write(self, step: Step, part: Slice) -> None:
        for stage in step.stages:
            self._rows.put_stage(part.partition, stage, part)
            for output in stage.outputs:
                self._send(output, part)

    def _send(self, output: Output, part: Slice) -> None:
        key, record = output.key, output.record
        value = encode_account_record(record)
        partitions = self._rows.partitions
        if output.is_for_all:
            for partition in range(partitions):
                self._rows.send(self._events, partition, key, value, part)
            return
        if isinstance(record, Transaction | AccountCheckpoint):
            try:
                check_size(self._events, key, value)
            except RecordTooLarge as error:
                value = encode_account_record(Unfoldable(record.position, str(error)))
        self._rows.send(self._events, partition_of(key, partitions), key, value, part)
        _SENT.labels(key.decode().partition(":")[0]).inc()
