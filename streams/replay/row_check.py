"""Rows of valuations held against the log at a cut of it: each follows from what it names, and none is too old.

A row names its account by the log offset of the last record folded, its marks by key and offset, its references, and
under which version of the venue's figures and which settings it was made (models/provenance.py). The accounts are
folded up to the cut; of ``price-ticks`` only what is named is read, and the newest marks.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from models.codec import decode_row, row_order
from models.engine.tables import VALUATIONS
from models.errors import BadRecord, BadRow
from models.ids import split_key
from models.provenance import MADE_FROM, NOT_OF_INPUTS, named_marks
from models.row_keys import expect_key
from models.valuations import NOWHERE, SUSPECT, UNSUPPORTED
from streams.kafka.topics import PRICE_TICKS, changelog_name, topic_name
from streams.replay.account_at import fold_references
from streams.replay.bounded_log import Place, Span
from streams.replay.checked_columns import expect_columns, version_of
from streams.replay.cut import Cut, cut_of
from streams.replay.merging import read_merged
from streams.replay.raw_fold import RawFold, expect_first
from streams.replay.row_bounds import RowBounds
from streams.replay.row_inputs import NamedInputs, Places, Unnamed, read_offsets_of

if TYPE_CHECKING:
    from models.chain_records import LogOffset
    from models.errors import TidemarkError
    from models.venue import Held
    from streams.replay.bounded_log import Log, LogRecord
    from streams.replay.row_inputs import Offsets
    from streams.settings import Settings

SecondValuation = Callable[[Mapping[str, Any], Callable[[str, int], bytes]], Mapping[str, Any]]
"""Values a row again by code of its own: of the body, and the tick of a mark's key and offset, the columns.

