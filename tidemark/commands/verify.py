"""``tidemark verify``: whether the rows that are served follow from the log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tidemark.log_source import log_options
from tidemark.replay_window import refuse

if TYPE_CHECKING:
    from streams.replay.bounded_log import Log
    from streams.replay.row_check import RowReport
    from streams.settings import Settings
    from tidemark.log_source import LogSource

_EXIT_DIFFERS = 1
_EXIT_NOT_RUN = 2


@click.command
@log_options
@click.option(
    "--max-age",
    "max_age_s",
    type=click.IntRange(min=0),
    metavar="S",
    help="For how long a row may be out of date; by default twice worker.unwatched_max_age_s, at least 10.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--dry-run", is_flag=True, help="Only print up to which offsets topics would be read.")
def verify(*, source: LogSource, max_age_s: int | None, as_json: bool, dry_run: bool) -> None:
    """Hold every current row of valuations against the log: make it anew from what it names, and compare.

    A row names its account's last record, the ticks of its marks, its references, and the version and settings it was
    made under. Accounts are folded from the first raw record up to a cut of the log, which is printed; of ticks those
    that are named are read, and the newest. A SYMMIO row that is the same is valued a second time, by code of its own.
    A mark that a row calls fresh must not have been too old then, and no row may be out of date for longer than
    --max-age. A row that cannot be read is a difference "unreadable", and is named with its record. Rows that another
    version of the venue's figures made, or other settings, are counted as not comparable, with the reason; so are rows
    whose ticks retention has deleted.

    \b
    Exit codes:
        0  every row that can be compared is the same
        1  rows differ, and are printed field by field
        2  it could not run: no row can be compared, or records, topics or Kafka are missing, or the reading broke off
    \b
        tidemark verify
        tidemark verify --json | jq .not_comparable
    """  # noqa: D301 - click wants its \b as it is
    from models.errors import TidemarkError
    from streams.process.clock import SystemClock
    from streams.replay.row_check import check_rows
    from tidemark.local_stack import settings_here
    from tidemark.replay.checking import checking
    from tidemark.replay_window import open_log, run_reading

    settings, clock = settings_here(), SystemClock()
    log = open_log(settings, source, clock)
    read = [0]

    def count(_: object) -> None:
        read[0] += 1

    async def checked() -> RowReport | None:
        if dry_run:
            await _print_cut(log, settings)
            return None
        return await check_rows(checking(log, settings, clock, max_age_s, count))

    try:
        report = run_reading(settings, source, checked)
    except TidemarkError as error:
        refuse(error)
        raise SystemExit(_EXIT_NOT_RUN) from error
    if report is None:
        return
    click.echo(f"{read[0]} records read", err=True)
    _print(report, as_json=as_json)
    if report.differences:
        raise SystemExit(_EXIT_DIFFERS)
    if not report.compared:
        refuse(TidemarkError("expected rows that can be compared, found none"))
        raise SystemExit(_EXIT_NOT_RUN)


async def _print_cut(log: Log, settings: Settings) -> None:
    from models.engine.tables import VALUATIONS
    from streams.kafka.topics import PRICE_TICKS, changelog_name, topic_name
    from streams.replay.cut import cut_of, write_cut
    from streams.replay.raw_fold import RawFold

    raw = {RawFold(settings, name, ()).topic for name in settings.deployments}
    topics = [changelog_name(settings, VALUATIONS), *sorted(raw), topic_name(settings, PRICE_TICKS)]
    cut = await cut_of(log, topics)
    click.echo(f"cut: {write_cut({place: one.end for place, one in cut.held.items()})}", err=True)


def _print(report: RowReport, *, as_json: bool) -> None:
    from streams.replay.cut import write_cut
    from streams.replay.row_check import UNREADABLE

    if as_json:
        said = {
            "rows": report.rows,
            "same": report.same,
            "valued_twice": report.twice,
            "differences": [one._asdict() for one in report.differences],
            "not_comparable": dict(report.not_comparable),
            "cut": write_cut(report.cut),
        }
        click.echo(json.dumps(said))
        return
    click.echo(f"cut: {write_cut(report.cut)}", err=True)
    for key, name, ours, again in report.differences:
        found = f"{ours} {again}" if name == UNREADABLE else f"row={ours} recomputed={again}"
        click.echo(f"{key} {name}: {found}")
    for why, count in sorted(report.not_comparable.items()):
        click.echo(f"not comparable: {count} rows: {why}")
    differing = len({one.key for one in report.differences})
    click.echo(
        f"{report.rows} rows: {report.same} are the same, {report.twice} of these valued twice, {differing} differ, "
        f"{report.not_comparable.total()} not comparable"
    )
