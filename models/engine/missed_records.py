"""Accounts whose rows cannot be read, and the records that they missed meanwhile.

A record that cannot be folded, since its account's row cannot be read, is lost to the account: once the row can be read
again, by the version that wrote it or one that understands it, it would be served as if nothing had been missed. So the
row is written anew, with the records that were missed before what it said, to the byte. Whoever can read that gets an
account that is suspect from then on, as one is with a record that could not be folded, until a record says it whole.
Versions that know nothing of missed records cannot read such a row, and its account is unknown to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from models.body_reader import NOT_DECODED
from models.codec import ORDER_BYTES, decode_order, decode_row, encode_body, join_row
from models.errors import BadRecord, BadRow
from models.row_bodies import MISSED_BEGINS, MissedBody, MissedRecords

if TYPE_CHECKING:
    from models.chain_records import LogOffset
    from models.venue import A, H, Venue

# As much as is kept of why the row could not be read, which may quote it.
_CAUSE_CHARACTERS_MAX = 300

_decoder = msgspec.json.Decoder(MissedBody)


class UnreadAccount(NamedTuple):
    """An account whose row cannot be read.

    Attributes:
        version: That of its row.
        body: What its row said before any record was missed.
        missed: The records that were; None where none was.
    """

    version: int
    body: bytes
    missed: MissedRecords | None

    def missing(self, position: LogOffset, cause: str) -> UnreadAccount:
        """The account without one more record; itself where that was missed before.

        Args:
            position: The log offset of the record.
            cause: Why the account's row could not be read.
        """
        if self.missed is None:
            missed = MissedRecords(position, position, cause[:_CAUSE_CHARACTERS_MAX])
        elif position > self.missed.last:
            missed = msgspec.structs.replace(self.missed, last=position)
        else:
            return self
        return UnreadAccount(self.version + 1, self.body, missed)

    def encode(self) -> bytes:
        """Encode the body of its row."""
        return self.body if self.missed is None else encode_body(MissedBody(self.missed, msgspec.Raw(self.body)))


def unread_account(row: bytes) -> UnreadAccount | None:
    """The account of a row that cannot be read; None where no version ever will.

    Args:
        row: The row, its ``ORDER_BYTES`` included.
    """
    try:
        found = _missed(row)
        if found is not None:
            return UnreadAccount(decode_order(row)[1], bytes(found.row), found.missed)
        return UnreadAccount(decode_row(row).version, row[ORDER_BYTES:], None)
    except BadRow:
        return None


def read_account(venue: Venue[A, Any, Any], row: bytes) -> A:
    """Read an account out of a row of ``accounts``: suspect, where it missed records.

    Args:
        venue: The account's.
        row: The row, its ``ORDER_BYTES`` included.

    Raises:
        BadRow: It is no row of this venue's, or the venue cannot say of the account that it is suspect.
    """
    found = _missed(row)
    return venue.read(row) if found is None else _doubted(venue, row, found)


def read_held(venue: Venue[Any, H, Any], row: bytes) -> H:
    """Read what a valuation needs out of a row of ``accounts``; arguments and errors are those of ``read_account``."""
    found = _missed(row)
    return venue.read_held(row) if found is None else venue.held(_doubted(venue, row, found))


def _missed(row: bytes) -> MissedBody | None:
    if not row.startswith(MISSED_BEGINS, ORDER_BYTES):
        return None
    try:
        return _decoder.decode(memoryview(row)[ORDER_BYTES:])
    except NOT_DECODED as error:
        msg = f"expected a row of an account with the records that it missed, found {row!r:.200} ({error})"
        raise BadRow(msg) from error


def _doubted(venue: Venue[A, Any, Any], row: bytes, found: MissedBody) -> A:
    term, version = decode_order(row)
    body, (first, last, cause) = bytes(found.row), msgspec.structs.astuple(found.missed)
    # To be suspect is the newest change of the account, which has the row's version.
    before = venue.read(join_row(term, version - 1, body))
    said = f"records were not folded from offset {first[0]} on, as the account's row could not be read: {cause}"
    try:
        after = venue.doubt(before, last, said)
    except BadRecord as error:
        raise BadRow(str(error)) from error
    # What was folded before its row could not be read, and was delivered again meanwhile, was not missed.
    return venue.read(join_row(term, version, body)) if after is before else after
