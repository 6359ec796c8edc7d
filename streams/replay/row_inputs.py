"""The inputs that a row of valuations names: ticks at their offsets, references where they stand.

Only what rows name is read of ``price-ticks``, however long it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from models.errors import BadRecord
from models.prices import decode_tick, mark_of, used_mark
from models.provenance import MADE_FROM, named_marks
from models.references import UsedReference, read_reference
from streams.kafka.partitions import partition_of
from streams.replay.bounded_log import Place, Span
from streams.replay.merging import read_merged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from models.prices import Mark, UsedMark
    from streams.replay.bounded_log import Held, Log, LogRecord
    from streams.replay.raw_fold import RawFold

# Two ticks that are further apart are read in two spans: a fetch brings some thousand ticks anyway.
_APART = 5_000
Offsets = dict[Place, dict[int, "LogRecord"]]


class Unnamed(Exception):
    """A valuation asked for an input that the row does not name, or that is not held any more."""


class NamedInputs:
    """The inputs that a row names, as venues are given them.

    Args:
        body: The row's.
        fold: Says where prices come from, and reads references.
        read: The records that rows name.
        ticks: Where ticks stand.
        said: Where references stand.

    Attributes:
        missing: Why an input is not there that was asked for; whoever asked may have made another error of it.
    """

    def __init__(self, body: Mapping[str, Any], fold: RawFold, read: Offsets, ticks: Places, said: Places) -> None:
        self._by_market = {one["symbol"]: one for one in body["positions"]}
        self._by_key = {one["mark_key"]: one for one in named_marks(body)}
        self._references = body[MADE_FROM].get("references", {})
        self._is_fresh = not body["stale"]
        self._fold, self._read, self._ticks, self._said = fold, read, ticks, said
        self.missing: str | None = None

    def mark(self, market: int | str, /) -> UsedMark | None:
        """The mark at which the row values a market."""
        if isinstance(market, int):
            one = self._by_market[market]
            named = None if one["mark_key"] is None else one
        else:
            sources = self._fold.deployment.price_sources(market)
            named = next((self._by_key[key] for key in (s.key.decode() for s in sources) if key in self._by_key), None)
        if named is None:
            return None
        key, offset = named["mark_key"], named["mark_offset"]
        record = self._read.get(self._ticks.of(key.encode()), {}).get(offset)
        if record is None:
            missing = "the tick of a mark is not held any more"
            raise self._unnamed(missing)
        if record.key != key.encode():
            msg = f"expected a tick of {key} at offset {offset}, found one of {record.key!r}"
            raise BadRecord(msg)
        mark = tick_mark(record)
        stale = named.get("stale")
        if stale is None:
            if not self._is_fresh:
                missing = "it does not name which of its marks was stale"
                raise self._unnamed(missing)
            stale = False
        return used_mark(key, mark, stale=stale)

    def reference(self, name: str, /) -> UsedReference | None:
        """The reference that the row names."""
        at = self._references.get(name)
        if at is None:
            return None
        record = self._read.get(Place(self._said.topic, at[0]), {}).get(at[1])
        if record is None:
            missing = "a reference was said again since, and compacted away"
            raise self._unnamed(missing)
        return UsedReference(read_reference(self._fold.venue, name, record.value or b""), at[0], at[1])

    def _unnamed(self, missing: str) -> Unnamed:
        self.missing = missing
        return Unnamed(missing)


class Places(NamedTuple):
    """The partitions of a topic, by key."""

    topic: str
    partitions: int

    def of(self, key: bytes) -> Place:
        """Where the records of a key stand."""
        return Place(self.topic, partition_of(key, self.partitions))


async def read_offsets_of(
    log: Log, wanted: Mapping[Place, set[int]], on_record: Callable[[LogRecord], None]
) -> Offsets:
    """Read the records at some offsets; those that are not held any more are left out.

    Args:
        log: Where they stand.
        wanted: The offsets of each place.
        on_record: Is told each record that was read.
    """
    found: Offsets = {place: {} for place in wanted}
    if not wanted:
        return found
    held = await log.held({place.topic for place in wanted})
    spans = [(place, span) for place, offsets in wanted.items() for span in _spans(offsets, held.get(place))]
    while spans:
        # One span of each place at a time.
        vector = dict(reversed(spans))
        spans = [(place, span) for place, span in spans if vector[place] != span]
        async for record in read_merged(log, vector):
            on_record(record)
            if record.offset in wanted[record.place]:
                found[record.place][record.offset] = record
    return found


def _spans(offsets: Iterable[int], held: Held | None) -> list[Span]:
    spans: list[Span] = []
    if held is None:
        return spans
    for offset in sorted(one for one in offsets if held.begin <= one < held.end):
        if spans and offset - spans[-1].end < _APART:
            spans[-1] = Span(spans[-1].begin, offset + 1)
        else:
            spans.append(Span(offset, offset + 1))
    return spans


def tick_mark(record: LogRecord) -> Mark:
    """The mark that a record of ``price-ticks`` says.

    Raises:
        BadRecord: It says none.
    """
    return mark_of(decode_tick(record.value or b""), record.offset)
