"""Rows of valuations held against what they name: each is made anew from the raw log, and has to be the same.

A row names its account by the log offset of the last record folded, its marks by key and offset, its references, and
under which version of the venue's figures and which settings it was made (models/provenance.py). Only what rows name
is read: the raw log up to the newest of them, and the ticks at those offsets.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from models.codec import decode_row, row_order
from models.engine.tables import ACCOUNTS, VALUATIONS
from models.errors import BadRecord, BadRow
from models.ids import split_key
from models.prices import decode_tick, mark_of, used_mark
from models.provenance import MADE_FROM
from models.references import UsedReference
from models.valuations import UNSUPPORTED
from streams.kafka.partitions import partition_of
from streams.kafka.topics import PRICE_TICKS, changelog_name, topic_name
from streams.replay.bounded_log import Place, Span
from streams.replay.log_window import resolve_times
from streams.replay.merging import read_merged
from streams.replay.raw_fold import RawFold, held_from_the_first

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from models.prices import Mark, UsedMark
    from streams.replay.bounded_log import Held, Log, LogRecord
    from streams.settings import Settings

# Two ticks that are further apart are read in two spans: a fetch brings some thousand ticks anyway.
_APART = 5_000
# The last complete figures were made of other inputs, which they name themselves.
_NOT_OF_INPUTS = (MADE_FROM, "last_complete")
Offsets = dict[Place, dict[int, "LogRecord"]]


class RowDifference(NamedTuple):
    """A field of a row that is another when it is made anew: ``ours`` in the row, ``again`` recomputed, both JSON."""

    key: str
    name: str
    ours: str
    again: str


@dataclass(slots=True)
class RowReport:
    """What was found: how many ``rows`` there are and are ``same``, what differs, and why others are not comparable."""

    rows: int = 0
    same: int = 0
    differences: list[RowDifference] = field(default_factory=list)
    not_comparable: Counter[str] = field(default_factory=Counter)

    @property
    def compared(self) -> int:
        """How many rows were compared."""
        return self.rows - self.not_comparable.total()


class _Unnamed(Exception):
    """A valuation asked for an input that the row does not name, or that is not held any more."""


class _Named:
    """The inputs that a row names."""

    def __init__(self, body: Mapping[str, Any], fold: RawFold, read: Offsets, ticks: _Places, said: _Places) -> None:
        self._by_market = {one["symbol"]: one for one in body["positions"]}
        self._by_key = {one["mark_key"]: one for one in named_marks(body)}
        self._references = body[MADE_FROM].get("references", {})
        self._is_fresh = not body["stale"]
        self._fold, self._read, self._ticks, self._said = fold, read, ticks, said

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
            msg = "the tick of a mark is not held any more"
            raise _Unnamed(msg)
        if record.key != key.encode():
            msg = f"expected a tick of {key} at offset {offset}, found one of {record.key!r}"
            raise BadRecord(msg)
        mark = _mark(record)
        stale = named.get("stale")
        if stale is None:
            if not self._is_fresh:
                msg = "it does not name which of its marks was stale"
                raise _Unnamed(msg)
            stale = False
        return used_mark(key, mark, stale=stale)

    def reference(self, name: str, /) -> UsedReference | None:
        """The reference that the row names."""
        at = self._references.get(name)
        if at is None:
            return None
        record = self._read.get(Place(self._said.topic, at[0]), {}).get(at[1])
        if record is None:
            msg = "a reference was said again since, and compacted away"
            raise _Unnamed(msg)
        return UsedReference(self._fold.venue.reference(name, record.value or b""), at[0], at[1])


class _Places(NamedTuple):
    """The partitions of a topic, by key."""

    topic: str
    partitions: int

    def of(self, key: bytes) -> Place:
        return Place(self.topic, partition_of(key, self.partitions))


def named_marks(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Everything in a row that names a mark by ``mark_key`` and ``mark_offset``, at whatever depth."""
    found: list[Mapping[str, Any]] = []
    left: list[Any] = [value for name, value in body.items() if name not in _NOT_OF_INPUTS]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if one.get("mark_key") is not None:
                found.append(one)
            left += one.values()
        elif isinstance(one, list):
            left += one
    # What says whether its mark was stale comes last, and holds where two name the same one.
    return sorted(found, key=lambda one: "stale" in one)


async def check_rows(log: Log, settings: Settings, *, on_record: Callable[[LogRecord], None]) -> RowReport:
    """Make every current row of ``valuations`` anew from what it names.

    Args:
        log: Where the topics are.
        settings: Have the deployments.
        on_record: Is told each record that was read.

    Raises:
        ReplayError: The log cannot be read, or lacks first records of a raw topic.
    """
    report = RowReport()
    bodies = await _current_rows(log, changelog_name(settings, VALUATIONS), report, on_record)
    by_deployment: defaultdict[str, dict[bytes, dict[str, Any]]] = defaultdict(dict)
    for key, body in bodies.items():
        by_deployment[split_key(key)[0]][key] = body
    for name, rows in sorted(by_deployment.items()):
        if name not in settings.deployments:
            report.not_comparable["of a deployment that is not configured"] += len(rows)
            continue
        fold = RawFold(settings, name, rows)
        comparable = {key: body for key, body in rows.items() if _is_comparable(fold, body, report)}
        if comparable:
            await _check_deployment(log, settings, name, comparable, report=report, on_record=on_record)
    return report


