"""account-events → accounts, watermarks, quote-history: each account's own state, folded transaction by transaction.

And position-states, as far as they are made of the chain.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

import prometheus_client

from models.account_events import (
    AccountCheckpoint,
    Final,
    RolledBack,
    Supported,
    Transaction,
    Unfoldable,
    Unsupported,
    decode_account_record,
)
from models.errors import BadRecord, BadRow
from models.ids import finished_quote_key, split_key
from models.symmio.account import AccountRow, advance, doubt, encode_account, encode_finished, settle
from models.watermarks import DeploymentWatermark, encode_watermark
from streams.kafka.partitions import expect_in_place
from streams.kafka.topics import ACCOUNTS, POSITION_STATES, QUOTE_HISTORY, WATERMARKS
from streams.transport.publisher import Receipt

if TYPE_CHECKING:
    from models.account_events import AccountRecord
    from models.chain_records import Position
    from models.symmio.state import Quote
    from streams.agents.due_states import PositionStates, Step
    from streams.kafka.record import Record
    from streams.transport.slices import Slice
    from streams.transport.tables import Rows
    from streams.valuing.books import Book, Books

_FOLDED = prometheus_client.Counter(
    "tidemark_account_records_total", "Account events, by what became of them.", ("outcome",)
)
_folded, _repeated, _refused = (_FOLDED.labels(outcome) for outcome in ("folded", "repeated", "refused"))
_SUSPECTS = prometheus_client.Counter(
    "tidemark_suspect_accounts_total", "Accounts that became suspect.", ("deployment",)
)
# A transaction is decoded and folded in about 200 µs; the loop is given back every 10 ms.
_YIELD_EVERY = 50


class AccountsAgent:
    """Keeps ``accounts``, ``watermarks`` and ``quote-history``, and says what happened to ``position-states``."""

    def __init__(self, rows: Rows, books: Books, positions: PositionStates) -> None:
        self._rows = rows
        self._books = books
        self._positions = positions

    async def handle(self, part: Slice) -> None:
        """Fold a slice; each account's row is written once, after its states and the history of quotes that left it."""
        fold = _SliceFold(part, self._rows, self._books[part.partition], self._positions)
        for at, record in enumerate(part):
            fold.apply(record)
            if at % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        await fold.write()


