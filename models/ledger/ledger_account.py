"""An account of a ledger as its rows keep it, and how records are folded into it.

A record says by ``seq`` which one of the account's it is. The next one is folded; one that was folded before changes
nothing, whatever it says. One that comes too early waits for those before it, since they may only be late, as far as
there is room; beyond that it has to come again. Meanwhile the account is suspect. A snapshot replaces all there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from models.account_rows import AccountColumns, AccountRows
from models.chain_records import LogOffset  # noqa: TC001 - msgspec resolves the annotations at run time
from models.codec import decode_order
from models.errors import BadRecord
from models.ledger.ledger_changes import changed_by
from models.ledger.ledger_records import LedgerRecord, Snapshot, decode_ledger_record, number_of
from models.ledger.ledger_state import Holdings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.ledger.ledger_changes import Happening
    from models.plain_venue import Own

KIND = "ledger"
_SCHEMA = 1
# 32 records of 4 kB are an eighth of what a row may have.
_WAITING_MAX = 32
# So many records are not lost on the way: whoever numbers so has begun anew, and would never reach a number so high.
_GAP_MAX = 10_000
# With the events that a snapshot of so much makes, a statement's row stays below 1 MB. It is some 800 orders.
_HOLDINGS_MAX_BYTES = 250_000
# Fewer objects than that cannot have so many bytes, since a record has 4 kB at most.
_COUNTED_FROM = 60
_CAUSE_CHARACTERS_MAX = 500


class LedgerAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account as of the last record folded.

    Attributes:
        applied: Where that record stands in ``ledger-events``.
        version: How many records changed the account.
        holdings: What it has, up to the last record before the first one that is missing.
        heard: The highest number of any record that came.
        waiting: Records that came before their turn, by number.
        unread: Why it is not known what a record said, nor which one it was; only a snapshot helps then.
        refused: Why the record at a log offset made the account suspect, and that offset.
    """

    applied: LogOffset
    version: int
    holdings: Holdings
    heard: int
    waiting: tuple[LedgerRecord, ...] = ()
    unread: str | None = None
    refused: tuple[str, LogOffset] | None = None

    @property
    def suspicion(self) -> str | None:
        """Why the record folded last made the account suspect, None where it did not."""
        return self.refused[0] if self.refused is not None and self.refused[1] == self.applied else None

    @property
    def unsettled(self) -> bool:
        """Never: no record of a ledger is taken back."""
        return False

    def unsettled_above(self, final: int) -> bool:  # noqa: ARG002 - it is never unsettled
        """Never, either."""
        return False


NEW = LedgerAccount(applied=(-1, -1), version=0, holdings=Holdings(), heard=0)
"""An account of which no record was folded yet."""


class Taken(NamedTuple):
    """An account after a record, and what its readers are told of that."""

    account: LedgerAccount
    happenings: Sequence[Happening] = ()


def take(before: LedgerAccount, own: Own) -> Taken:
    """Fold a record.

    Args:
        before: The account so far.
        own: The record, which comes after the last one that was folded.

    Returns:
        ``before`` itself where the record changes nothing.

    Raises:
        BadRecord: It cannot be read, and says by its number that it was folded before.
    """
    draft = _Draft(before)
    refused = None
    try:
        if not draft.put(decode_ledger_record(own.value)):
            return Taken(before)
    except BadRecord as error:
        number = number_of(own.value)
        if number is not None and number <= before.holdings.seq:
            raise
        refused = str(error)[:_CAUSE_CHARACTERS_MAX]
        draft.miss(number, refused)
    draft.catch_up()
    after = draft.finish(before.holdings.suspect)
    if refused is None and before.holdings.suspect is None:
        refused = after.suspect
    account = LedgerAccount(
        applied=own.position,
        version=before.version + 1,
        holdings=after,
        heard=draft.heard,
        waiting=tuple(draft.waiting[seq] for seq in sorted(draft.waiting)),
        unread=draft.unread,
        refused=None if refused is None else (refused, own.position),
    )
    return Taken(account, draft.happenings)


def doubted(before: LedgerAccount, position: LogOffset, cause: str) -> LedgerAccount:
    """Freeze an account until a snapshot says what it has.

    Args:
        before: The account.
        position: The log offset of what made it suspect.
        cause: Why, in words.
    """
    cause = cause[:_CAUSE_CHARACTERS_MAX]
    return msgspec.structs.replace(
        before,
        applied=position,
        version=before.version + 1,
        holdings=msgspec.structs.replace(before.holdings, suspect=before.holdings.suspect or cause),
        unread=cause,
        refused=(cause, position),
    )