A column ``positions.NAME`` is what each position should have, in their order.
"""


UNREADABLE = "unreadable"
"""The difference of a row that cannot be read: ``ours`` says where it stands, ``again`` the cause."""


class RowDifference(NamedTuple):
    """A field of a row that is another when it is made anew: ``ours`` in the row, ``again`` recomputed, both JSON.

    ``name`` is ``UNREADABLE`` of a row that cannot be read, or whose account cannot.
    """

    key: str
    name: str
    ours: str
    again: str


@dataclass(slots=True)
class RowReport:
    """What was found: how many ``rows`` there are and are ``same``, what differs, and why others are not comparable.

    ``twice`` is how many of the same ones a second valuation confirmed. ``cut`` is up to where the log was read.
    """

    rows: int = 0
    same: int = 0
    twice: int = 0
    differences: list[RowDifference] = field(default_factory=list)
    not_comparable: Counter[str] = field(default_factory=Counter)
    cut: dict[Place, int] = field(default_factory=dict)

    @property
    def compared(self) -> int:
        """How many rows were compared."""
        return self.rows - self.not_comparable.total()

    def differs(self, key: bytes, name: str, ours: object, again: object) -> None:
        """Note a difference.

        Args:
            key: The row's key.
            name: The field.
            ours: What it says in the row.
            again: What it should say.
        """
        texts = (orjson.dumps(one).decode() for one in (ours, again))
        self.differences.append(RowDifference(key.decode(errors="replace"), name, *texts))

    def cannot_read(self, record: LogRecord, cause: TidemarkError) -> None:
        """Note a row that cannot be read.

        Args:
            record: The record that it stands in.
            cause: Why it cannot be read.
        """
        place = f"{record.topic}:{record.partition}:{record.offset}"
        self.differs(record.key or b"", UNREADABLE, place, str(cause))


class Checking(NamedTuple):
    """How rows are checked.

    ``bound_ms``: for how long a row may be out of date. ``seconds`` value a second time, by the venue's kind.
    ``begun_ms`` is when the check began, Unix ms: rows are cut then, and need not say what was written while they were
    read and others were folded.
    """

    log: Log
    settings: Settings
    bound_ms: int
    seconds: Mapping[str, SecondValuation]
    on_record: Callable[[LogRecord], None]
    begun_ms: int | None = None


async def check_rows(checking: Checking) -> RowReport:
    """Hold every current row of ``valuations`` against the log.

    Raises:
        ReplayError: The log cannot be read, or lacks first records of a raw topic.
    """
    report, settings = RowReport(), checking.settings
    cut = await cut_of(checking.log, [changelog_name(settings, VALUATIONS)])
    by_deployment: defaultdict[str, dict[bytes, tuple[LogRecord, dict[str, Any]]]] = defaultdict(dict)
    for key, record in (await _current_rows(checking, cut, report)).items():
        try:
            expect_key(VALUATIONS, key)
            by_deployment[split_key(key)[0]][key] = record, decode_row(record.value or b"").body
        except (BadRecord, BadRow) as error:
            report.cannot_read(record, error)
    for name, rows in sorted(by_deployment.items()):
        if name not in settings.deployments:
            report.not_comparable["of a deployment that is not configured"] += len(rows)
            continue
        fold, comparable = RawFold(settings, name, rows), {}
        for key, (record, body) in rows.items():
            try:
                if _is_comparable(fold, body, report):
                    comparable[key] = body
            except BadRow as error:
                report.cannot_read(record, error)
        if comparable:
            await _check_deployment(checking, name, comparable, report, cut.time_ms)
    return report


async def _current_rows(checking: Checking, cut: Cut, report: RowReport) -> dict[bytes, LogRecord]:
    newest: dict[bytes, LogRecord] = {}
    report.cut |= {place: one.end for place, one in cut.held.items()}
    async for record in read_merged(checking.log, {place: Span(*one[:2]) for place, one in cut.held.items()}):
        checking.on_record(record)
        key = record.key or b""
        standing = newest.get(key)
        if record.value is None:
            newest.pop(key, None)
        elif standing is None or row_order(record.value) >= row_order(standing.value or b""):
            newest[key] = record
    report.rows = len(newest)
    return newest


def _is_comparable(fold: RawFold, body: Mapping[str, Any], report: RowReport) -> bool:
    """Whether a row can be made anew as it was; it raises ``BadRow`` where that cannot be read off the row."""
    made = version_of(body)
    if made is None:
        why = "of a version that named no inputs"
    elif made[0] != f"{fold.venue.kind}/{fold.venue.figures_version}":
        why = f"of version {made[0]} of the venue's figures"
    elif made[1] != fold.deployment.settings:
        why = f"of settings {made[1]}"
    else:
        expect_columns(body)
        return True
    report.not_comparable[why] += 1
    return False


async def _check_deployment(
    checking: Checking, name: str, rows: Mapping[bytes, dict[str, Any]], report: RowReport, rows_ms: int
) -> None:
    fold, log = RawFold(checking.settings, name, rows), checking.log
    prices, references = topic_name(checking.settings, PRICE_TICKS), fold.venue.references
    said = "" if references is None else topic_name(checking.settings, references.name)
    cut = await cut_of(log, [fold.topic, *((said,) if said else ()), prices])
    report.cut |= {place: one.end for place, one in cut.held.items()}
    places = Places(prices, len(cut.of(prices))), Places(said, 0)
    wanted: defaultdict[Place, set[int]] = defaultdict(set)
    for body in rows.values():
        for one in named_marks(body):
            wanted[places[0].of(one["mark_key"].encode())].add(one["mark_offset"])
        for partition, offset in body[MADE_FROM].get("references", {}).values():
            wanted[Place(said, partition)].add(offset)
    read = await read_offsets_of(log, wanted, checking.on_record)
    raw = {place: one for place, one in cut.held.items() if place.topic == fold.topic}
    expect_first(raw)
    newest_ms = max(cut.time_ms, rows_ms)
    if checking.begun_ms is not None:
        newest_ms = min(newest_ms, max(checking.begun_ms, rows_ms))
    due_ms = newest_ms - checking.bound_ms
    for number, keys in fold.partitions(raw).items():
        some = {key: rows[key] for key in keys if key in rows}
        place = Place(fold.topic, number)
        compared = _Comparing(checking, name, some, (read, *places), report)
        if said:
            await fold_references(log, said, compared.fold, name, cut.time_ms)
        async for record in read_merged(log, {place: cut.of(fold.topic)[place]}):
            checking.on_record(record)
            compared.take(record)
        await compared.finish(log, place, due_ms)


class _Comparing:
    """Folds one partition, and compares each row when its account is where the row says that it was.

    ``fold`` has the partition's accounts.
    """

    def __init__(
        self,
        checking: Checking,
        name: str,
        rows: Mapping[bytes, dict[str, Any]],
        inputs: tuple[Offsets, Places, Places],
        report: RowReport,
    ) -> None:
        self._bounds = RowBounds(name, rows, inputs[:2], report.differs)
        self.fold = RawFold(checking.settings, name, rows, on_folded=self._bounds.note)
        self._second = checking.seconds.get(self.fold.venue.kind)
        self._inputs, self._report = inputs, report
        self._on_record = checking.on_record
        self._rows = rows
        self._waiting: defaultdict[int, list[bytes]] = defaultdict(list)
        for key, body in rows.items():
            self._waiting[body["position"][0]].append(key)

    def take(self, record: LogRecord) -> None:
        """Fold a record, and compare the rows that name it."""
        self._bounds.begin(record)
        self.fold.take(record)
        for key in self._waiting.pop(record.offset, ()):
            self._compare(key, self._rows[key])

    async def finish(self, log: Log, place: Place, due_ms: int) -> None:
        """Say of the rows that name a record which there is none of; and, of all, which are too old.

        Args:
            log: Where the newest marks are.
            place: The raw topic's partition.
            due_ms: What stood at this instant, Unix ms, has to be in the rows.
        """
        for keys in self._waiting.values():
            for key in keys:
                body = self._rows[key]
                if body["status"] == SUSPECT and body["position"] == list(NOWHERE):
                    self._only_suspect_there(key)
                else:
                    self._no_such_position(key, None)
        await self._bounds.check(log, place, self.fold, due_ms=due_ms, on_record=self._on_record)

    def _compare(self, key: bytes, body: dict[str, Any]) -> None:
        named = NamedInputs(body, self.fold, *self._inputs)
        try:
            held = self.fold.held_account(key)
            if held is None or list(held.applied) != body["position"]:
                self._of_other_position(key, body, held)
                return
            unsupported = body["status"] == UNSUPPORTED
            again = self.fold.venue.value(held, body["account_order"][0], named, unsupported=unsupported).body
        except (Unnamed, BadRecord, BadRow, KeyError) as error:
            self._cannot_value(key, body, named.missing, error)
            return
        made_again = orjson.loads(orjson.dumps(again))
        if body["status"] == SUSPECT != made_again["status"]:
            self._only_suspect_there(key)
            return
        names = [name for name in {**body, **made_again} if name not in NOT_OF_INPUTS]
        differing = [name for name in names if body.get(name) != made_again.get(name)]
        for name in differing:
            self._report.differs(key, name, body.get(name), made_again.get(name))
        if not differing:
            self._report.same += 1
            self._value_again(key, body)

    def _of_other_position(self, key: bytes, body: Mapping[str, Any], held: Held | None) -> None:
        if held is not None and held.applied[0] == body["position"][0]:
            self._report.not_comparable["of an account in the middle of a raw record"] += 1
        else:
            self._no_such_position(key, None if held is None else held.applied)

    def _cannot_value(self, key: bytes, body: Mapping[str, Any], missing: str | None, error: Exception) -> None:
        if missing is not None:
            self._report.not_comparable[missing] += 1
        elif not isinstance(error, BadRow):
            self._report.differs(key, "inputs", body[MADE_FROM], repr(error))
        elif body["status"] == SUSPECT:
            # So a worker shows an account of which its venue can make nothing.
            self._report.not_comparable["of an account of which its venue can make nothing"] += 1
        else:
            self._report.differs(key, UNREADABLE, body["status"], str(error))

    def _only_suspect_there(self, key: bytes) -> None:
        """The worker shows no figures of an account that the log says whole, so none can be wrong, or too old."""
        self._report.not_comparable["of an account that is suspect since its worker could not read something"] += 1
        self._bounds.forget(key)

    def _no_such_position(self, key: bytes, applied: LogOffset | None) -> None:
        self._report.differs(key, "position", self._rows[key]["position"], applied)
        self._bounds.forget(key)

    def _value_again(self, key: bytes, body: dict[str, Any]) -> None:
        if self._second is None:
            return
        read, ticks, _ = self._inputs

        def tick(mark_key: str, offset: int) -> bytes:
            return read[ticks.of(mark_key.encode())][offset].value or b""

        again = self._second(body, tick)
        differing = [name for name, value in again.items() if _column(body, name) != value]
        for name in differing:
            self._report.differs(key, f"{name} (valued a second time)", _column(body, name), again[name])
        self._report.twice += not differing


def _column(body: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - JSON
    """A column, None where it is absent; ``positions.NAME`` for that of each position."""
    of, _, column = name.rpartition(".")
    return [one[column] for one in body[of]] if of else body.get(name)
