"""``tidemark verify``: whether the rows that are served follow from the log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tidemark.captured_option import captured_option
from tidemark.replay_window import refuse

if TYPE_CHECKING:
    from pathlib import Path

    from streams.replay.row_check import RowReport

_EXIT_DIFFERS = 1
_EXIT_NOT_RUN = 2


@click.command
@captured_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(*, captured: Path | None, as_json: bool) -> None:
    """Make every current row of valuations anew from what it names, and compare.

    A row names its account's last record, the ticks of its marks, its references, and the version and settings it was
    made under. Accounts are folded from the first raw record on, and only the ticks that are named are read. Rows that
    another version of the venue's figures made, or other settings, are counted as not comparable, with the reason;
    so are rows whose ticks retention has deleted.

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
    from tidemark.replay_window import open_log, run_reading

    settings = settings_here()
    log = open_log(settings, captured, SystemClock())
    read = [0]

    async def checked() -> RowReport:
        def count(_: object) -> None:
            read[0] += 1

        return await check_rows(log, settings, on_record=count)

    try:
        report = run_reading(settings, captured, checked)
    except TidemarkError as error:
        refuse(error)
        raise SystemExit(_EXIT_NOT_RUN) from error
    click.echo(f"{read[0]} records read", err=True)
    _print(report, as_json=as_json)
    if report.differences:
        raise SystemExit(_EXIT_DIFFERS)
    if not report.compared:
        refuse(TidemarkError("expected rows that can be compared, found none"))
        raise SystemExit(_EXIT_NOT_RUN)


def _print(report: RowReport, *, as_json: bool) -> None:
    if as_json:
        said = {
            "rows": report.rows,
            "same": report.same,
            "differences": [one._asdict() for one in report.differences],
            "not_comparable": dict(report.not_comparable),
        }
        click.echo(json.dumps(said))
        return
    for key, name, ours, again in report.differences:
        click.echo(f"{key} {name}: row={ours} recomputed={again}")
    for why, count in sorted(report.not_comparable.items()):
        click.echo(f"not comparable: {count} rows: {why}")
    differing = len({one.key for one in report.differences})
    click.echo(
        f"{report.rows} rows: {report.same} are the same, {differing} differ, "
        f"{report.not_comparable.total()} not comparable"
    )