class _Draft:
    """An account while a record is folded into it."""

    def __init__(self, before: LedgerAccount) -> None:
        self.holdings = before.holdings
        self.heard = before.heard
        self.waiting = {one.seq: one for one in before.waiting}
        self.unread = before.unread
        self.happenings: list[Happening] = []

    def put(self, record: LedgerRecord) -> bool:
        """Take a record in; tell whether that changes anything."""
        if record.seq <= self.holdings.seq:
            return False
        if self._is_too_far(record.seq) and not isinstance(record, Snapshot):
            msg = f"expected a record at most {_GAP_MAX} after {self.holdings.seq}, found {record.seq}: send a snapshot"
            raise BadRecord(msg)
        is_news = record.seq > self.heard
        if isinstance(record, Snapshot) or record.seq == self.holdings.seq + 1:
            self._fold(record)
            is_news = True
        elif record.seq not in self.waiting and self._makes_room(record.seq):
            self.waiting[record.seq] = record
            is_news = True
        self.heard = max(self.heard, record.seq)
        return is_news

    def miss(self, number: int | None, cause: str) -> None:
        """A record cannot be folded: it is missing, as if it had not come; which one is known by a number that fits."""
        if number is None or self._is_too_far(number):
            self.unread = cause
        else:
            self.heard = max(self.heard, number)

    def catch_up(self) -> None:
        """Fold the records that waited and whose turn it is."""
        self.waiting = {seq: one for seq, one in self.waiting.items() if seq > self.holdings.seq}
        while (record := self.waiting.pop(self.holdings.seq + 1, None)) is not None:
            try:
                self._fold(record)
            except BadRecord:
                # It is missing from now on, and was heard of when it came.
                return

    def finish(self, suspect_before: str | None) -> Holdings:
        """Say whether anything is missing, also to the account's readers where that is news."""
        suspect = self.unread
        if suspect is None and self.holdings.seq < self.heard:
            suspect = (
                f"expected record {self.holdings.seq + 1}, found later ones up to {self.heard}: send it again, or a "
                "snapshot"
            )
        if (suspect is None) != (suspect_before is None):
            kind = "account_restored" if suspect is None else "account_doubted"
            said = {"seq": self.holdings.seq, "time_ms": self.holdings.time_ms, "cause": "", "suspect": suspect}
            self.happenings.append({"kind": kind, **said})
        if suspect == self.holdings.suspect:
            return self.holdings
        return msgspec.structs.replace(self.holdings, suspect=suspect)

    def _is_too_far(self, number: int) -> bool:
        return number - self.holdings.seq > _GAP_MAX

    def _makes_room(self, seq: int) -> bool:
        """Whether a record may wait: what comes later gives way to what comes sooner."""
        if len(self.waiting) < _WAITING_MAX:
            return True
        last = max(self.waiting)
        if last < seq:
            return False
        del self.waiting[last]
        return True

    def _fold(self, record: LedgerRecord) -> None:
        changed = changed_by(self.holdings, record)
        _expect_room(changed.holdings)
        self.holdings = changed.holdings
        self.happenings += changed.happenings
        if isinstance(record, Snapshot):
            self.unread = None


def _expect_room(holdings: Holdings) -> None:
    objects = (holdings.wallets, holdings.positions, holdings.orders, holdings.offers, holdings.credits, holdings.loans)
    if sum(map(len, objects)) >= _COUNTED_FROM:
        found = len(_encoder.encode(holdings))
        if found > _HOLDINGS_MAX_BYTES:
            msg = f"expected an account of at most {_HOLDINGS_MAX_BYTES} bytes, found {found}: close some of its orders"
            raise BadRecord(msg)


class _Columns(AccountColumns):
    holdings: Holdings
    heard: int
    waiting: tuple[LedgerRecord, ...]
    unread: str | None
    refused: tuple[str, LogOffset] | None


_rows = AccountRows(KIND, _SCHEMA, _Columns)
_encoder = msgspec.json.Encoder()


def read_account(row: bytes) -> LedgerAccount:
    """Read an account out of a row of ``accounts``, its ``ORDER_BYTES`` included.

    Raises:
        BadRow: It is another venue's, of another schema, or no row.
    """
    found = _rows.read(row)
    return LedgerAccount(
        applied=found.applied,
        version=decode_order(row)[1],
        holdings=found.holdings,
        heard=found.heard,
        waiting=found.waiting,
        unread=found.unread,
        refused=found.refused,
    )


def write_account(account: LedgerAccount) -> bytes:
    """Encode the body of an account's row."""
    return _rows.write(
        _Columns(
            KIND,
            _SCHEMA,
            account.applied,
            account.holdings,
            account.heard,
            account.waiting,
            account.unread,
            account.refused,
        )
    )
