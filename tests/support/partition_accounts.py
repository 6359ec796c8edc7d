"""Accounts of SYMMIO in one partition, with whoever owns it now, and records of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.account_events import AccountCheckpoint, Final, OwnRecord, Transaction
from models.codec import decode_row
from models.engine.accounts import Accounts, Folded
from models.engine.booker import Booker
from models.engine.tables import ACCOUNTS, WATERMARKS, MemoryTables
from models.ids import account_key
from models.symmio.account import AccountRow, advance
from models.symmio.due_states import DueStates
from models.symmio.holding import Holding, decode_holding
from models.symmio.venue import SYMMIO
from models.watermarks import DeploymentWatermark, decode_watermark
from tests.support.symmio import ALICE, BOB, E18, HEDGER, allocate, checkpoint_of, fee_in, fee_out, log, send_quote

if TYPE_CHECKING:
    from models.account_events import AccountRecord
    from models.chain_records import RawLog
    from models.engine.step import Step

PARTITION = 3
MAIN = b"main"
KEY, BOB_KEY, OTHER_KEY = account_key("main", ALICE), account_key("main", BOB), account_key("other", ALICE)
NOW_MS = 1_700_000_000_000


class World:
    """A partition's tables, and whoever owns it now."""

    def __init__(self, mode: str = "off") -> None:
        self._modes = {"main": mode, "other": mode}
        self.tables = MemoryTables()
        self.accounts = self._new()

    def take_over(self) -> None:
        """Another worker goes on from the rows."""
        self.accounts = self._new()
        for key, row in self.tables.items(ACCOUNTS):
            assert decode_holding(row, decode_row(row).version) == self.accounts.restore(key, row)
        for key, row in self.tables.items(WATERMARKS):
            self.accounts.restore_watermark(key, row)

    def apply(self, key: bytes, record: AccountRecord) -> Folded:
        return self.accounts.apply(key, record, NOW_MS)

    def write(self) -> Step:
        step = self.accounts.take()
        self.put(step)
        return step

    def put(self, step: Step) -> None:
        self.tables.take(step)
        for stage in step.stages:
            for write in stage.writes:
                if write.table == ACCOUNTS:
                    self.accounts.written(write.key)

    def fold(self, key: bytes, *records: AccountRecord) -> Folded:
        """Fold records, write what they come to, and return what became of the last one."""
        folded = Folded()
        for record in records:
            folded = self.apply(key, record)
        self.write()
        return folded

    def row(self, key: bytes = KEY) -> AccountRow:
        row = self.accounts.row(key)
        assert row is not None
        return row

    def written_watermark(self) -> DeploymentWatermark | None:
        row = self.tables.read(WATERMARKS, b"main:3")
        return None if row is None else decode_watermark(row)

    def _new(self) -> Accounts[AccountRow, Holding, OwnRecord]:
        states, booker = DueStates(self._modes, self.tables), Booker(SYMMIO)
        return Accounts(PARTITION, self.tables, lambda: self.tables.keys(ACCOUNTS), SYMMIO, states, booker=booker)


def transaction(offset: int, *logs: RawLog, index: int = 0) -> Transaction:
    """A transaction of block ``offset``."""
    return Transaction((offset, index), offset, NOW_MS // 1000, f"0x{offset:02x}{index:02x}", logs)


def sent(offset: int, quote_id: int = 1) -> Transaction:
    return transaction(offset, fee_out(0), send_quote(quote_id))


def cancelled(offset: int, quote_id: int = 1) -> Transaction:
    return transaction(offset, fee_in(0), log("RequestToCancelQuote", ALICE, HEDGER, 3, quote_id))


def final(offset: int, block: int) -> Final:
    return Final((offset, -1), block + 8, 1_000 + block, block)


def unfoldable_transaction(offset: int) -> Transaction:
    return transaction(offset, log("LockQuote", HEDGER, 99))


def checkpoint(offset: int, block: int) -> AccountCheckpoint:
    row = advance(None, transaction(block, allocate(7 * E18)))
    return AccountCheckpoint((offset, -1), checkpoint_of(ALICE, row, block))


def tables_of(step: Step) -> list[list[str]]:
    return [[write.table for write in stage.writes] for stage in step.stages]
