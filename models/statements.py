"""Statements: what an account shows beside its valuation, and what happened to it last, numbered.

Feeds conflate rows, so that of several events between two reads only the state after the last would be seen. A row has
its last events, and their numbers tell a reader which of them it has seen and whether it missed any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from models.body_reader import body_reader
from models.codec import encode_body
from models.row_bodies import StatementBody

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from models.chain_records import LogOffset
    from models.valuations import Body

# A reader that follows row by row needs the events of the last write alone. This many serve one that is behind.
EVENTS_KEPT = 256
# With a statement as large as an account's row may be, a record would be too large for the broker.
_EVENTS_BYTES_MAX = 400_000


_read_body = body_reader("statements", StatementBody)


class Event(NamedTuple):
    """Something that happened to an account.

    ``number`` counts the account's events from 1. ``position`` is the log offset of the record that made it happen.
    """

    number: int
    position: LogOffset
    body: Mapping[str, Any]


class Statement(NamedTuple):
    """A row of ``statements``: what the account shows as of the record at ``position``, and its last events."""

    position: LogOffset
    body: Mapping[str, Any]
    events: Sequence[Event]

    @property
    def last_number(self) -> int:
        """The number of the last event, 0 where nothing ever happened."""
        return self.events[-1].number if self.events else 0

    def events_after(self, number: int) -> Sequence[Event] | None:
        """The events after one that was seen, None where some of them are not in the row any more."""
        if self.events and self.events[0].number > number + 1:
            return None
        return [event for event in self.events if event.number > number]


def next_statement(
    before: Statement | None,
    known: LogOffset,
    position: LogOffset,
    body: Mapping[str, Any],
    happened: Iterable[tuple[LogOffset, Mapping[str, Any]]],
    *,
    first: int = 1,
) -> Statement:
    """Make an account's next statement.

    What was folded once and is delivered again happens again: its events get the numbers that they had.

    Args:
        before: The statement that stands, None where there is none.
        known: Up to which record the account's own row had been folded before; the statement may be ahead of that.
        position: The log offset of the last record folded now.
        body: What the account shows.
        happened: The events since, in order, each with the log offset of its record.
        first: The number of the first event where none stands.
    """
    former = () if before is None else before.events
    kept = [event for event in former if event.position <= known]
    number = former[len(kept)].number if len(kept) < len(former) else former[-1].number + 1 if former else first
    new = [Event(at, where, what) for at, (where, what) in enumerate(happened, number)]
    most = max(EVENTS_KEPT, len(new))
    return Statement(position, body, _bounded([*kept, *new][-most:]))


def _bounded(events: Sequence[Event]) -> Sequence[Event]:
    """The last of the events that fit into a row."""
    size = 0
    for at, event in enumerate(reversed(events)):
        size += len(encode_body(event.body))
        if size > _EVENTS_BYTES_MAX:
            return events[len(events) - at :]
    return events


def encode_statement(statement: Statement) -> Body:
    """Body of a row of the table ``statements``."""
    return {
        "position": list(statement.position),
        "statement": statement.body,
        "events": [[event.number, *event.position, event.body] for event in statement.events],
    }


def decode_statement(row: bytes) -> Statement:
    """Read a row of the table ``statements``.

    Raises:
        BadRow: It is none.
    """
    body = _read_body(row)
    events = [Event(number, (offset, index), what) for number, offset, index, what in body.events]
    return Statement(body.position, body.statement, events)