async def _current_rows(
    log: Log, topic: str, report: RowReport, on_record: Callable[[LogRecord], None]
) -> dict[bytes, dict[str, Any]]:
    newest: dict[bytes, bytes] = {}
    async for record in read_merged(log, await resolve_times(log, [topic], None, None)):
        on_record(record)
        key = record.key or b""
        if record.value is None:
            newest.pop(key, None)
        elif key not in newest or row_order(record.value) >= row_order(newest[key]):
            newest[key] = record.value
    report.rows = len(newest)
    bodies = {}
    for key, value in newest.items():
        try:
            bodies[key] = decode_row(value).body
        except BadRow as error:
            report.differences.append(RowDifference(key.decode(errors="replace"), "row", repr(value[:60]), str(error)))
    return bodies


def _is_comparable(fold: RawFold, body: Mapping[str, Any], report: RowReport) -> bool:
    made = body.get(MADE_FROM)
    if made is None:
        why = "of a version that named no inputs"
    elif made["venue"] != f"{fold.venue.kind}/{fold.venue.figures_version}":
        why = f"of version {made['venue']} of the venue's figures"
    elif made["settings"] != fold.deployment.settings:
        why = f"of settings {made['settings']}"
    else:
        return True
    report.not_comparable[why] += 1
    return False


async def _check_deployment(
    log: Log, settings: Settings, name: str, rows: Mapping[bytes, dict[str, Any]], *, report: RowReport,
    on_record: Callable[[LogRecord], None],
) -> None:  # fmt: skip
    fold = RawFold(settings, name, rows)
    price_ticks = topic_name(settings, PRICE_TICKS)
    ticks = _Places(price_ticks, len(await log.held([price_ticks])))
    wanted: defaultdict[Place, set[int]] = defaultdict(set)
    for body in rows.values():
        for one in named_marks(body):
            wanted[ticks.of(one["mark_key"].encode())].add(one["mark_offset"])
    references = fold.venue.references
    said = _Places("" if references is None else topic_name(settings, references.name), 0)
    for body in rows.values():
        for partition, offset in body[MADE_FROM].get("references", {}).values():
            wanted[Place(said.topic, partition)].add(offset)
    read = await _read_offsets(log, wanted, on_record)
    held = await held_from_the_first(log, fold.topic)
    for number, keys in fold.partitions(held).items():
        some = {key: rows[key] for key in keys if key in rows}
        compared = _Comparing(RawFold(settings, name, some), some, read, (ticks, said), report)
        end = min(max(body["position"][0] for body in some.values()) + 1, held[Place(fold.topic, number)].end)
        async for record in read_merged(log, {Place(fold.topic, number): Span(0, end)}):
            on_record(record)
            compared.take(record)
        compared.finish()


class _Comparing:
    """Folds one partition, and compares each row when its account is where the row says that it was."""

    def __init__(
        self,
        fold: RawFold,
        rows: Mapping[bytes, dict[str, Any]],
        read: Offsets,
        places: tuple[_Places, _Places],
        report: RowReport,
    ) -> None:
        self._fold, self._read, self._places, self._report = fold, read, places, report
        self._rows = rows
        self._waiting: defaultdict[int, list[bytes]] = defaultdict(list)
        for key, body in rows.items():
            self._waiting[body["position"][0]].append(key)

    def take(self, record: LogRecord) -> None:
        """Fold a record, and compare the rows that name it."""
        self._fold.take(record)
        for key in self._waiting.pop(record.offset, ()):
            self._compare(key, self._rows[key])

    def finish(self) -> None:
        """Say of the rows that name a record which there is none of."""
        for keys in self._waiting.values():
            for key in keys:
                self._differs(key, "position", self._rows[key]["position"], None)

    def _compare(self, key: bytes, body: dict[str, Any]) -> None:
        value = self._fold.engine.tables.read(ACCOUNTS, key)
        held = None if value is None else self._fold.venue.read_held(value)
        if held is None or list(held.applied) != body["position"]:
            if held is not None and held.applied[0] == body["position"][0]:
                self._report.not_comparable["of an account in the middle of a raw record"] += 1
            else:
                self._differs(key, "position", body["position"], None if held is None else held.applied)
            return
        named = _Named(body, self._fold, self._read, *self._places)
        unsupported = body["status"] == UNSUPPORTED
        try:
            again = self._fold.venue.value(held, body["account_order"][0], named, unsupported=unsupported).body
        except _Unnamed as unnamed:
            self._report.not_comparable[str(unnamed)] += 1
            return
        except (BadRecord, KeyError) as error:
            self._differs(key, "inputs", body[MADE_FROM], repr(error))
            return
        made_again = orjson.loads(orjson.dumps(again))
        names = [name for name in {**body, **made_again} if name not in _NOT_OF_INPUTS]
        differing = [name for name in names if body.get(name) != made_again.get(name)]
        for name in differing:
            self._differs(key, name, body.get(name), made_again.get(name))
        if not differing:
            self._report.same += 1

    def _differs(self, key: bytes, name: str, ours: object, again: object) -> None:
        texts = (orjson.dumps(one).decode() for one in (ours, again))
        self._report.differences.append(RowDifference(key.decode(), name, *texts))


async def _read_offsets(log: Log, wanted: Mapping[Place, set[int]], on_record: Callable[[LogRecord], None]) -> Offsets:
    """Read the records at these offsets; those that are not held any more are left out."""
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


def _mark(record: LogRecord) -> Mark:
    return mark_of(decode_tick(record.value or b""), record.offset)
