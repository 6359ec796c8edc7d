"""account-events → accounts, watermarks, quote-history: the second half of the fold, of one partition's accounts."""

from __future__ import annotations

from array import array
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, assert_never

from models.account_events import (
    AccountCheckpoint,
    Final,
    RolledBack,
    Supported,
    Transaction,
    Unfoldable,
    Unsupported,
)
from models.codec import decode_order, decode_row, encode_body
from models.engine.recent import Recent
from models.engine.step import RowId, Stage, Step, Write, step_of
from models.engine.tables import ACCOUNTS, POSITION_STATES, QUOTE_HISTORY, WATERMARKS
from models.errors import BadRow
from models.ids import finished_quote_key, split_key
from models.symmio.account import advance, decode_account, doubt, encode_account, encode_finished, settle
from models.symmio.holding import decode_holding
from models.watermarks import DeploymentWatermark, decode_watermark, encode_watermark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from models.account_events import AccountRecord
    from models.chain_records import LogOffset
    from models.engine.due_states import Change, DueStates
    from models.engine.tables import ReadRow
    from models.symmio.account import AccountRow
    from models.symmio.holding import Holding

# A decoded row takes about 10 kB, so that those kept for an account's next transaction are some 20 MB a partition.
_ROWS_KEPT = 2_000


class Folded(NamedTuple):
    """What became of a record.

    ``suspicion`` says why the record made its account suspect, None where it did not. ``rests_on`` are rows that have
    to stand under the owner's own term before anything more is committed. ``is_deployment_touched``: every account of
    the record's deployment is to be valued anew.
    """

    suspicion: str | None = None
    rests_on: tuple[RowId, ...] = ()
    is_deployment_touched: bool = False


