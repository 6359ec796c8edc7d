"""Raw records → records of accounts, quotes, markets, deployments: which accounts a raw record concerns."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import prometheus_client

from models.engine.step import step_of
from models.engine.tables import DEPLOYMENTS
from models.errors import BadRecord
from models.row_keys import expect_key
from streams.kafka.partitions import expect_in_place, partition_of
from streams.transport.publisher import RecordTooLarge, check_size

if TYPE_CHECKING:
    from models.engine.deployment import InstalledVenue
    from models.engine.step import Output, Step
    from models.venue import Routes
    from streams.kafka.record import Record
    from streams.transport.slices import Slice
    from streams.transport.tables import Rows

_BLOCKS = prometheus_client.Counter("tidemark_routed_records_total", "Raw records routed.", ("deployment", "kind"))
_SENT = prometheus_client.Counter(
    "tidemark_account_events_total", "Account events sent by the router.", ("deployment",)
)
# A block's logs are decoded in about 1 ms; the loop is given back every 10 ms.
_YIELD_EVERY = 10


class RouterAgent:
    """Keeps ``quotes``, ``markets`` and ``deployments`` and sends what concerns accounts to their partitions.

    Args:
        installed: The venue, with its deployments.
        routed: The full name of the topic that its records are routed to.
        rows: The tables.
    """

    def __init__(self, installed: InstalledVenue, routed: str, rows: Rows) -> None:
        self._installed = installed
        self._rows = rows
        self._routed = routed

    async def handle(self, part: Slice) -> None:
        """Route a slice, record by record; each deployment's row is written once, after all its outputs."""
        venue, deployments = self._installed
        router = venue.routes(deployments, self._rows.of_partition(part.partition))
        for at, record in enumerate(part):
            self._write(self._route(router, record, part), router, part)
            if at % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        self._write(router.take_deployments(), router, part)

    def _route(self, router: Routes[Any, Any], record: Record[bytes | None], part: Slice) -> Step:
        key = record.key or b""
        try:
            expect_key(DEPLOYMENTS, key)
        except BadRecord as error:
            # No deployment is concerned, whose logs would not be supported from here on.
            self._rows.refuse(part, record, error)
            return step_of(())
        name = key.decode()
        try:
            expect_in_place(key, part.partition, self._rows.partitions)
            raw = router.decode(record.value or b"")
        except BadRecord as error:
            self._rows.refuse(part, record, error)
            return router.skip(name, record.offset, str(error))
        _BLOCKS.labels(name, type(raw).__name__.lower()).inc()
        return router.apply(name, raw, record.offset)

    def _write(self, step: Step, router: Routes[Any, Any], part: Slice) -> None:
        for stage in step.stages:
            self._rows.put_stage(part.partition, stage, part)
            for output in stage.outputs:
                self._send(output, router, part)

    def _send(self, output: Output, router: Routes[Any, Any], part: Slice) -> None:
        key, value = output.key, router.encode(output.record)
        partitions = self._rows.partitions
        if output.is_for_all:
            for partition in range(partitions):
                self._rows.send(self._routed, partition, key, value, part)
            return
        try:
            check_size(self._routed, key, value)
        except RecordTooLarge as error:
            value = router.encode(router.unsent(output.record, str(error)))
        self._rows.send(self._routed, partition_of(key, partitions), key, value, part)
        _SENT.labels(key.decode().partition(":")[0]).inc()
