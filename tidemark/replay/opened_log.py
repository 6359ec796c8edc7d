"""A log that is open for questions, from Python."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

from streams.kafka.topics import PRICE_TICKS, SERVED
from streams.process.clock import SystemClock
from streams.replay.account_at import At
from streams.replay.bounded_log import BadWindow
from streams.replay.checkpoints import found_in
from streams.replay.explained import explain_account
from streams.replay.export_kinds import SCHEMAS
from streams.replay.exported_rows import TEXT, TIME_NS, WHOLE, Schema
from streams.replay.log_window import read_past, write_offsets
from streams.replay.named_topics import changelogs
from streams.replay.named_window import chosen_records, resolve_window
from streams.replay.row_check import check_rows
from streams.replay.row_reading import RowReading
from streams.replay.shown_records import record_cells
from streams.replay.what_if_at import read_scenario, what_if_at
from streams.settings import load_settings
from tidemark import replay_window
from tidemark.account_then import account_then
from tidemark.log_source import LogSource
from tidemark.replay import answers
from tidemark.replay.apart import read_apart
from tidemark.replay.checking import checking
from tidemark.replay.tables import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from pathlib import Path

    from streams.process.clock import Clock
    from streams.replay.bounded_log import Log, LogRecord
    from streams.replay.checkpoints import Checkpoints
    from streams.replay.exported_rows import Row
    from streams.settings import Settings

T = TypeVar("T")

LIMIT = 100_000
"""So many rows are read into memory, if nothing else is said."""
_NS_IN_MS = 1_000_000
_RECORDS = {
    "time": TIME_NS, "topic": TEXT, "partition": WHOLE, "offset": WHOLE, "key": TEXT, "term": WHOLE, "version": WHOLE,
    "value": TEXT,
}  # fmt: skip


def open_log(
    log: str | Path | None = None, *, archive: str | None = None, settings: Settings | None = None,
    checkpoints: Path | None = None,
) -> OpenedLog:  # fmt: skip
    """Open a log for questions; nothing is read before one is asked.

    Args:
        log: A capture or an archive that is read in place of Kafka.
        archive: An archive that is read for what Kafka does not hold any more.
        settings: Have the deployments, and name topics and Kafka; by default those of the configuration, as for the
            commands.
        checkpoints: A directory of checkpoints, to begin at the newest that is of use.

    Raises:
        ReplayError: There is no such capture or archive.
        BadSettings: What is configured cannot be read, or Kafka is needed and not configured.
    """
    own, clock = load_settings() if settings is None else settings, SystemClock()
    source = LogSource(None if log is None else str(log), archive)
    return OpenedLog(replay_window.open_log(own, source, clock), own, source, clock, checkpoints)


class OpenedLog:
    """Answers questions. Each of them is read for anew; a log may have grown meanwhile.

    Instants are given as to the commands: ``2026-11-20T10:30:00Z``, ``-15m`` (s, m, h or d), ``now``. Every method may
    raise ``ReplayError``, whose message says what would do; Ctrl-C ends a reading at its next record.

    Args:
        log: The log.
        settings: Have the deployments.
        source: Where it is.
        clock: Tells the instant now.
        checkpoints: A directory of checkpoints.
    """

    def __init__(
        self, log: Log, settings: Settings, source: LogSource, clock: Clock, checkpoints: Path | None = None
    ) -> None:
        self._log = log
        self._settings = settings
        self._source = source
        self._clock = clock
        self._checkpoints = checkpoints

    def records(
        self, *topics: str, since: str | None = None, until: str | None = None, offsets: str | None = None,
        keys: Sequence[str] = (), limit: int = LIMIT,
    ) -> Table:  # fmt: skip
        """What stands in topics within a window, as ``tidemark records``: ``value`` is JSON as it was written.

        Args:
            topics: Names of topics or of tables.
            since: The beginning of the window.
            until: Its end; by default now.
            offsets: The window as offsets, in place of topics and times.
            keys: Only these; ``NAME*`` for all that begin so.
            limit: At most so many.
        """
        of_rows = changelogs(self._settings)

        def read(record: LogRecord) -> Sequence[Row]:
            return (record_cells(record, of_rows),)

        schema = Schema("records", 1, _RECORDS, read)
        return self._read(schema, topics, (since, until, offsets), keys, limit)

    def prices(
        self, *, since: str | None = None, until: str | None = None, offsets: str | None = None,
        keys: Sequence[str] = (), limit: int = LIMIT,
    ) -> Table:  # fmt: skip
        """What sources said, in the columns of ``tidemark export prices``; arguments are those of ``records``."""
        topics = () if offsets is not None else (PRICE_TICKS,)
        return self._read(SCHEMAS["prices"], topics, (since, until, offsets), keys, limit)

    def valuations(
        self, *, since: str | None = None, until: str | None = None, offsets: str | None = None,
        keys: Sequence[str] = (), limit: int = LIMIT,
    ) -> Table:  # fmt: skip
        """Rows that were shown, in the columns of ``tidemark export valuations``; arguments as of ``records``."""
        topics = () if offsets is not None else (SERVED,)
        return self._read(SCHEMAS["valuations"], topics, (since, until, offsets), keys, limit)

    def asof(
        self, deployment: str, account: str, *, time: str | None = None, block: int | None = None,
        offset: int | None = None, served: bool = False,
    ) -> answers.AccountAnswer:  # fmt: skip
        """An account as of an instant, a block or an offset, as ``tidemark asof``: one of the three is given.

        Args:
            deployment: Its deployment.
            account: The account.
            time: The instant.
            block: The block.
            offset: The offset in its partition of the raw topic.
            served: Whether to find what was shown and calculated then, too.
        """
        if [time, block, offset].count(None) != 2:  # noqa: PLR2004 - one of three is given
            msg = "expected one of time, block and offset"
            raise BadWindow(msg)
        for name, number in (("block", block), ("offset", offset)):
            _expect_at_least(0, name, number)
        at = At(None if time is None else self._instant(time), block, offset)

        async def found_then(on_record: Callable[[object], None]) -> answers.AccountAnswer:
            then = await account_then(
                self._log, self._settings, deployment, account, at, is_served=served,
                checkpoints=await self._found(), on_record=on_record,
            )  # fmt: skip
            return answers.AccountAnswer(*then)

        return self._run(found_then)

    def explain(self, deployment: str, account: str, *, since: str, until: str = "now") -> answers.Explanation:
        """Why an account's uPnL is another than before, event by event, as ``tidemark explain``.

        Args:
            deployment: Its deployment.
            account: The account.
            since: The first instant.
            until: The second one.
        """
        since_ms, until_ms = self._instant(since), self._instant(until)
        rows: list[Row] = []

        async def explained(on_record: Callable[[object], None]) -> answers.Explanation:
            found = await explain_account(
                self._log, self._settings, deployment, account, since_ms=since_ms, until_ms=until_ms,
                on_term=lambda term: rows.append(answers.term_row(term)), on_record=on_record,
                checkpoints=await self._found(),
            )  # fmt: skip
            return answers.Explanation(found, Table(answers.TERMS, rows, write_offsets(found.vector)))

        return self._run(explained)

    def whatif(
        self, deployment: str, *, shocks: Mapping[str, str] | None = None, marks: Mapping[str, str] | None = None,
        funding: str | None = None, time: str = "now",
    ) -> answers.Scenario:  # fmt: skip
        """What would become of all accounts if marks or funding were others, as ``tidemark whatif``.

        Args:
            deployment: The deployment.
            shocks: By market, by how much its marks move, such as ``{"BTC": "-30%"}``.
            marks: By market, what its marks become, such as ``{"BTC": "25000"}``.
            funding: Which part of their opened price positions pay, such as ``0.1%``.
            time: As of when.
        """
        scenario, at_ms = read_scenario((shocks or {}).items(), (marks or {}).items(), funding), self._instant(time)

        async def worked_out(on_record: Callable[[object], None]) -> answers.Scenario:
            found = await what_if_at(
                self._log, self._settings, deployment, scenario, at_ms=at_ms, on_record=on_record,
                checkpoints=await self._found(),
            )  # fmt: skip
            return answers.Scenario(found, Table(answers.ACCOUNTS, answers.scenario_rows(found)))

        return self._run(worked_out)

    def verify(self, *, max_age_s: int | None = None) -> answers.Verification:
        """Whether the rows that are served follow from the log, as ``tidemark verify``.

        Args:
            max_age_s: For how long a row may be out of date, in s; by default as the command has it.
        """
        _expect_at_least(0, "max_age_s", max_age_s)

        async def checked(on_record: Callable[[object], None]) -> answers.Verification:
            report = await check_rows(checking(self._log, self._settings, self._clock, max_age_s, on_record))
            return answers.Verification(report, Table(answers.DIFFERENCES, report.differences))

        return self._run(checked)

    def _read(
        self, schema: Schema, topics: Sequence[str], given: tuple[str | None, str | None, str | None],
        keys: Sequence[str], limit: int,
    ) -> Table:  # fmt: skip
        since, until, offsets = given
        _expect_at_least(1, "limit", limit)

        async def read(on_record: Callable[[object], None]) -> Table:
            window = await resolve_window(
                self._log, self._settings, topics, since=since, until=until, offsets=offsets,
                now_ms=self._clock.now_ms(),
            )  # fmt: skip
            rows: list[Row] = []
            rows_read = RowReading(schema)
            async with aclosing(chosen_records(self._log, window, keys, on_record)) as chosen:
                async for record in chosen:
                    rows += rows_read.rows_of(record)
                    # Whether there are more than are wanted is known only by one more.
                    if len(rows) > limit:
                        break
            cut = f"The first {limit}. " if len(rows) > limit else ""
            unreadable = rows_read.unreadable
            missing = f"{unreadable.count} records could not be read. " if unreadable.count else ""
            return Table(
                schema, rows[:limit], f"{cut}{missing}{write_offsets(window.vector)}",
                unreadable=unreadable.count, unreadable_records=tuple(unreadable.named),
            )  # fmt: skip

        return self._run(read)

    def _instant(self, text: str) -> int:
        return read_past(text, self._clock.now_ms())

    async def _found(self) -> Checkpoints | None:
        return await found_in(self._checkpoints, self._log)

    def _run(self, reading: Callable[[Callable[[object], None]], Coroutine[None, None, T]]) -> T:
        return read_apart(lambda guarded: replay_window.run_reading(self._settings, self._source, guarded), reading)


def _expect_at_least(least: int, name: str, number: int | None) -> None:
    if number is not None and number < least:
        msg = f"expected {name} to be {least} or more, found {number}"
        raise BadWindow(msg)
