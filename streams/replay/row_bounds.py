"""Whether rows of valuations kept their bounds: how old a mark may be that is called fresh, and a row out of date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.account_events import Progress
from models.errors import BadRecord, BadRow
from models.instants import rfc3339
from models.provenance import MADE_FROM, named_marks
from models.valuations import UNPRICED, VALUED
from streams.replay.marks_at import fold_marks, mark_keys
from streams.replay.row_inputs import read_offsets_of, tick_mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from models.chain_records import LogOffset
    from models.venue import Positioned
    from streams.replay.bounded_log import Log, LogRecord, Place
    from streams.replay.raw_fold import RawFold
    from streams.replay.row_inputs import Offsets, Places

    OnRecord = Callable[[LogRecord], None]


class RowBounds:
    """Checks the rows of one partition whose accounts are being folded.

    Args:
        name: Their deployment.
        rows: The rows' bodies, by key.
        inputs: The ticks that they name, and where ticks stand.
        differs: Is told of a row's key, what is wrong, what the row says, and what it should say.
    """

    def __init__(
        self,
        name: str,
        rows: Mapping[bytes, Mapping[str, Any]],
        inputs: tuple[Offsets, Places],
        differs: Callable[[bytes, str, object, object], None],
    ) -> None:
        self._name = name
        self._rows = dict(rows)
        self._read, self._ticks = inputs
        self._differs = differs
        self._now_ms = 0
        # When an account was first changed after what its row names.
        self._changed_ms: dict[bytes, int] = {}

    def begin(self, record: LogRecord) -> None:
        """A raw record is about to be folded."""
        self._now_ms = record.time_ms

    def note(self, key: bytes, record: Positioned) -> None:
        """A record was folded into an account, or into all of them."""
        body = self._rows.get(key)
        if body is None or isinstance(record, Progress) or key in self._changed_ms:
            return
        if list(record.position) > body["position"]:
            self._changed_ms[key] = self._now_ms

    def forget(self, key: bytes) -> None:
        """Leave a row out: it names no state of its account, so that nothing can be said of its age."""
        self._rows.pop(key, None)

    async def check(self, log: Log, place: Place, fold: RawFold, *, due_ms: int, on_record: OnRecord) -> None:
        """Check all rows, of which the accounts are folded up to the cut.

        Args:
            log: Where records and marks stand.
            place: The raw topic's partition that was folded.
            fold: The accounts, and the references.
            due_ms: What stood at this instant, Unix ms, has to be in the rows by the cut.
            on_record: Is told each record that was read.
        """
        engine = fold.engine
        engine.choose(due_ms)
        for key, body in self._rows.items():
            for ours, allowed in self._too_old(fold, body):
                self._differs(key, "stale", ours, allowed)
        behind = await self._behind(log, place, fold, due_ms=due_ms, on_record=on_record)
        for key, said in behind.items():
            self._differs(key, "out of date", self._rows[key]["position"], said)
        keys = mark_keys(engine)
        await fold_marks(log, self._ticks.topic, engine, keys, at_ms=due_ms, on_record=on_record)
        engine.choose(due_ms)
        for key, body in self._rows.items():
            is_due = body[MADE_FROM]["at_ms"] < due_ms and body["status"] in {VALUED, UNPRICED}
            if is_due and key not in behind:
                for ours, newest in self._outdated(fold, body):
                    self._differs(key, "out of date", ours, newest)

    async def _behind(
        self, log: Log, place: Place, fold: RawFold, *, due_ms: int, on_record: OnRecord
    ) -> dict[bytes, object]:
        """The rows whose account has been another for too long, and since when."""
        applied: dict[bytes, LogOffset] = {}
        for key, body in self._rows.items():
            try:
                held = fold.held_account(key)
            except BadRow:
                # Of an account of which its venue can make nothing, that has been said.
                continue
            if held is not None and list(held.applied) > body["position"]:
                applied[key] = held.applied
        # What changed all accounts at once, such as a rollback, is found where the account says that it was.
        unknown = {offset for key, (offset, _) in applied.items() if key not in self._changed_ms}
        read = (await read_offsets_of(log, {place: unknown}, on_record))[place] if unknown else {}
        behind: dict[bytes, object] = {}
        for key, (offset, _) in applied.items():
            since_ms = self._changed_ms.get(key) or (read[offset].time_ms if offset in read else due_ms + 1)
            if since_ms <= due_ms:
                behind[key] = {"position": list(applied[key]), "since": rfc3339(since_ms)}
        return behind

    def _too_old(self, fold: RawFold, body: Mapping[str, Any]) -> Iterator[tuple[object, object]]:
        """The marks that a row calls fresh, and that were older than their source allows, or came too late."""
        at_ms = body[MADE_FROM]["at_ms"]
        for one in named_marks(body):
            key = one["mark_key"].encode()
            record = self._read.get(self._ticks.of(key), {}).get(one["mark_offset"])
            if record is None or one.get("stale", True):
                continue
            try:
                mark = tick_mark(record)
            except BadRecord:
                # What the row names is no mark: that it differs has been said.
                continue
            board = fold.engine.board
            sources = [source for market in board.priced_by((key,)) for source in board.sources_of(market)]
            allowed_ms = max((source.max_age_ms for source in sources if source.key == key), default=None)
            age_ms = at_ms - mark.received_ms
            if allowed_ms is not None and (age_ms > allowed_ms or mark.is_late):
                said = {"mark_key": one["mark_key"], "mark_offset": one["mark_offset"], "stale": False}
                yield said, {"age_ms": age_ms, "max_age_ms": allowed_ms, "is_late": mark.is_late}

    def _outdated(self, fold: RawFold, body: Mapping[str, Any]) -> Iterator[tuple[object, object]]:
        """The marks of a row in whose place another price stood for too long."""
        conversions = body.get("conversions", {})
        for market, one in [*((one["symbol"], one) for one in body["positions"]), *conversions.items()]:
            used = fold.engine.board.used(self._name, market)
            if used is None or one["mark"] == str(used.mark_e18):
                continue
            ours = {name: one[name] for name in ("mark_key", "mark_offset", "mark")}
            yield ours, {"mark_key": used.key, "mark_offset": used.offset, "mark": str(used.mark_e18)}
