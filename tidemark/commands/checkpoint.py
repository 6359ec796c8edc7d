"""``tidemark checkpoint``: what raw records come to, in a file, so that replay need not begin at the first one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tidemark.log_source import log_options
from tidemark.replay_window import EXIT_NOTHING, ending_by_code

if TYPE_CHECKING:
    from streams.replay.checkpoints import Head
    from tidemark.log_source import LogSource


@click.group
def checkpoint() -> None:
    """Make and list checkpoints, at which `asof`, `explain` and `whatif` begin when they are given --checkpoints DIR.

    A checkpoint holds for the version of Tidemark and the settings of the deployment that made it; others pass it over.
    """


@checkpoint.command
@click.argument("deployment")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, metavar="DIR", help="Where to.")
@click.option("--time", "time_text", metavar="TIME", default="now", help="As of 2026-11-20T10:30:00Z, -15m, or now.")
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Then remove all of DEPLOYMENT but the newest N.")
@log_options
@click.option("--json", "as_json", is_flag=True, help="Print what it holds as one JSON object.")
@click.option("--dry-run", is_flag=True, help="Only print which offsets would be folded.")
@ending_by_code
def create(
    *, deployment: str, out: Path, time_text: str, keep: int | None, source: LogSource, as_json: bool, dry_run: bool
) -> None:
    """Fold every account of DEPLOYMENT up to an instant, and write that to a file in DIR.

    It begins at the newest checkpoint in DIR itself. The file is there only when it is whole.

    \b
    Exit codes:
        0  it is there
        1  there is no record by then, and nothing was written
        2  nothing was written: there is one already, first records are gone, the instant is to come, DIR cannot be
           written, or deployment, topic or Kafka is missing
        3  it broke off: the log changed, or the broker stopped, and nothing is left of it
    \b
        tidemark checkpoint create demo --out checkpoints/ --time 2026-11-20T00:00:00Z
        tidemark checkpoint create demo --out checkpoints/ --keep 7
    """  # noqa: D301 - click wants its \b as it is
    from streams.process.clock import SystemClock
    from streams.replay.accounts_at import fold_accounts_at, raw_vector
    from streams.replay.checkpoints import found_in
    from streams.replay.log_window import read_past, write_offsets
    from tidemark.local_stack import settings_here
    from tidemark.replay_progress import Progress
    from tidemark.replay_window import open_log, run_reading

    settings, clock = settings_here(), SystemClock()
    at_ms = read_past(time_text, clock.now_ms())
    log = open_log(settings, source, clock)

    async def written() -> tuple[Path, Head] | None:
        vector = await raw_vector(log, settings, deployment, at_ms)
        click.echo(f"window: {write_offsets(vector) or 'none'}", err=True)
        if not any(span.end for span in vector.values()):
            click.echo(f"no record of {deployment} by then", err=True)
            raise SystemExit(EXIT_NOTHING)
        if dry_run:
            return None
        checkpoints, progress = await found_in(out, log), Progress(vector, clock)
        assert checkpoints is not None  # noqa: S101 - a directory was given
        begun = await fold_accounts_at(
            log, settings, deployment, at_ms, on_record=progress.take, checkpoints=checkpoints
        )
        progress.finish()
        made = checkpoints.write(begun.fold, {place: span.end for place, span in vector.items()}, at_ms)
        if keep is not None:
            for path in checkpoints.keep(deployment, keep):
                click.echo(f"removed: {path}", err=True)
        return made

    made = run_reading(settings, source, written)
    if made is not None:
        _print(*made, as_json=as_json)


@checkpoint.command("list")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(*, directory: Path, as_json: bool) -> None:
    """List the checkpoints in DIR."""
    from streams.process.version import version_text
    from streams.replay.checkpoints import Checkpoints

    for path, head in Checkpoints(directory, version_text()).list():
        _print(path, head, as_json=as_json)


def _print(path: Path, head: Head, *, as_json: bool) -> None:
    from models.instants import rfc3339

    ends = {str(number): end for number, end in sorted(head.ends.items())}
    said = {
        "path": str(path), "deployment": head.deployment, "time": rfc3339(head.time_ms), "topic": head.topic,
        "ends": ends, "rows": head.rows, "cluster": head.cluster, "code": head.code, "sha256": head.sha256,
    }  # fmt: skip
    if as_json:
        click.echo(json.dumps(said))
        return
    offsets = ",".join(f"{head.topic}:{number}:{end}" for number, end in ends.items())
    click.echo(f"{path}: {head.deployment} as of {said['time']}, {head.rows} rows, up to {offsets}")