class _SliceFold:
    """What one slice changes in one partition."""

    def __init__(self, part: Slice, rows: Rows, book: Book, positions: PositionStates) -> None:
        self._part = part
        self._rows = rows
        self._book = book
        self._positions = positions
        self._changed: set[bytes] = set()
        self._controls: set[str] = set()
        self._finished: list[tuple[bytes, Quote, AccountRow]] = []
        self._happened: dict[bytes, list[Step]] = {}

    def apply(self, record: Record[bytes | None]) -> None:
        key = record.key or b""
        try:
            self._fold(key, self._decode(record))
        except BadRecord as error:
            _refused.inc()
            self._rows.refuse(self._part, record, error)
            return
        row = self._book.account(key) if key in self._changed else None
        if row is not None and row.suspect is not None and row.suspect_since_applied:
            _SUSPECTS.labels(split_key(key)[0]).inc()
            self._rows.refuse(self._part, record, BadRecord(row.suspect[0]))

    def _decode(self, record: Record[bytes | None]) -> AccountRecord:
        decoded = decode_account_record(record.value or b"")
        match decoded:
            case Transaction() | AccountCheckpoint() | Unfoldable():
                expect_in_place(record.key or b"", self._part.partition, self._rows.partitions)
            case Final() | RolledBack() | Unsupported() | Supported():
                pass
            case _:
                assert_never(decoded)
        return decoded

    def _fold(self, key: bytes, record: AccountRecord) -> None:
        self._rest_on_own_rows(split_key(key)[0], record.position)
        match record:
            case Transaction() | AccountCheckpoint():
                known, before = self._book.watermark(split_key(key)[0]), self._book.account(key)
                after = advance(before, record, final=known.final, enumerated=known.enumerated)
                self._put(key, before, after)
                if isinstance(record, Transaction) and after is not before and after.suspect is None:
                    self._happens(key, self._positions.of_chain(key, record, after.state.quotes))
            case Final():
                self._final(key.decode(), record)
            case Unfoldable():
                before = self._book.account(key)
                self._put(key, before, doubt(before, record.position, record.cause))
            case RolledBack():
                for account in sorted(self._book.unsettled[key.decode()]):
                    before = self._known(account)
                    after = advance(before, record)
                    self._put(account, before, after)
                    if after is not before:
                        self._happens(account, self._positions.of_rollback(record))
                supported = {"unsupported_since": None, "reason": ""} if record.supported else {}
                self._control(key.decode(), record.position, **supported)
                if record.supported:
                    self._book.touch_deployment(key.decode())
            case Unsupported():
                self._control(key.decode(), record.position, unsupported_since=record.block, reason=record.reason)
                self._book.touch_deployment(key.decode())
            case Supported():
                # What was folded before says nothing of the logs that a join passes over.
                cause = f"no checkpoint of the join at block {record.block}: run tidemark audit --repair"
                for account in self._book.accounts_of(key.decode()):
                    before = self._known(account)
                    self._put(account, before, doubt(before, record.position, cause))
                self._control(
                    key.decode(),
                    record.position,
                    unsupported_since=None,
                    reason="",
                    enumerated=record.enumerated,
                )
                self._book.touch_deployment(key.decode())
            case _:
                assert_never(record)

    def _rest_on_own_rows(self, deployment: str, position: Position) -> None:
        """Before the first record of a deployment in this ownership: what passes it over rests on rows of our term."""
        restored = self._book.take_restored(deployment)
        if restored is None:
            return
        partition = self._part.partition
        for account in restored.applied_since(position):
            self._rows.restate(POSITION_STATES, partition, account, self._part)
            self._rows.restate(ACCOUNTS, partition, account, self._part)
        if self._book.watermark(deployment).applied >= position:
            self._rows.restate(WATERMARKS, partition, f"{deployment}:{partition}".encode(), self._part)

    def _final(self, deployment: str, record: Final) -> None:
        for account in sorted(self._book.unsettled[deployment]):
            before = self._known(account)
            row, finished = settle(before, record.final, record.position)
            self._finished += [(account, quote, row) for quote in finished]
            self._put(account, before, row)
            if not row.unsettled_above(record.final):
                self._book.unsettled[deployment].discard(account)
        self._control(deployment, record.position, head=record.head, head_time_s=record.head_time_s, final=record.final)

    def _known(self, key: bytes) -> AccountRow:
        row = self._book.account(key)
        if row is None:
            msg = f"expected a row of {key!r}, which the book names, found none in the table"
            raise BadRow(msg)
        return row

    def _put(self, key: bytes, before: AccountRow | None, row: AccountRow) -> None:
        if row is before:
            _repeated.inc()
            return
        _folded.inc()
        self._book.put(key, row)
        self._changed.add(key)

    def _happens(self, key: bytes, step: Step | None) -> None:
        if step is not None:
            self._happened.setdefault(key, []).append(step)

    def _control(self, deployment: str, position: tuple[int, int], **changes: object) -> None:
        watermark = self._book.watermark(deployment)
        if position <= watermark.applied:
            return
        self._book.watermarks[deployment] = replace(watermark, applied=position, **changes)  # type: ignore[arg-type]
        self._controls.add(deployment)

    async def write(self) -> None:
        partition = self._part.partition
        history = Receipt()
        for key, quote, row in self._finished:
            history_key = finished_quote_key(key, quote.quote_id)
            self._rows.write(QUOTE_HISTORY, partition, history_key, (row.version, encode_finished(quote, row)), history)
        for key, steps in self._happened.items():
            self._positions.change(partition, key, steps, history)
        # The quote must be in history for good before the row without it is sent: the two are not one record. And what
        # is delivered again says nothing of what happened where the account's row has it already.
        self._rows.flush()
        await history.acknowledged()
        accounts = Receipt()
        charge = accounts if self._controls else self._part
        for key in self._changed:
            row = self._known(key)
            self._rows.write(ACCOUNTS, partition, key, (row.version, encode_account(row)), charge)
            self._book.written(key)
        # Finality known too early would drop undo that a redelivered transaction keeps: rows must be the same.
        self._rows.flush()
        await accounts.acknowledged()
        for deployment in self._controls:
            watermark: DeploymentWatermark = self._book.watermarks[deployment]
            version = watermark.applied[0] + 1
            watermark_key = f"{deployment}:{partition}".encode()
            self._rows.write(WATERMARKS, partition, watermark_key, (version, encode_watermark(watermark)), self._part)
