"""The whole engine over tables in dicts: what records and instants come to, for whoever has no Kafka."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeVar

from models.account_events import Progress
from models.engine.board import InputBoard
from models.engine.deployment import Venues
from models.engine.partition import PartitionEngine
from models.engine.registers import instrument_registers, mark_registers, reference_registers
from models.engine.step import Write
from models.engine.stored_rows import readable
from models.engine.tables import (
    ACCOUNTS,
    ALERTS,
    DEPLOYMENTS,
    MARKETS,
    MARKS,
    POSITION_STATES,
    REFERENCES,
    SUBTOTALS,
    WATERMARKS,
    MemoryTables,
)
from models.errors import BadRecord
from models.ids import mark_key, split_key
from models.prices import decode_mark, mark_of
from models.references import said_by, used_of_row
from models.row_keys import expect_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from models.engine.deployment import EngineDeployment
    from models.engine.partition import Folding
    from models.engine.step import Step
    from models.instruments import InstrumentFact
    from models.prices import Mark, PriceTick
    from models.venue import Positioned, ToldAt

T = TypeVar("T")

# All accounts lie in one partition. Its number is part of the keys of watermarks and subtotals.
PARTITION = 0


class Engine:
    """Every table of some deployments. ``tables`` hold the rows, ``refused`` why records were refused.

    Args:
        deployments: By name.
        tables: What an engine before made; by default nothing.
        wanted: The accounts that are folded, by their keys; by default all.
        on_folded: Is told each record that was folded into an account or a whole deployment, with its key, at once.
        is_stated: Whether statements are made, with the last events of each account; False where nobody reads them.
    """

    def __init__(
        self,
        deployments: Mapping[str, EngineDeployment],
        tables: MemoryTables | None = None,
        *,
        wanted: Collection[bytes] | None = None,
        on_folded: Callable[[bytes, Positioned], None] | None = None,
        is_stated: bool = True,
    ) -> None:
        self._on_folded = on_folded
        self._wanted = None if wanted is None else frozenset(wanted)
        self._deployments = deployments
        self._venues = Venues(deployments, None)
        self.tables = tables or MemoryTables()
        self.refused: list[str] = []
        self._routes = {
            one.venue.kind: one.venue.routes(one.deployments, self.tables)
            for one in self._venues.installed
            if one.venue.routed is not None
        }
        self._marks = mark_registers(self.tables)
        self._instruments = instrument_registers(self.tables)
        self._references = reference_registers(self.tables)
        self._read_marks: dict[bytes, tuple[bytes, Mark | None]] = {}
        self.board = InputBoard(self._mark)
        self.partition = PartitionEngine(
            PARTITION,
            self.tables,
            self._venues,
            board=self.board,
            # Nobody waits here, so each move of a mark is seen.
            deadband=0.0,
            sums=self.tables.keys(SUBTOTALS),
            is_stated=is_stated,
        )
        self.valuing = self.partition.valuing
        self._recover()

    def raw(self, name: str, record: object, offset: int, now_ms: int = 0) -> None:
        """Fold a record of the raw topic of a deployment whose venue routes it.

        Args:
            name: The deployment.
            record: The record, decoded.
            offset: Where in its partition it stands.
            now_ms: The instant, Unix ms.
        """
        kind = self._folding(name).venue.kind
        self._routed(kind, self._routes[kind].apply(name, record, offset), now_ms)

    def raw_value(self, name: str, value: bytes, offset: int, now_ms: int = 0) -> object | None:
        """Fold a record of the raw topic of a deployment whose venue routes it, as it stands there.

        Args:
            name: The deployment.
            value: The record; one that cannot be read is passed over as the router does.
            offset: Where in its partition it stands.
            now_ms: The instant, Unix ms.

        Returns:
            The record, decoded; None where it cannot be read.
        """
        kind = self._folding(name).venue.kind
        try:
            record = self._routes[kind].decode(value)
        except BadRecord as error:
            self.refused.append(str(error))
            self._routed(kind, self._routes[kind].skip(name, offset, str(error)), now_ms)
            return None
        self.raw(name, record, offset, now_ms)
        return record

    def account_record(self, key: bytes, record: Positioned, now_ms: int = 0) -> None:
        """Fold a record of an account or of a whole deployment; its rows are written when ``fold`` is called.

        Args:
            key: The account's, or the deployment's name of a record that every partition gets.
            record: The record, decoded.
            now_ms: The instant, Unix ms.
        """
        try:
            expect_key(DEPLOYMENTS if isinstance(record, Progress) else ACCOUNTS, key)
            deployment, _ = split_key(key)
            folded = self._folding(deployment).accounts.apply(key, record, now_ms)
        except BadRecord as error:
            self.refused.append(str(error))
            return
        if folded.suspicion is not None:
            self.refused.append(folded.suspicion)
        if folded.is_deployment_touched:
            self.valuing.touch_deployment(deployment)
        if self._on_folded is not None:
            self._on_folded(key, record)

    def fold(self, kind: str) -> None:
        """Write what the records of a venue's accounts come to."""
        for stage in self.partition[kind].accounts.take().stages:
            for write in stage.writes:
                self.tables.put(write)
            self.partition.written(kind, stage)

    def tick(self, tick: PriceTick, offset: int) -> None:
        """Fold a record of ``price-ticks``, which stands at ``offset`` of its partition.

        Raises:
            BadRecord: It has no price.
        """
        self._marks.apply(mark_key(tick.source, tick.symbol), mark_of(tick, offset))
        self.tables.take(self._marks.take())

    def fact(self, fact: InstrumentFact) -> None:
        """Fold a record of ``instrument-facts``.

        Raises:
            BadRecord: It contradicts itself.
        """
        self._instruments.apply(mark_key(fact.source, fact.symbol), fact)
        self.tables.take(self._instruments.take())

    def reference(self, key: bytes, value: bytes, offset: int, partition: int = PARTITION) -> None:
        """Fold a record of a venue's topic of references.

        Args:
            key: Its key, ``<deployment>:<name>``.
            value: The record.
            offset: Where in its partition it stands.
            partition: Which one that is.

        Raises:
            BadRecord: The venue cannot read it, or its key is none.
        """
        expect_key(REFERENCES, key)
        deployment, name = split_key(key)
        said = said_by(self._folding(deployment).venue, name, value, (partition, offset))
        self._references.apply(key, said)
        self.tables.take(self._references.take())
        self.valuing.refer(self._refer(key))

    def told(self, key: bytes, value: bytes, told_at: ToldAt, now_ms: int) -> None:
        """Fold what others than its venue say of an account's positions.

        Args:
            key: The account.
            value: The record.
            told_at: Where it stands, and its own time.
            now_ms: The instant, Unix ms.

        Raises:
            BadRecord: It cannot be read, or is not of the account that its key names.
        """
        expect_key(ACCOUNTS, key)
        notices = self._folding(split_key(key)[0]).notices
        if notices is None:
            msg = f"expected an account of a venue of whose positions others tell, found {key!r}"
            raise BadRecord(msg)
        found = notices.fold(key, (notices.read(key, value, told_at, now_ms),))
        if isinstance(found, Write):
            self.tables.put(found)

    def recover_accounts(self) -> None:
        """Take in the accounts that the tables had; again where references were folded since, which markets follow."""
        for key, row in self.tables.items(ACCOUNTS):
            self.partition.restore_account(key, row)

    def release(self, now_ms: int) -> None:
        """Let the position states stand that have waited until ``now_ms``, Unix ms."""
        for notices in self.partition.notices:
            self.tables.take(notices.release(now_ms))

    def choose(self, now_ms: int) -> None:
        """Choose the mark of each market as of an instant, Unix ms: whether one is stale follows from those before."""
        for key, row in self.tables.items(MARKETS):
            self.board.put_row(key, row, self._deployments, self.tables.note_unreadable)
        self.valuing.move(self.board.choose_all(now_ms))

    def value(self, now_ms: int) -> None:
        """Bring valuations, alerts and subtotals up to date with the rows and marks of an instant, Unix ms."""
        self.choose(now_ms)
        while keys := self._take_outdated(now_ms):
            for key in sorted(keys):
                self._value(key, now_ms)
        for write in self.valuing.totals.round(now_ms, is_due=True):
            # Nobody reads here what is kept of what was shown.
            if isinstance(write, Write):
                self.tables.put(write)

    def _routed(self, kind: str, step: Step, now_ms: int) -> None:
        """Write what the router made of a record, and fold what it sends to accounts."""
        self.tables.take(step)
        self.tables.take(self._routes[kind].take_deployments())
        for stage in step.stages:
            for output in stage.outputs:
                if output.is_for_all or self._wanted is None or output.key in self._wanted:
                    self.account_record(output.key, output.record, now_ms)
        self.fold(kind)

    def _take_outdated(self, now_ms: int) -> set[bytes]:
        """The accounts whose rows are out of date by anything, also by a mark of the same price: nobody waits here."""
        keys = self.valuing.take_urgent(now_ms / 1_000)
        self.valuing.look(inf)
        keys.update(self.valuing.deferred)
        self.valuing.deferred.clear()
        return keys

    def _refer(self, key: bytes) -> str:
        row = self.tables.read(REFERENCES, key)
        used = None if row is None else self._readable(REFERENCES, key, row, partial(used_of_row, self._venues, key))
        return self.board.refer(key, used)

    def _recover(self) -> None:
        for key, _ in self.tables.items(REFERENCES):
            self._refer(key)
        self.recover_accounts()
        for key, row in self.tables.items(WATERMARKS):
            self.partition.restore_watermark(key, row)
        for key, row in self.tables.items(POSITION_STATES):
            self.partition.restore_notices(key, row)
        for key, row in self.tables.items(ALERTS):
            self.valuing.alarms.restore(key, row)

    def _folding(self, deployment: str) -> Folding:
        venue = self._venues.of(deployment)
        if venue is None:
            msg = f"expected a deployment that is configured, and whose venue is installed, found {deployment!r}"
            raise BadRecord(msg)
        return self.partition[venue.kind]

    def _value(self, key: bytes, now_ms: int) -> None:
        write = self.valuing.value(key, now_ms, is_urgent=True)
        if write is not None:
            self.tables.put(write)
            if write.table == ALERTS:
                self.valuing.acknowledged(key, is_urgent=True)

    def _mark(self, key: bytes) -> Mark | None:
        row = self.tables.read(MARKS, key)
        if row is None:
            return None
        read = self._read_marks.get(key)
        if read is None or read[0] is not row:
            read = self._read_marks[key] = row, self._readable(MARKS, key, row, decode_mark)
        return read[1]

    def _readable(self, table: str, key: bytes, row: bytes, decode: Callable[[bytes], T]) -> T | None:
        return readable(self.tables.note_unreadable, table, key, row, decode)
