"""Books what records do to accounts: the records of the topic ``bookings`` that a step is to send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.bookings import GAP, Booked, Booking, Unbooked, bookings_of, encode_booked, encode_booking_record
from models.engine.step import Kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.account_events import RolledBack
    from models.bookings import Happened
    from models.chain_records import LogOffset
    from models.venue import Account, Positioned, Venue


class Booker:
    """Books what the records of one venue's accounts do, until the next step.

    Args:
        venue: Says what a record did.
    """

    def __init__(self, venue: Venue[Any, Any, Any]) -> None:
        self._venue = venue
        self._kept: list[Kept] = []

    def book(self, key: bytes, before: Account | None, record: Positioned, after: Account, happened: Happened) -> None:
        """Book what a record did to an account.

        Args:
            key: The account.
            before: The account before it, None of a new one.
            record: What was folded, which changed it.
            after: The account after it.
            happened: What readers of the account's statement are told of the record.
        """
        booked = bookings_of(self._venue, before, record, after, happened)
        if booked is not None:
            self._kept += [Kept(key, value) for value in encode_booked(booked)]

    def doubt(self, key: bytes, position: LogOffset, block: int, *, time_ms: int, cause: str) -> None:
        """Book that an account is not known from a record of its deployment on.

        Args:
            key: The account.
            position: The log offset of the record.
            block: The newest block that the record is of.
            time_ms: The time of the deployment's newest block, Unix ms.
            cause: Why the account is not known.
        """
        gap = Booked(position, block, time_ms, (Booking(GAP, cause),))
        self._kept.append(Kept(key, encode_booking_record(gap)))

    def roll_back(self, deployment: str, record: RolledBack) -> None:
        """Take back what was booked for blocks that left the chain.

        Args:
            deployment: The deployment.
            record: Says which blocks stay.
        """
        self._kept.append(Kept(deployment.encode(), encode_booking_record(Unbooked(record.position, record.ancestor))))

    def take(self) -> Sequence[Kept]:
        """What was booked since this was last called."""
        kept, self._kept = self._kept, []
        return kept
