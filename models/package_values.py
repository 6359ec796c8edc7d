"""What core relies on in what the venue of a package gives: what can be written and read again, compared and summed.

Each of these raises whatever error shows that it is otherwise; ``models.guarded_venue`` says what follows from that.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from models.book_figures import Exposure, Shown
from models.bookings import NAMES, Booked, decode_booking_record, encode_booked
from models.bounded_columns import DIGITS_MAX, BoundedAmount, BoundedE18, BoundedId, Word
from models.codec import NUMBER_MAX, encode_body
from models.errors import BadRecord
from models.plain_venue import TIME_MS_MAX, WRITTEN_BYTES_MAX
from models.provenance import MADE_FROM
from models.valuations import UNPRICED, VALUED
from models.venue import Valued

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.chain_records import LogOffset
    from models.valuations import Body

# A row of so many bytes leaves room for its provenance in a record of a megabyte, which is what the broker takes.
_VALUATION_BYTES_MAX = 900_000

# The text of an integer above 0, such as a mark's or a position's size: one of 0 is none.
_Positive = Annotated[str, Meta(pattern="^[0-9]*[1-9][0-9]*$", max_length=DIGITS_MAX)]
_Count = Annotated[int, Meta(ge=0, le=NUMBER_MAX)]


class _Position(msgspec.Struct):
    """What core reads of a position's columns."""

    quote: BoundedId
    symbol: BoundedId
    side: Literal["long", "short"]
    quantity: _Positive
    opened_price: BoundedAmount
    mark: _Positive | None
    mark_key: str | None
    mark_offset: int | None
    upnl: BoundedE18 | None
    notional: BoundedAmount | None
    stale: bool
    party_b: Word | UnsetType = UNSET
    liquidation_price: BoundedAmount | UnsetType | None = UNSET


class _Conversion(msgspec.Struct):
    """What core reads of a mark by which amounts became money."""

    mark: _Positive | None
    mark_key: str | None
    mark_offset: int | None


class _Columns(msgspec.Struct):
    """What core reads of a valuation's columns."""

    account_order: tuple[int, int]
    position: tuple[int, int]
    status: Literal["valued", "unpriced", "suspect", "unsupported", "nobody"]
    stale: _Count
    unpriced: _Count
    upnl: BoundedE18 | None
    notional: BoundedAmount | None
    equity: BoundedE18 | None
    available_balance: BoundedE18 | None
    liquidatable: bool | None
    distance_bps: int | None
    as_of_ms: Annotated[int, msgspec.Meta(ge=0, le=TIME_MS_MAX)]
    positions: list[_Position]
    owner: str | None
    last_complete: None
    liquidatable_hedgers: list[Word] | UnsetType = UNSET
    conversions: dict[Word, _Conversion] | UnsetType = UNSET

    @property
    def is_complete(self) -> bool:
        """Whether all figures are there."""
        return None not in (self.upnl, self.notional, self.equity, self.available_balance, self.liquidatable)


# What columns of these are is checked as they are read; all others are the package's own.
_CORES, _CORES_OF_POSITION = frozenset(_Columns.__struct_fields__), frozenset(_Position.__struct_fields__)


def checked_valuation(valued: Valued) -> Valued:
    """The valuation, if core can compare, sum and write it."""
    body, shown = valued
    columns = msgspec.convert(body, _Columns)
    figures = None if shown is None else Shown(*map(float, shown))
    if (columns.status == VALUED) != columns.is_complete or columns.is_complete != (figures is not None):
        msg = f"expected figures of an account that is valued, and of no other, found {body!r:.200} and {shown}"
        raise ValueError(msg)
    if figures is not None and not all(map(isfinite, figures)):
        msg = f"expected finite figures, found {shown}"
        raise ValueError(msg)
    if any((one.upnl is None) != (one.notional is None) for one in columns.positions):
        msg = f"expected positions with both uPnL and notional or neither, found {body!r:.200}"
        raise ValueError(msg)
    if columns.status not in {VALUED, UNPRICED} and any(one.upnl is not None for one in columns.positions):
        msg = f"expected no uPnL and notional of positions of an account that is {columns.status}, found {body!r:.200}"
        raise ValueError(msg)
    if MADE_FROM in body:
        msg = f"expected no column {MADE_FROM}, which is core's own, found {body[MADE_FROM]!r:.200}"
        raise ValueError(msg)
    for columns_of, known in ((body, _CORES), *((one, _CORES_OF_POSITION) for one in body["positions"])):
        own_columns = columns_of.keys() - known
        if own_columns:
            _expect_finite("a valuation", [columns_of[name] for name in own_columns])
    # What is kept of positions is told from what came by whether it is the same object, which a package may change.
    own: Body = {**body, "positions": [{**one} for one in body["positions"]]}
    size = len(encode_body(own))
    if size > _VALUATION_BYTES_MAX:
        msg = f"expected a valuation of at most {_VALUATION_BYTES_MAX} bytes as JSON, found {size}"
        raise ValueError(msg)
    return Valued(own, figures)


