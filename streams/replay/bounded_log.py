"""The log as replay reads it: places, spans and records, whether they lie in Kafka or in captured files.

* ``ReplayError``: the root of what replay cannot do.
    * ``BadWindow``: what was asked for is no window of this log.
    * ``OutOfRetention``: the window begins before the oldest record that is still held.
    * ``NoSuchTopic``: the log has no such topic.
    * ``BadCapture``: captured files are damaged, or are none.
    * ``BadArchive``: an archive is damaged, is none, or is of another cluster.
    * ``BrokenOff``: the reading began and could not be finished; what came of it is not whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from models.errors import TidemarkError
from models.instants import rfc3339

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager


class ReplayError(TidemarkError):
    """Root of the errors of replay."""


class BadWindow(ReplayError):
    """What was asked for is no window of this log. The message says what would be one."""


class OutOfRetention(ReplayError):
    """The window begins before what is still held. Begin it later, or read a capture of that time."""


class NoSuchTopic(ReplayError):
    """The log has no such topic, or we may not see it. ``tidemark topics list`` names those that there should be."""


class BadCapture(ReplayError):
    """Captured files are damaged or are none. Capture the window again."""


class BadArchive(ReplayError):
    """An archive is damaged, cannot be reached, or is of another cluster. ``tidemark archive check`` names what is."""


class BrokenOff(ReplayError):
    """The log changed, or stopped answering, while it was read. What was read until then is not the whole window."""


class Place(NamedTuple):
    """A partition of a topic; ``topic`` is the full name."""

    topic: str
    partition: int


class Span(NamedTuple):
    """The offsets of a place from ``begin`` on and below ``end``."""

    begin: int
    end: int


class Held(NamedTuple):
    """What a log holds of a place: the offsets from ``begin`` on and below ``end``.

    ``since_ms``: every record made at or after this instant, Unix ms, is among them; None where every record ever
    written is. ``until_ms``: none that was made before this instant is missing behind the end; None where the end is
    that of the topic itself. ``earlier``: what it holds before the beginning, in order, where records between that and
    the beginning are gone.
    """

    begin: int
    end: int
    since_ms: int | None
    until_ms: int | None = None
    earlier: tuple[Held, ...] = ()


class LogRecord(msgspec.Struct, frozen=True, order=True, gc=False):
    """A record where it stands; ``time_ms`` is its own time, Unix ms. ``value`` is None for a tombstone.

    It refers to nothing that could refer to it, so no search for cycles looks at it: with as many as wait to be merged,
    that would take as long as reading them.
    """

    time_ms: int
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.topic, self.partition)


class Reading(Protocol):
    """Reads the spans of a vector, each in the order of its offsets."""

    async def more(self, places: Collection[Place]) -> Mapping[Place, Sequence[LogRecord]]:
        """Read on.

        Args:
            places: Of the vector, of which none is over; at least one.

        Returns:
            The next records of at least one of the places; none of them where a place is over.

        Raises:
            BrokenOff: The span cannot be read to its end.
        """


class Log(Protocol):
    """Records in places, each at an offset that never changes."""

    async def cluster(self) -> str | None:
        """The id of the cluster whose offsets these are; None where files do not say."""

    async def all_clusters(self) -> Mapping[str, Mapping[str, Mapping[int, int]]]:
        """By topic, the clusters that share its offsets, and below which of each partition; none where it is of one."""

    async def held(self, topics: Collection[str]) -> Mapping[Place, Held]:
        """What it holds of every partition of these topics, by their full names.

        Raises:
            NoSuchTopic: It has none of that name.
        """

    async def find(self, held: Mapping[Place, Held], time_ms: int) -> Mapping[Place, int]:
        """The first offset of each place at which a record was made at an instant or later; its end where none was.

        Args:
            held: What it holds.
            time_ms: The instant, Unix ms.
        """

    def reading(self, vector: Mapping[Place, Span]) -> AbstractAsyncContextManager[Reading]:
        """Read these spans, for as long as the block lasts; all of them are held."""


def expect_held(vector: Mapping[Place, Span], held: Mapping[Place, Held]) -> None:
    """Check that all of a vector can be read.

    Args:
        vector: What is to be read.
        held: What the log holds of its topics.

    Raises:
        BadWindow: A span is inverted, has not been written yet, or is of a partition that there is none of.
        OutOfRetention: A span begins before what is held.
    """
    for place, span in vector.items():
        where = f"{place.topic}:{place.partition}"
        found = held.get(place)
        if found is None:
            msg = f"expected a partition of {place.topic}, found no partition {place.partition}"
            raise BadWindow(msg)
        if span.begin > span.end:
            msg = f"expected the first offset of {where} first, found {span.begin}-{span.end}"
            raise BadWindow(msg)
        if any(one.begin <= span.begin and span.end <= one.end for one in found.earlier):
            continue
        if span.begin < found.begin and span.begin < span.end:
            since = "" if found.since_ms is None else f", of {rfc3339(found.since_ms)}"
            msg = f"expected offset {span.begin} of {where}, found {found.begin}{since} to be the oldest that is held"
            if found.earlier:
                spans = ", ".join(f"{one.begin}-{one.end}" for one in found.earlier)
                msg += f" up to the end, and before it {spans}: read what you need of these by themselves"
            raise OutOfRetention(msg)
        if span.end > found.end:
            msg = f"expected offsets of {where} up to {found.end}, which is the next to be written, found {span.end}"
            raise BadWindow(msg)