class Accounts:
    """Folds the records of one partition of ``account-events``.

    The rows lie in the tables; here are only those that are not written yet, some that were needed last, and which
    accounts are ``unsettled``: a rollback could change them, or finality finish one of their quotes.

    Args:
        partition: Its number; part of the keys of ``watermarks``.
        read: Reads the tables that the steps are written to.
        keys: Says which accounts the partition has.
        states: Makes position states of what the chain does.
    """

    def __init__(self, partition: int, read: ReadRow, keys: Callable[[], Iterable[bytes]], states: DueStates) -> None:
        self._partition = partition
        self._read = read
        self._keys = keys
        self._states = states
        self._watermarks: dict[str, DeploymentWatermark] = {}
        self._unsettled: defaultdict[str, set[bytes]] = defaultdict(set)
        self._restored: dict[str, _Restored] = {}
        self._recent: Recent[AccountRow] = Recent(_ROWS_KEPT)
        # Changed since the last step, and in the last step but not written yet.
        self._unwritten: dict[bytes, AccountRow] = {}
        self._writing: dict[bytes, AccountRow] = {}
        self._finished: dict[bytes, Write] = {}
        self._changes: dict[bytes, list[Change]] = {}
        self._controlled: dict[str, None] = {}
        self.folded = 0
        self.repeated = 0

    def restore(self, key: bytes, row: bytes) -> Holding:
        """Take in a row of ``accounts`` that was recovered, and return what it holds."""
        holding = decode_holding(row, decode_order(row)[1])
        deployment, _ = split_key(key)
        self._restored.setdefault(deployment, _Restored()).add(key, holding.applied)
        if holding.unsettled:
            self._unsettled[deployment].add(key)
        return holding

    def restore_watermark(self, key: bytes, row: bytes) -> None:
        """Take in a row of ``watermarks`` that was recovered."""
        self._watermarks[key.decode().rpartition(":")[0]] = decode_watermark(decode_row(row).body)

    @property
    def watermarks(self) -> Iterable[tuple[str, DeploymentWatermark]]:
        """How far each deployment is folded in this partition."""
        return self._watermarks.items()

    def watermark(self, deployment: str) -> DeploymentWatermark:
        """How far a deployment is folded in this partition."""
        return self._watermarks.get(deployment) or DeploymentWatermark()

    def row(self, key: bytes) -> AccountRow | None:
        """The newest row of an account, None where there is none."""
        row = self._unwritten.get(key) or self._writing.get(key) or self._recent.get(key)
        if row is not None:
            return row
        value = self._read(ACCOUNTS, key)
        if value is None:
            return None
        encoded = decode_row(value)
        row = decode_account(encoded.body, encoded.version)
        self._recent.put(key, row)
        return row

    def apply(self, key: bytes, record: AccountRecord, now_ms: int) -> Folded:
        """Fold a record.

        Args:
            key: The account's, or the deployment's name of a record that every partition gets.
            record: The record.
            now_ms: The instant, Unix ms: position states of what happened long ago are not pushed.

        Raises:
            BadRecord: The record cannot be folded, and changes nothing.
        """
        deployment, _ = split_key(key)
        rests_on = self._rests_on_restored(deployment, record.position)
        touched, standing = False, self._unwritten.get(key)
        match record:
            case Transaction() | AccountCheckpoint():
                known, before = self.watermark(deployment), self.row(key)
                after = advance(before, record, final=known.final, enumerated=known.enumerated)
                self._put(key, before, after)
                if isinstance(record, Transaction) and after is not before and after.suspect is None:
                    self._happens(key, self._states.of_chain(key, record, after.state.quotes, now_ms))
            case Unfoldable():
                before = self.row(key)
                self._put(key, before, doubt(before, record.position, record.cause))
            case Final():
                self._final(deployment, record)
            case RolledBack():
                self._roll_back(deployment, record)
                touched = record.supported
            case Unsupported():
                self._control(deployment, record.position, unsupported_since=record.block, reason=record.reason)
                touched = True
            case Supported():
                self._join(deployment, record)
                touched = True
            case _:
                assert_never(record)
        self._restored.pop(deployment, None)
        row = self._unwritten.get(key)
        return Folded(None if row is standing else _suspicion(row), rests_on, touched)

    def take(self) -> Step:
        """What the records since the last call come to; each account's row is in it once.

        A quote is in ``quote-history`` for good before the row without it is written, and position states are before
        the row that has what made them: what is delivered again says nothing of what its row has. Watermarks follow
        the rows: finality that is known too early would drop undo that a redelivered transaction keeps.
        """
        states = [self._states.fold(key, changes) for key, changes in self._changes.items()]
        before = Stage(
            [*self._finished.values(), *(state for state in states if isinstance(state, Write))],
            [state for state in states if isinstance(state, RowId)],
        )
        self._writing, self._unwritten = self._unwritten, {}
        rows = Stage(
            [Write(ACCOUNTS, key, row.version, encode_body(encode_account(row))) for key, row in self._writing.items()]
        )
        after = Stage([self._watermark_row(deployment) for deployment in self._controlled])
        for key, row in self._writing.items():
            self._recent.put(key, row)
        self._finished, self._changes, self._controlled = {}, {}, {}
        return step_of((before, rows, after))

    def written(self, key: bytes) -> AccountRow:
        """Forget that an account's row of the last step is still to be written, and return it."""
        return self._writing.pop(key)

    def _rests_on_restored(self, deployment: str, position: LogOffset) -> tuple[RowId, ...]:
        """Before the first record of a deployment in this ownership: what passes it over rests on rows of our term."""
        restored = self._restored.get(deployment)
        if restored is None:
            return ()
        found = [RowId(table, key) for key in restored.applied_since(position) for table in (POSITION_STATES, ACCOUNTS)]
        if self.watermark(deployment).applied >= position:
            found.append(RowId(WATERMARKS, self._watermark_key(deployment)))
        return tuple(found)

    def _final(self, deployment: str, record: Final) -> None:
        for key in sorted(self._unsettled[deployment]):
            before = self._known(key)
            row, finished = settle(before, record.final, record.position)
            for quote in finished:
                history_key = finished_quote_key(key, quote.quote_id)
                body = encode_body(encode_finished(quote, row))
                self._finished[history_key] = Write(QUOTE_HISTORY, history_key, row.version, body)
            self._put(key, before, row)
            if not row.unsettled_above(record.final):
                self._unsettled[deployment].discard(key)
        self._control(deployment, record.position, head=record.head, head_time_s=record.head_time_s, final=record.final)

    def _roll_back(self, deployment: str, record: RolledBack) -> None:
        for key in sorted(self._unsettled[deployment]):
            before = self._known(key)
            after = advance(before, record)
            self._put(key, before, after)
            if after is not before:
                self._happens(key, self._states.of_rollback(record))
        supported = {"unsupported_since": None, "reason": ""} if record.supported else {}
        self._control(deployment, record.position, **supported)

    def _join(self, deployment: str, record: Supported) -> None:
        # What was folded before says nothing of the logs that a join passes over.
        cause = f"no checkpoint of the join at block {record.block}: run tidemark audit --repair"
        prefix = f"{deployment}:".encode()
        for key in sorted(key for key in {*self._keys(), *self._writing, *self._unwritten} if key.startswith(prefix)):
            before = self._known(key)
            self._put(key, before, doubt(before, record.position, cause))
        self._control(deployment, record.position, unsupported_since=None, reason="", enumerated=record.enumerated)

    def _known(self, key: bytes) -> AccountRow:
        row = self.row(key)
        if row is None:
            msg = f"expected a row of {key!r}, which the partition's accounts name, found none in the table"
            raise BadRow(msg)
        return row

    def _put(self, key: bytes, before: AccountRow | None, row: AccountRow) -> None:
        if row is before:
            self.repeated += 1
            return
        self.folded += 1
        self._unwritten[key] = row
        unsettled = self._unsettled[split_key(key)[0]]
        if row.unsettled:
            unsettled.add(key)
        else:
            unsettled.discard(key)

    def _happens(self, key: bytes, change: Change | None) -> None:
        if change is not None:
            self._changes.setdefault(key, []).append(change)

    def _control(self, deployment: str, position: LogOffset, **changes: object) -> None:
        watermark = self.watermark(deployment)
        if position <= watermark.applied:
            return
        self._watermarks[deployment] = replace(watermark, applied=position, **changes)  # type: ignore[arg-type]
        self._controlled[deployment] = None

    def _watermark_key(self, deployment: str) -> bytes:
        return f"{deployment}:{self._partition}".encode()

    def _watermark_row(self, deployment: str) -> Write:
        watermark = self._watermarks[deployment]
        body = encode_body(encode_watermark(watermark))
        return Write(WATERMARKS, self._watermark_key(deployment), watermark.applied[0] + 1, body)


def _suspicion(row: AccountRow | None) -> str | None:
    return row.suspect[0] if row is not None and row.suspect is not None and row.suspect_since_applied else None


class _Restored:
    """Up to where each account of a deployment was folded when its partition was recovered."""

    def __init__(self) -> None:
        self._accounts: list[bytes] = []
        self._offsets = array("q")

    def add(self, key: bytes, applied: LogOffset) -> None:
        self._accounts.append(key)
        self._offsets.append(applied[0])

    def applied_since(self, position: LogOffset) -> Iterator[bytes]:
        """The accounts into which any record was folded of the block of ``position``, or of a later one."""
        offset = position[0]
        return (key for key, applied in zip(self._accounts, self._offsets, strict=True) if applied >= offset)