def checked_history(
    finished: Sequence[tuple[bytes, Body | msgspec.Struct]],
) -> list[tuple[bytes, Body | msgspec.Struct]]:
    """Rows of ``quote-history``, if they are such."""
    history = list(finished)
    for key, body in history:
        expect_object("history", body)
        if not isinstance(key, bytes):
            msg = f"expected a key in bytes, found {key!r:.200}"
            raise TypeError(msg)
    return history


def checked_exposure(deployment: str, exposure: Exposure) -> Exposure:
    """The exposure in floats, if all are numbers, by markets of the deployment."""
    signed = {}
    for (whose, market), amount in exposure.signed.items():
        if whose != deployment or not isinstance(market, int | str):
            msg = f"expected amounts by markets of {deployment}, found {exposure!r:.200}"
            raise ValueError(msg)
        signed[whose, market] = float(amount)
    slack = None if exposure.slack is None else float(exposure.slack)
    made = Exposure(signed, float(exposure.cost), float(exposure.margin), slack)
    if not all(map(isfinite, (made.cost, made.margin, slack or 0.0, *signed.values()))) or (slack or 0.0) < 0:
        msg = f"expected finite numbers and a slack >= 0, found {exposure!r:.200}"
        raise ValueError(msg)
    return made


def checked_account(account: Any) -> Any:  # noqa: ANN401 - it is the venue's own
    """The account, if it says as of which record it is."""
    checked_held(account)
    if not isinstance(account.version, int) or not 0 <= account.version <= NUMBER_MAX:
        msg = f"expected a version from 0 to 2^63 - 1, found {account.version!r:.200}"
        raise ValueError(msg)
    return account


def checked_held(held: Any) -> Any:  # noqa: ANN401 - it is the venue's own
    """What an account holds, if it says as of which record it is."""
    offset, index = held.applied
    if not isinstance(offset, int) or not isinstance(index, int) or not isinstance(held.unsettled, bool):
        msg = f"expected the log offset of a record and whether it is unsettled, found {held!r:.200}"
        raise TypeError(msg)
    return held


def checked_booking_names(names: Any) -> Sequence[str]:  # noqa: ANN401 - it may be anything
    """The names of a venue's bookings, if readers of bookings know each of them."""
    if not isinstance(names, list | tuple) or not all(name in NAMES for name in names):
        msg = f"expected booking_names out of {', '.join(NAMES)}, found {names!r:.200}"
        raise ValueError(msg)
    return tuple(names)


def checked_booked(booked: Booked, position: LogOffset, names: Sequence[str]) -> Booked:
    """The bookings of a record, if whoever reads them can.

    Args:
        booked: The bookings.
        position: Where the record stands, under which they are kept.
        names: The names that the venue says its bookings have.
    """
    try:
        read = [decode_booking_record(value) for value in encode_booked(booked)]
    except BadRecord as error:
        # Raised as it is, it would be the venue that refuses the record.
        raise ValueError(str(error)) from error
    if not all(isinstance(one, Booked) for one in read):
        msg = f"expected bookings, found {booked!r:.200}"
        raise TypeError(msg)
    if booked.position != position or booked.first:
        msg = f"expected all bookings of the record at {position}, found some of {booked.position} from {booked.first}"
        raise ValueError(msg)
    if any(one.name not in names for one in booked.bookings):
        msg = f"expected bookings whose names booking_names has, {', '.join(names)}, found {booked!r:.200}"
        raise ValueError(msg)
    return booked


def expect_object(what: str, said: Any) -> None:  # noqa: ANN401 - it may be anything
    """Raise unless it is an object that fits into a row; ``what`` names it in the error."""
    if not isinstance(said, dict):
        msg = f"expected {what} to be an object, found {said!r:.200}"
        raise TypeError(msg)
    expect_size(what, len(encoded(what, said)))


def encoded(what: str, said: Any) -> bytes:  # noqa: ANN401 - it may be anything
    """What a package says as JSON; ``what`` names it in the error.

    Raises:
        ValueError: There is a number in it that JSON does not have.
    """
    made = encode_body(said)
    # The encoder writes null for such a number.
    if b"null" in made:
        _expect_finite(what, said)
    return made


def _expect_finite(what: str, said: object) -> None:
    """Raise where there is a number at any depth that JSON does not have; ``what`` names what it is in."""
    left = [msgspec.to_builtins(said)]
    while left:
        one = left.pop()
        if isinstance(one, float) and not isfinite(one):
            msg = f"expected {what} with finite numbers, found {one} in {said!r:.200}"
            raise ValueError(msg)
        if isinstance(one, dict):
            left += one.values()
        elif isinstance(one, list):
            left += one


def expect_size(what: str, size: int) -> None:
    """Raise unless so many bytes of JSON fit into a row; ``what`` names them in the error."""
    if size > WRITTEN_BYTES_MAX:
        msg = f"expected {what} of at most {WRITTEN_BYTES_MAX} bytes as JSON, found {size}"
        raise ValueError(msg)
