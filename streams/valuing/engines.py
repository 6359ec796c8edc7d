"""The engine of each owned partition, recovered from its rows."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Protocol

from models.engine.partition import PartitionEngine
from models.engine.tables import ACCOUNTS, POSITION_STATES, SUBTOTALS, WATERMARKS
from streams.kafka.partitions import partition_of
from streams.settings.venues import venues_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from models.engine.board import InputBoard, MarketId
    from models.engine.stored_rows import StoredRows
    from streams.settings import Settings
    from streams.transport.terms import Terms

# A row is read in about 13 µs; the loop is given back every 5 ms.
_YIELD_EVERY = 400
_BPS = 10_000


class RecoveredRows(Protocol):
    """What engines read the tables through."""

    @property
    def partitions(self) -> int:
        """How many partitions each table has."""

    def of_partition(self, partition: int) -> StoredRows:
        """The rows of one partition, as the engine asks for them."""

    def items(self, table: str, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Every key and row of a partition."""


class Engines:
    """The engines of the owned partitions.

    Args:
        settings: Say which venues there are, and by how much values may move unseen.
        rows: The tables.
        terms: Say which partitions are owned.
        board: The marks in use.
    """

    def __init__(self, settings: Settings, rows: RecoveredRows, terms: Terms, board: InputBoard) -> None:
        self._deadband = settings.worker.deadband_bps / _BPS
        self._venues = venues_of(settings)
        self._rows = rows
        self._terms = terms
        self._board = board
        self._engines: dict[int, PartitionEngine] = {}
        self._watched: defaultdict[int, set[bytes]] = defaultdict(set)

    def __getitem__(self, partition: int) -> PartitionEngine:
        return self._engines[partition]

    def __contains__(self, partition: int) -> bool:
        return partition in self._engines and self._terms.owns(partition)

    def __iter__(self) -> Iterator[PartitionEngine]:
        """The engines of the partitions that are owned now."""
        return (engine for partition, engine in self._engines.items() if self._terms.owns(partition))

    @property
    def accounts(self) -> int:
        """How many accounts the partitions have."""
        return sum(engine.valuing.accounts for engine in self._engines.values())

    @property
    def are_behind(self) -> bool:
        """Whether any account waits until nothing is urgent."""
        return any(engine.valuing.is_behind for engine in self._engines.values())

    def watch(self, keys: Collection[bytes]) -> None:
        """These accounts are watched from now on, whoever owns them."""
        for key in keys:
            partition = partition_of(key, self._rows.partitions)
            self._watched[partition].add(key)
            if partition in self._engines:
                self._engines[partition].valuing.watch(key)

    def unwatch(self, keys: Collection[bytes]) -> None:
        """Nobody watches these accounts any more."""
        for key in keys:
            partition = partition_of(key, self._rows.partitions)
            self._watched[partition].discard(key)
            if partition in self._engines:
                self._engines[partition].valuing.unwatch(key)

    def move(self, markets: Iterable[MarketId]) -> None:
        """Have the accounts looked at that hold any of these markets."""
        for engine in self._engines.values():
            engine.valuing.move(markets)

    def refer(self, deployment: str) -> None:
        """A reference of a deployment changed: have its accounts valued anew."""
        for engine in self._engines.values():
            engine.valuing.refer(deployment)

    def restated(self, table: str, partition: int, key: bytes) -> None:
        """Take note that a row was written again under another term: valuations name the terms of accounts' rows.

        Args:
            table: The row's table.
            partition: The key's partition.
            key: The key.
        """
        if table == ACCOUNTS and partition in self._engines:
            self._engines[partition].valuing.restated(key)

    async def start(self, partition: int) -> None:
        """Read the recovered rows of a partition that is ours from now on; drop the engines of those that are not."""
        self._engines = {owned: engine for owned, engine in self._engines.items() if self._terms.owns(owned)}
        engine = self._new(partition)
        for at, (key, row) in enumerate(self._rows.items(ACCOUNTS, partition)):
            engine.restore_account(key, row)
            if at % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        for key, row in self._rows.items(WATERMARKS, partition):
            engine.restore_watermark(key, row)
        for at, (key, row) in enumerate(self._rows.items(POSITION_STATES, partition)):
            engine.restore_notices(key, row)
            if at % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        for key in self._watched[partition]:
            engine.valuing.watch(key)
        self._engines[partition] = engine

    async def stop(self) -> None:
        """Does nothing: slices that are still finishing use the engines, and the next start replaces them."""

    def _new(self, partition: int) -> PartitionEngine:
        return PartitionEngine(
            partition,
            self._rows.of_partition(partition),
            self._venues,
            board=self._board,
            deadband=self._deadband,
            sums=(key for key, _ in self._rows.items(SUBTOTALS, partition)),
            is_booked=True,
        )
