"""The whole engine over tables in dicts: what records and instants come to, for whoever has no Kafka."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from models.codec import decode_row
from models.engine.accounts import Accounts
from models.engine.board import InputBoard
from models.engine.due_states import DueStates
from models.engine.registers import instrument_registers, mark_registers
from models.engine.router import Router
from models.engine.step import Write
from models.engine.tables import ACCOUNTS, ALERTS, MARKETS, MARKS, POSITION_STATES, SUBTOTALS, WATERMARKS, MemoryTables
from models.engine.valuing import Valuing
from models.errors import BadRecord
from models.ids import mark_key, split_key
from models.prices import decode_mark, mark_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.account_events import AccountRecord
    from models.chain_records import ChainRecord
    from models.engine.deployment import EngineDeployment
    from models.engine.step import Step
    from models.instruments import InstrumentFact
    from models.prices import Mark, PriceTick
    from models.symmio.engine_states import EngineState

# All accounts lie in one partition. Its number is part of the keys of watermarks and subtotals.
PARTITION = 0


class Engine:
    """Every table of some deployments. ``tables`` hold the rows, ``refused`` why records were refused.

    Args:
        deployments: By name.
        tables: What an engine before made; by default nothing.
    """

    def __init__(self, deployments: Mapping[str, EngineDeployment], tables: MemoryTables | None = None) -> None:
        self._deployments = deployments
        self.tables = tables or MemoryTables()
        self.refused: list[str] = []
        read = self.tables.read
        self._router = Router(deployments, read)
        self._marks = mark_registers(read)
        self._instruments = instrument_registers(read)
        self._read_marks: dict[bytes, tuple[bytes, Mark]] = {}
        self.states = DueStates({name: one.states for name, one in deployments.items()}, read)
        self.accounts = Accounts(PARTITION, read, lambda: self.tables.keys(ACCOUNTS), self.states)
        self.board = InputBoard(self._mark)
        self.valuing = Valuing(
            PARTITION,
            read,
            board=self.board,
            watermark_of=self.accounts.watermark,
            # Nobody waits here, so each move of a mark is seen.
            deadband=0.0,
            sums=self.tables.keys(SUBTOTALS),
        )
        self._recover()

    def chain(self, name: str, record: ChainRecord, offset: int, now_ms: int = 0) -> None:
        """Fold a record of ``chain-blocks``.

        Args:
            name: The deployment.
            record: The record.
            offset: Where in its partition it stands.
            now_ms: The instant, Unix ms.
        """
        step = self._router.apply(name, record, offset)
        self._take(step)
        self._take(self._router.take_deployments())
        for stage in step.stages:
            for output in stage.outputs:
                self.account_event(output.key, output.record, now_ms)
        self._fold()

    def account_event(self, key: bytes, record: AccountRecord, now_ms: int = 0) -> None:
        """Fold a record of ``account-events``; its rows are written with those of the next call of ``chain``.

        Args:
            key: The account's, or the deployment's name of a record that every partition gets.
            record: The record.
            now_ms: The instant, Unix ms.
        """
        try:
            folded = self.accounts.apply(key, record, now_ms)
        except BadRecord as error:
            self.refused.append(str(error))
            return
        if folded.suspicion is not None:
            self.refused.append(folded.suspicion)
        if folded.is_deployment_touched:
            self.valuing.touch_deployment(split_key(key)[0])

    def tick(self, tick: PriceTick, offset: int) -> None:
        """Fold a record of ``price-ticks``, which stands at ``offset`` of its partition.

        Raises:
            BadRecord: It has no price.
        """
        self._marks.apply(mark_key(tick.source, tick.symbol), mark_of(tick, offset))
        self._take(self._marks.take())

    def fact(self, fact: InstrumentFact) -> None:
        """Fold a record of ``instrument-facts``.

        Raises:
            BadRecord: It contradicts itself.
        """
        self._instruments.apply(mark_key(fact.source, fact.symbol), fact)
        self._take(self._instruments.take())

    def engine_state(self, key: bytes, state: EngineState, *, sent_ms: int, now_ms: int) -> None:
        """Fold what a solver's engine says of an account.

        Args:
            key: The account.
            state: The record.
            sent_ms: The record's own time, Unix ms.
            now_ms: The instant, Unix ms.
        """
        found = self.states.fold(key, (self.states.of_engine(key, state, sent_ms, now_ms),))
        if isinstance(found, Write):
            self.tables.put(found)

    def release(self, now_ms: int) -> None:
        """Let the position states stand that have waited until ``now_ms``, Unix ms."""
        self._take(self.states.release(now_ms))

    def value(self, now_ms: int) -> None:
        """Bring valuations, alerts and subtotals up to date with the rows and marks of an instant, Unix ms."""
        for key, row in self.tables.items(MARKETS):
            deployment, symbol_id = split_key(key)
            name = decode_row(row).body["name"]
            self.board.put_market((deployment, int(symbol_id)), self._deployments[deployment].prices_of(name or ""))
        self.valuing.move(self.board.choose_all(now_ms))
        while keys := self._take_outdated(now_ms):
            for key in sorted(keys):
                self._value(key)
        for write in self.valuing.totals.round(is_due=True):
            if write is not None:
                self.tables.put(write)

    def _take_outdated(self, now_ms: int) -> set[bytes]:
        """The accounts whose rows are out of date by anything, also by a mark of the same price: nobody waits here."""
        keys = self.valuing.take_urgent(now_ms / 1_000)
        self.valuing.look(inf)
        keys.update(self.valuing.deferred)
        self.valuing.deferred.clear()
        return keys

    def _recover(self) -> None:
        for key, row in self.tables.items(ACCOUNTS):
            self.valuing.restore(key, self.accounts.restore(key, row))
            self.valuing.urgent.add(key)
        for key, row in self.tables.items(WATERMARKS):
            self.accounts.restore_watermark(key, row)
        for key, row in self.tables.items(POSITION_STATES):
            self.states.restore(key, row)
        for key, row in self.tables.items(ALERTS):
            self.valuing.alarms.restore(key, row)

    def _value(self, key: bytes) -> None:
        write = self.valuing.value(key, is_urgent=True)
        if write is not None:
            self.tables.put(write)
            if write.table == ALERTS:
                self.valuing.acknowledged(key, is_urgent=True)

    def _fold(self) -> None:
        for stage in self.accounts.take().stages:
            for write in stage.writes:
                self.tables.put(write)
                if write.table == ACCOUNTS:
                    self.valuing.put(write.key, self.accounts.written(write.key).holding)

    def _take(self, step: Step) -> None:
        self.tables.take(step)

    def _mark(self, key: bytes) -> Mark | None:
        row = self.tables.read(MARKS, key)
        if row is None:
            return None
        read = self._read_marks.get(key)
        if read is None or read[0] is not row:
            read = self._read_marks[key] = row, decode_mark(decode_row(row).body)
        return read[1]
