"""Records of accounts → accounts, statements, watermarks, quote-history: the fold of a venue in one partition."""

from __future__ import annotations

from array import array
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, NamedTuple, assert_never

from models.account_events import Final, Progress, RolledBack, Supported, Unsupported
from models.bookings import NO_BLOCK
from models.codec import decode_order, encode_body, join_row
from models.engine.missed_records import read_account, read_held, unread_account
from models.engine.recent import Recent
from models.engine.step import RowId, Stage, Step, Write, step_of
from models.engine.stored_rows import count_beyond, readable, stored
from models.engine.tables import ACCOUNTS, POSITION_STATES, QUOTE_HISTORY, STATEMENTS, WATERMARKS
from models.errors import BadRecord, BadRow
from models.ids import split_key
from models.statements import decode_statement, encode_statement, next_statement
from models.venue import A, H, R_contra
from models.watermarks import DeploymentWatermark, decode_watermark, encode_watermark, lost_watermark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from models.chain_records import LogOffset
    from models.engine.booker import Booker
    from models.engine.missed_records import UnreadAccount
    from models.engine.stored_rows import StoredRows
    from models.venue import Change, Notices, Venue

# A decoded row takes about 10 kB, so that those kept for an account's next transaction are some 20 MB a partition.
_ROWS_KEPT = 2_000
_NOTHING_KNOWN = DeploymentWatermark()
_NEVER = (-1, -1)
# What is passed over rests on these rows of its account, in the order in which they are written.
_BEFORE_ACCOUNTS = (POSITION_STATES, STATEMENTS, ACCOUNTS)


class Folded(NamedTuple):
    """What became of a record.

    ``suspicion`` says why the record made its account suspect, None where it did not. Of a record of a whole deployment
    it says why one of the accounts could not be changed, and stays as it was. ``rests_on`` are rows that have to stand
    under the owner's own term before anything more is committed. ``is_deployment_touched``: every account of the
    record's deployment is to be valued anew.
    """

    suspicion: str | None = None
    rests_on: tuple[RowId, ...] = ()
    is_deployment_touched: bool = False


