"""What replicas ask of bookings on ``history-requests``, and hear on ``history-answers``."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from models.bookings import Booking, Int64
from models.row_bodies import E18, Amount, Id, UnixMs  # noqa: TC001

BOOKINGS_MAX = 100_000
"""The most bookings that are held of an account, the newest ones."""

BOOKING_BYTES_MAX = 2_000
"""The most that a booking takes in the file, with its indexes; mostly it takes 450 bytes."""

BOOKINGS_PAGE_MAX = 1_000
CLOSED_PAGE_MAX = 100
"""The most bookings, and closed positions, of an answer."""

Place = tuple[Int64, Int64, Int64]
"""Where a booking stands among all of its account: the log offset of its record, and its number in that."""

FIRST_PLACE: Place = (2**63 - 1, 0, 0)
"""Before it stand all bookings, the newest first."""


class BookingsRequest(msgspec.Struct, tag="bookings-request", tag_field="kind", frozen=True):
    """A replica wants bookings of an account in [from_ms, to_ms), newest first, the first ``most`` before ``before``.

    ``names`` are those wanted, none for all. Where ``is_closed``, what is wanted are the positions that were closed
    then, each with what all its bookings come to. Its record has the key ``id``.
    """

    id: str
    series: str
    names: tuple[str, ...]
    from_ms: Int64
    to_ms: Int64
    before: Place
    most: Annotated[int, Meta(ge=1)]
    is_closed: bool = False


class BookedLine(msgspec.Struct, frozen=True):
    """A booking with its place, its time, and its block, -1 without blocks."""

    place: Place
    block: int
    time_ms: UnixMs
    booking: Booking


class ClosedPosition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A position that was closed, and what all its bookings come to; what is not known is absent.

    ``ended`` is the name of its last booking. ``place`` and ``closed_ms`` are those of that. When it was opened, at
    what, and whatever is a sum of all are absent where its opening is not among the bookings that are held, or the
    account was not known, or read anew, between that and its end. ``closed_price`` is the average, cut to 1e-18.
    ``realised`` has what was settled, and with the price that it counted as opened at the ``funding``, too.
    """

    place: Place
    quote: Id
    ended: str
    closed_ms: UnixMs
    market: Id | None = None
    side: str | None = None
    quantity: Amount | None = None
    opened_ms: UnixMs | None = None
    opened_price: Amount | None = None
    closed_price: Amount | None = None
    realised: E18 | None = None
    funding: E18 | None = None


class BookingsAnswer(msgspec.Struct, tag="bookings-answer", tag_field="kind", frozen=True):
    """What was asked for, newest first; ``has_more`` where there is more in the window.

    ``cut_ms`` is absent where every booking of the account is held; else all that happened until then is not.
    """

    id: str
    has_more: bool
    bookings: tuple[BookedLine, ...] = ()
    closed: tuple[ClosedPosition, ...] = ()
    cut_ms: Annotated[int, Meta(ge=0)] | None = None
