"""Records of the topic ``bookings``: what opened, closed, charged and paid an account, one booking each.

A venue whose records say that has ``bookings`` (``TellsBookings``). They are a function of the account before and after
a record, so that a record that is folded again after a crash comes to the same ones, at the same place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Protocol, runtime_checkable

import msgspec
from msgspec import Meta

from models.bounded_columns import BoundedAmount, BoundedE18, BoundedId, Word  # noqa: TC001 - msgspec resolves the annotations at run time
from models.errors import BadRecord
from models.plain_venue import TIME_MS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from models.venue import Account, Positioned, Venue

    Happened = Sequence[Mapping[str, Any]]

OPEN, CLOSE, LIQUIDATION = "open", "close", "liquidation"
FUNDING, SETTLEMENT, FEE, REALISED, TRANSFER, BALANCE = (
    "funding", "settlement", "fee", "realised", "transfer", "balance",
)  # fmt: skip
CHECKPOINT, GAP = "checkpoint", "gap"

NO_BLOCK = -1
"""The block of what was booked where there are no blocks: none that leaves the chain takes it along."""

Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""A whole number that the files of history can compare with."""

# Whoever reads bookings adds these up and stores them in files: what is beyond such bounds was booked by a fault. Text
# has room in an answer however it is escaped.
_Offset = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Block = Annotated[int, Meta(ge=NO_BLOCK, le=2**63 - 1, description="The block; -1 without blocks.")]
_TimeMs = Annotated[int, Meta(ge=0, le=TIME_MS_MAX, description="Unix ms.")]
_Number = Annotated[int, Meta(ge=0, le=2**32 - 1)]

NAMES = (OPEN, CLOSE, LIQUIDATION, FUNDING, SETTLEMENT, FEE, REALISED, TRANSFER, BALANCE, CHECKPOINT, GAP)
"""Every name of a booking: of positions, of balances, and of what was said or is missing without an event."""


class Booking(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event that opened, closed, charged or paid something; what does not belong to it is absent.

    ``name`` says what it was, ``cause`` what its venue calls it, ``at`` where in the record it stands, such as
    ``transaction/log index``. Of a position: ``quote`` is its id, ``quantity`` how much was opened, closed or charged,
    ``left`` how much of it is open after, ``price`` at which, ``opened_price`` the price that it was opened at, before
    the event, and ``opened_price_after`` after it. ``realised`` is what the price has gained or lost it, ``funding``
    what a charge gained or lost it. ``balance`` is by how much the account's balance changed, in ``currency`` where it
    is not the unit of the account's figures. ``rate`` is of a funding charge.
    """

    name: Word
    cause: Annotated[str, Meta(max_length=50_000)]
    at: Annotated[str, Meta(max_length=1_000)] = ""
    quote: BoundedId | None = None
    market: BoundedId | None = None
    side: Word | None = None
    quantity: BoundedAmount | None = None
    left: BoundedAmount | None = None
    price: BoundedAmount | None = None
    opened_price: BoundedAmount | None = None
    opened_price_after: BoundedAmount | None = None
    rate: BoundedE18 | None = None
    realised: BoundedE18 | None = None
    funding: BoundedE18 | None = None
    balance: BoundedE18 | None = None
    currency: Word | None = None


class Booked(msgspec.Struct, tag="booked", tag_field="kind", frozen=True, omit_defaults=True):
    """The bookings of one record of an account, whose log offset ``position`` is; ``block`` is -1 without blocks.

    Where they are too many for one, they come in several: the first of these is number ``first`` among all of them.
    ``is_beginning``: before it the account had nothing, so that no booking of before can be missing from its sums.
    """

    position: tuple[_Offset, Int64]
    block: _Block
    time_ms: _TimeMs
    bookings: tuple[Booking, ...]
    first: _Number = 0
    is_beginning: bool = False


class Unbooked(msgspec.Struct, tag="unbooked", tag_field="kind", frozen=True):
    """Blocks above ``ancestor`` left the chain: what was booked for them before ``position`` never happened."""

    position: tuple[_Offset, Int64]
    ancestor: _Block


def ends_position(booking: Booking) -> bool:
    """Whether a booking left nothing open of a position."""
    return booking.left == "0" and booking.quantity not in {None, "0"}


BookingRecord = Booked | Unbooked


@runtime_checkable
class TellsBookings(Protocol):
    """A venue whose records say what opened, closed, charged and paid an account."""

    @property
    def booking_names(self) -> Sequence[str]:
        """The names that its bookings have."""

    def bookings(self, before: Any, record: Any, after: Any, happened: Happened) -> Booked | None:  # noqa: ANN401 - they are the venue's own
        """The bookings of a record of an account, None where it has none.

        Args:
            before: The account before it, None of a new one.
            record: What was folded.
            after: The account after it.
            happened: What readers of the account's statement are told of the record.
        """


def bookings_of(
    venue: Venue[Any, Any, Any], before: Account | None, record: Positioned, after: Account, happened: Happened
) -> Booked | None:
    """The bookings of a record of an account, None where it has none, or its venue tells of none.

    Args:
        venue: The account's venue.
        before: The account before it, None of a new one.
        record: What was folded.
        after: The account after it.
        happened: What readers of the account's statement are told of the record.
    """
    return venue.bookings(before, record, after, happened) if isinstance(venue, TellsBookings) else None


# One record of a ledger may change thousands of wallets, each of which is booked with its cause: half of what a record
# may have leaves room for the longest booking.
_BOOKED_BYTES_MAX = 500_000

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[BookingRecord] = msgspec.json.Decoder(BookingRecord)


def encode_booking_record(record: BookingRecord) -> bytes:
    """Encode a record as JSON with its ``kind``."""
    return _encoder.encode(record)


def encode_booked(booked: Booked) -> Iterator[bytes]:
    """Encode the bookings of a record as one record or as several, none of which is too large for the broker."""
    value = encode_booking_record(booked)
    half = len(booked.bookings) // 2
    if len(value) <= _BOOKED_BYTES_MAX or not half:
        yield value
        return
    yield from encode_booked(msgspec.structs.replace(booked, bookings=booked.bookings[:half]))
    yield from encode_booked(
        msgspec.structs.replace(booked, bookings=booked.bookings[half:], first=booked.first + half)
    )


def decode_booking_record(value: bytes | None) -> BookingRecord:
    """Decode a record of ``bookings``.

    Raises:
        BadRecord: It is none.
    """
    try:
        return _decoder.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"expected a record of bookings, found {value[:80] if value else value!r}: {error}"
        raise BadRecord(msg) from error