class Accounts(Generic[A, H, R_contra]):
    """Folds the records of one venue's accounts in one partition.

    The rows lie in the tables; here are only those that are not written yet, some that were needed last, and which
    accounts are ``unsettled``: a rollback could change them, or finality finish one of their quotes.

    ``folded`` counts what changed an account, ``repeated`` what did not, and ``untold`` what happened to accounts whose
    venue shows no statement of them, so that nobody is told.

    A statement that cannot be read is made anew: its events go on with numbers by which readers see that they missed
    some. Where it cannot be read how far a deployment is folded, its accounts are unknown until they are told anew. A
    record of an account whose row cannot be read is refused, and kept in the row as missed (``missed_records``).

    Args:
        partition: Its number; part of the keys of ``watermarks``.
        rows: The tables that the steps are written to.
        keys: Says which accounts the partition has.
        venue: Says what records do to an account.
        notices: Tell an account's holders of it; None where the venue has nothing to tell them.
        booker: Books what records do; None where nobody reads that.
        is_stated: Whether statements are made; False for whoever only values accounts.
    """

    def __init__(
        self,
        partition: int,
        rows: StoredRows,
        keys: Callable[[], Iterable[bytes]],
        venue: Venue[A, H, R_contra],
        notices: Notices[A, R_contra] | None,
        *,
        booker: Booker | None = None,
        is_stated: bool = True,
    ) -> None:
        self._booker = booker
        self._is_stated = is_stated
        self._partition = partition
        self._rows = rows
        self._keys = keys
        self._venue = venue
        self._notices = notices
        self._watermarks: dict[str, DeploymentWatermark] = {}
        self._unsettled: defaultdict[str, set[bytes]] = defaultdict(set)
        self._restored: dict[str, _Restored] = {}
        self._recent: Recent[A] = Recent(_ROWS_KEPT)
        # Changed since the last step, and in the last step but not written yet.
        self._unwritten: dict[bytes, A] = {}
        self._writing: dict[bytes, A] = {}
        # Accounts that cannot be read and missed a record since then, likewise; and those that had missed it before.
        self._missed: dict[bytes, UnreadAccount] = {}
        self._missing: dict[bytes, UnreadAccount] = {}
        self._missed_before: list[RowId] = []
        # All of each deployment that cannot be read, as far as that is known.
        self._unread: defaultdict[str, set[bytes]] = defaultdict(set)
        self._finished: dict[bytes, Write] = {}
        self._changes: dict[bytes, list[Change]] = {}
        # Since the last step: what happened to an account, and up to where it had been folded before that.
        self._happened: dict[bytes, list[tuple[LogOffset, Mapping[str, Any]]]] = {}
        self._known_to: dict[bytes, LogOffset] = {}
        self._controlled: dict[str, None] = {}
        # Why an account could not be changed by the record of its deployment that is being folded.
        self._left: str | None = None
        self.folded = 0
        self.repeated = 0
        self.untold = 0

    def restore(self, key: bytes, row: bytes) -> H:
        """Take in a row of ``accounts`` that was recovered, and return what it holds.

        Raises:
            BadRow: It is no row of the venue's. Its account stays as it is, and records of it are refused.
        """
        deployment, _ = split_key(key)
        try:
            held = read_held(self._venue, row)
        except BadRow:
            self._unread[deployment].add(key)
            raise
        self._restored.setdefault(deployment, _Restored()).add(key, held.applied)
        if held.unsettled:
            self._unsettled[deployment].add(key)
        return held

    def restore_watermark(self, key: bytes, row: bytes) -> None:
        """Take in a row of ``watermarks`` that was recovered."""
        found = readable(self._rows.note_unreadable, WATERMARKS, key, row, decode_watermark)
        self._watermarks[key.decode().rpartition(":")[0]] = found or lost_watermark(decode_order(row)[1])

    @property
    def watermarks(self) -> Iterable[tuple[str, DeploymentWatermark]]:
        """How far each deployment is folded in this partition."""
        return self._watermarks.items()

    def watermark(self, deployment: str) -> DeploymentWatermark:
        """How far a deployment is folded in this partition."""
        return self._watermarks.get(deployment) or _NOTHING_KNOWN

    def row(self, key: bytes) -> A | None:
        """The newest row of an account, None where there is none.

        Raises:
            BadRecord: There is one that the venue cannot read, so no record can be folded into it.
        """
        row = self._unwritten.get(key) or self._writing.get(key) or self._recent.get(key)
        if row is not None:
            return row
        unread = self._missed.get(key) or self._missing.get(key)
        value = self._rows.read(ACCOUNTS, key) if unread is None else join_row(0, unread.version, unread.encode())
        if value is None:
            return None
        try:
            row = read_account(self._venue, value)
        except BadRow as error:
            raise BadRecord(str(error)) from error
        self._recent.put(key, row)
        return row

    def apply(self, key: bytes, record: Progress | R_contra, now_ms: int) -> Folded:
        """Fold a record.

        Args:
            key: The account's, or the deployment's name of a record that every partition gets.
            record: Says how far the deployment is known, or is one of the venue's own and has a ``position``.
            now_ms: The instant, Unix ms: position states of what happened long ago are not pushed.

        Raises:
            BadRecord: The record cannot be folded, and changes nothing; but where that is since the account's row
                cannot be read, the account has missed it.
        """
        deployment, _ = split_key(key)
        rests_on = self._rests_on_restored(deployment, record.position)
        touched, unwritten = False, self._unwritten.get(key)
        self._left = None
        if isinstance(record, Progress):
            touched = self._progress(deployment, record)
        else:
            before = self._row_for(key, record.position, now_ms)
            after = self._venue.fold(before, record, self.watermark(deployment))
            self._put(key, before, after)
            if after is not before:
                if self._is_stated or self._booker is not None:
                    self._happen(key, before, record, after)
                if self._notices is not None:
                    self._note(key, self._notices.of_record(key, record, after, now_ms))
        self._restored.pop(deployment, None)
        row = self._unwritten.get(key)
        return Folded(self._left if row is None or row is unwritten else row.suspicion, rests_on, touched)

    def take(self) -> Step:
        """What the records since the last call come to; each account's row is in it once.

        A quote is in ``quote-history`` for good before the row without it is written, and position states, statements
        and bookings are before the row that has what made them: what is delivered again says nothing of what its row
        has. Watermarks follow the rows: finality that is known too early would drop undo that a redelivered transaction
        keeps.
        """
        states = [] if self._notices is None else [self._notices.fold(*changed) for changed in self._changes.items()]
        before = Stage(
            [
                *self._finished.values(),
                *(state for state in states if isinstance(state, Write)),
                *self._statements(),
            ],
            [state for state in states if isinstance(state, RowId)],
            bookings=() if self._booker is None else self._booker.take(),
        )
        self._writing, self._unwritten = self._unwritten, {}
        self._missing, self._missed = self._missed, {}
        rows = Stage(
            [
                *(Write(ACCOUNTS, key, row.version, self._venue.write(row)) for key, row in self._writing.items()),
                *(Write(ACCOUNTS, key, unread.version, unread.encode()) for key, unread in self._missing.items()),
            ],
            self._missed_before,
        )
        after = Stage([self._watermark_row(deployment) for deployment in self._controlled])
        for key, row in self._writing.items():
            self._recent.put(key, row)
        self._finished, self._changes, self._controlled = {}, {}, {}
        self._happened, self._known_to, self._missed_before = {}, {}, []
        return step_of((before, rows, after))

    def written(self, key: bytes) -> H | None:
        """Forget that an account's row of the last step is still to be written, and return what it holds.

        Returns:
            None where the row says only that the account missed records.
        """
        if self._missing.pop(key, None) is not None:
            return None
        return self._venue.held(self._writing.pop(key))

    def _happen(self, key: bytes, before: A | None, record: R_contra, after: A) -> None:
        happened = self._venue.events(before, record, after)
        if happened:
            self._happened.setdefault(key, []).extend((record.position, event) for event in happened)
        if self._booker is not None:
            self._booker.book(key, before, record, after, happened)

    def _progress(self, deployment: str, record: Progress) -> bool:
        """Fold what is said of a deployment; tell whether every account of it is to be valued anew."""
        match record:
            case Final():
                self._final(deployment, record)
                return False
            case RolledBack():
                self._roll_back(deployment, record)
                return record.supported
            case Unsupported():
                self._control(deployment, record.position, unsupported_since=record.block, reason=record.reason)
                return True
            case Supported():
                self._join(deployment, record)
                return True
            case _:
                assert_never(record)

    def _rests_on_restored(self, deployment: str, position: LogOffset) -> tuple[RowId, ...]:
        """Before the first record of a deployment in this ownership: what passes it over rests on rows of our term."""
        restored = self._restored.get(deployment)
        if restored is None:
            return ()
        found = [RowId(table, key) for key in restored.applied_since(position) for table in _BEFORE_ACCOUNTS]
        if self.watermark(deployment).applied >= position:
            found.append(RowId(WATERMARKS, self._watermark_key(deployment)))
        return tuple(found)

    def _final(self, deployment: str, record: Final) -> None:
        def settle(key: bytes) -> None:
            before = self._known(key)
            row, history = self._venue.settle(key, before, record.final, record.position)
            for history_key, body in history:
                self._finished[history_key] = Write(QUOTE_HISTORY, history_key, row.version, encode_body(body))
            self._put(key, before, row)
            if not row.unsettled_above(record.final):
                self._unsettled[deployment].discard(key)

        self._change_each(self._unsettled[deployment], settle)
        self._control(deployment, record.position, head=record.head, head_time_s=record.head_time_s, final=record.final)

    def _roll_back(self, deployment: str, record: RolledBack) -> None:
        is_news = record.position > self.watermark(deployment).applied

        def undo(key: bytes) -> None:
            before = self._known(key, record.position if is_news else None)
            after = self._venue.undo(before, record)
            self._put(key, before, after)
            self._book_doubt(key, record.position, record.ancestor, before, after)
            if self._notices is not None and after is not before:
                self._note(key, self._notices.of_rollback(record))

        if self._booker is not None and is_news:
            self._booker.roll_back(deployment, record)
        # One that cannot be read may have been changed by blocks that left the chain.
        self._change_each(self._unsettled[deployment] | self._unread[deployment], undo)
        supported = {"unsupported_since": None, "reason": ""} if record.supported else {}
        self._control(deployment, record.position, **supported)

    def _join(self, deployment: str, record: Supported) -> None:
        # What was folded before says nothing of the logs that a join passes over.
        cause = f"no checkpoint of the join at block {record.block}: run tidemark audit --repair"
        prefix = f"{deployment}:".encode()
        is_news = record.position > self.watermark(deployment).applied

        def doubt(key: bytes) -> None:
            before = self._known(key, record.position if is_news else None)
            after = self._venue.doubt(before, record.position, cause)
            self._put(key, before, after)
            self._book_doubt(key, record.position, record.block, before, after)

        known = {*self._keys(), *self._writing, *self._unwritten}
        self._change_each((key for key in known if key.startswith(prefix)), doubt)
        self._control(deployment, record.position, unsupported_since=None, reason="", enumerated=record.enumerated)

    def _change_each(self, keys: Iterable[bytes], change: Callable[[bytes], None]) -> None:
        """Change accounts by a record of their deployment: one that cannot be read or changed holds up no other."""
        for key in sorted(keys):
            try:
                change(key)
            except BadRecord as error:
                self._left = self._left or f"account {key!r} stays as it was: {error}"

    def _book_doubt(self, key: bytes, position: LogOffset, block: int, before: A, after: A) -> None:
        if self._booker is not None and after is not before and after.suspicion is not None:
            time_ms = self.watermark(split_key(key)[0]).head_time_s * 1_000
            self._booker.doubt(key, position, block, time_ms=time_ms, cause=after.suspicion)

    def _known(self, key: bytes, missed: LogOffset | None = None) -> A:
        """The newest row of an account that has one.

        Args:
            key: The account.
            missed: The log offset of what it misses where its row cannot be read; None where it misses nothing.

        Raises:
            BadRecord: It cannot be read.
        """
        time_ms = self.watermark(split_key(key)[0]).head_time_s * 1_000
        row = self.row(key) if missed is None else self._row_for(key, missed, time_ms)
        if row is None:
            msg = f"expected a row of {key!r}, which the partition's accounts name, found none in the table"
            raise BadRow(msg)
        return row

    def _row_for(self, key: bytes, position: LogOffset, time_ms: int) -> A | None:
        """The newest row of an account that is to be changed by a record, which it misses where it cannot be read."""
        try:
            return self.row(key)
        except BadRecord as error:
            self._miss(key, position, str(error), time_ms)
            raise

    def _miss(self, key: bytes, position: LogOffset, cause: str, time_ms: int) -> None:
        before = (
            self._missed.get(key) or self._missing.get(key) or unread_account(self._rows.read(ACCOUNTS, key) or b"")
        )
        if before is None:
            return
        self._unread[split_key(key)[0]].add(key)
        after = before.missing(position, cause)
        if after is not before:
            self._missed[key] = after
            if self._booker is not None:
                self._booker.doubt(key, position, NO_BLOCK, time_ms=time_ms, cause=cause)
        elif key not in self._missed:
            self._missed_before.append(RowId(ACCOUNTS, key))

    def _put(self, key: bytes, before: A | None, row: A) -> None:
        if row is before:
            self.repeated += 1
            return
        self.folded += 1
        self._missed.pop(key, None)
        deployment, _ = split_key(key)
        self._unread[deployment].discard(key)
        self._known_to.setdefault(key, _NEVER if before is None else before.applied)
        self._unwritten[key] = row
        unsettled = self._unsettled[deployment]
        if row.unsettled:
            unsettled.add(key)
        else:
            unsettled.discard(key)

    def _statements(self) -> Iterator[Write]:
        if not self._is_stated:
            return
        for key, row in self._unwritten.items():
            body = self._venue.statement(row)
            if body is None:
                self.untold += len(self._happened.get(key, ()))
                continue
            before = stored(self._rows, STATEMENTS, key, decode_statement)
            # Every record raises the account's version that anything happened by.
            first = count_beyond(row.version) if before.is_unreadable else 1
            happened = self._happened.get(key, ())
            statement = next_statement(before.value, self._known_to[key], row.applied, body, happened, first=first)
            yield Write(STATEMENTS, key, row.version, encode_body(encode_statement(statement)))

    def _note(self, key: bytes, change: Change | None) -> None:
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
