"""References: what values depend on beside marks, such as margin tiers, each with where its record stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from models.body_reader import body_reader
from models.errors import BadRecord
from models.ids import split_key
from models.package_faults import UNREADABLE, cause_of
from models.row_bodies import ReferenceBody

if TYPE_CHECKING:
    from models.engine.deployment import Venues
    from models.venue import Venue

_NAME_CHARACTERS_MAX = 64
_read_body = body_reader("references", ReferenceBody)


class UsedReference(NamedTuple):
    """A reference in use: ``value`` as its venue decoded it, and the partition and offset of its record."""

    value: Any
    partition: int
    offset: int


class Said(NamedTuple):
    """What a record says of a reference: its text, None where it takes the reference away, and where it stands."""

    text: str | None
    partition: int
    offset: int


def said_by(venue: Venue[Any, Any, Any], name: str, value: bytes, at: tuple[int, int]) -> Said:
    """Read a record of a venue's topic of references; an empty one takes the reference away.

    Args:
        venue: The venue.
        name: The reference's name.
        value: The record.
        at: Its partition and offset.

    Raises:
        BadRecord: The name or the record is none that the venue knows.
    """
    if not 0 < len(name) <= _NAME_CHARACTERS_MAX or not name.isprintable() or " " in name:
        msg = f"expected the name of a reference, 1 to {_NAME_CHARACTERS_MAX} characters, found {name!r:.200}"
        raise BadRecord(msg)
    if not value:
        return Said(None, *at)
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        msg = f"expected reference {name} as UTF-8 text, found {value[:80]!r}"
        raise BadRecord(msg) from error
    read_reference(venue, name, value)
    return Said(text, *at)


def read_reference(venue: Venue[Any, Any, Any], name: str, value: bytes) -> Any:  # noqa: ANN401 - it is the venue's own
    """What a venue's package makes of a record of a reference.

    Args:
        venue: The venue.
        name: The reference's name.
        value: The record.

    Raises:
        BadRecord: It cannot be read, whatever the package raises then.
    """
    try:
        return venue.reference(name, value)
    except UNREADABLE as error:
        raise BadRecord(cause_of(error)) from error


def later_said(before: Said | None, news: Said) -> Said | None:
    """The newer of the two, None where ``news`` was known: all records of a name stand in one partition."""
    return None if before is not None and news.offset <= before.offset else news


def encode_said(said: Said) -> ReferenceBody:
    """Body of a row of the table ``references``."""
    return ReferenceBody(*said)


def decode_said(row: bytes) -> Said:
    """Read a row of the table ``references``.

    Raises:
        BadRow: It is none.
    """
    body = _read_body(row)
    return Said(body.text, body.partition, body.offset)


def used_of_row(venues: Venues, key: bytes, row: bytes) -> UsedReference | None:
    """Read what a row of the table ``references`` says.

    Args:
        venues: Decode the references of their deployments.
        key: The row's key.
        row: The row.

    Returns:
        None where the reference was taken away, its venue is not installed, or that cannot read it any more.

    Raises:
        BadRow: It is no row of this table.
    """
    said = decode_said(row)
    deployment, name = split_key(key)
    venue = venues.of(deployment)
    if venue is None or venue.references is None or said.text is None:
        return None
    try:
        return UsedReference(read_reference(venue, name, said.text.encode()), said.partition, said.offset)
    except BadRecord:
        # Another version of the venue took it. Whoever needs it says that it is missing.
        return None
