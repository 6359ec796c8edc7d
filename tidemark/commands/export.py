"""``tidemark export``: what was shown, prices, and records of other topics, as Parquet, Arrow or NDJSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from tidemark.replay_window import EXIT_NOTHING, ending_by_code, window_options

if TYPE_CHECKING:
    from streams.replay.bounded_log import Log
    from streams.replay.export_files import ExportManifest, ExportWriter
    from streams.replay.exported_rows import Schema
    from streams.replay.named_window import Window
    from tidemark.log_source import LogSource

_EXIT_DIFFERS = 1
_EXIT_UNREADABLE = 4
# So many unreadable records are printed; the manifest names more.
_PRINTED_MAX = 20


_SCHEMAS = (
    "valuations", "prices", "account-events", "alerts", "position-states", "quote-history", "fundings", "calculations",
)  # fmt: skip


@click.command
@click.argument("what", type=click.Choice(_SCHEMAS), required=False)
@window_options
@click.option("--key", "keys", multiple=True, help="Only records of this key; NAME* for all keys that begin so.")
@click.option("--format", "file_format", type=click.Choice(["parquet", "arrow", "ndjson"]), help="By default parquet.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="There must be nothing.",
)
@click.option(
    "--manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Export these rows once more."
)
@click.option("--json", "as_json", is_flag=True, help="Print the manifest.")
@click.option("--dry-run", is_flag=True, help="Only print which offsets the window comes to.")
@ending_by_code
def export(
    *, what: str | None, since: str | None, until: str | None, offsets: str | None, source: LogSource,
    keys: tuple[str, ...], file_format: str | None, out: Path, manifest: Path | None, as_json: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Write to FILE what was shown of accounts (valuations), what sources said (prices), or another topic's records.

    account-events are what was made of a chain for each account; alerts, position-states and quote-history rows of
    these tables, of which Kafka keeps the newest of each key; fundings and calculations what a replica of the api made
    figures of. Beside FILE stands FILE.manifest.json, which names the offsets, versions, the configuration, and digests
    of the rows and of the file. With --manifest instead of WHAT and a window, the same is written once more, and has to
    have these digests. Parquet and Arrow need pyarrow, which tidemark[analysis] brings; columns are in docs/replay.md.
    FILE is there only when it is whole. A record that cannot be read is left out, named on stderr and in the manifest.

    \b
    Exit codes:
        0  the export is there
        1  there is no row in the window, and nothing was written; or what was written is not what --manifest names
        2  nothing was written: no such window, topic or Kafka, something is at FILE, FILE cannot be
           written, or pyarrow is missing
        3  it broke off: the log changed, or the broker stopped, and nothing is left of it
        4  the export is there, but records could not be read: their rows are not in it
    \b
        tidemark export valuations --from -1d --out day.parquet
        tidemark export --manifest day.parquet.manifest.json --out again.parquet
    """  # noqa: D301 - click wants its \b as it is
    from streams.process.clock import SystemClock
    from streams.replay.export_files import ExportWriter, read_manifest
    from streams.replay.export_kinds import SCHEMAS, configuration_hash, topics_of
    from tidemark.local_stack import settings_here
    from tidemark.replay_window import find_window, open_log, run_reading

    before = None if manifest is None else read_manifest(manifest)
    if before is not None:
        what, file_format, offsets, keys = _once_more(before, what, file_format, (since, until, offsets))
    if what is None:
        msg = f"expected what to export, one of {', '.join(_SCHEMAS)}, or --manifest"
        raise click.UsageError(msg)
    settings, clock, schema = settings_here(), SystemClock(), SCHEMAS[what]
    log, topics = open_log(settings, source, clock), () if offsets is not None else topics_of(settings, what)
    configuration = configuration_hash(settings)

    async def written() -> ExportManifest | None:
        window = await find_window(
            log, settings, topics, since=since, until=until, offsets=offsets, now_ms=clock.now_ms()
        )
        if dry_run or not window.offsets:
            return None
        writer = ExportWriter(out, file_format or "parquet", schema)
        return await _write(log, window, schema, writer, (keys, configuration))

    made = run_reading(settings, source, written)
    if dry_run:
        return
    if made is None:
        click.echo("no row in the window", err=True)
        raise SystemExit(EXIT_NOTHING)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(made)))
    else:
        click.echo(f"{out}: {made.rows} rows, digest {made.sha256}")
    _name_unreadable(made)
    if before is not None:
        _expect_same(before, made)
    if made.unreadable:
        raise SystemExit(_EXIT_UNREADABLE)


def _once_more(
    before: ExportManifest, what: str | None, file_format: str | None, window: tuple[str | None, ...]
) -> tuple[str, str, str, tuple[str, ...]]:
    """What a manifest says to export: schema, format, offsets and keys."""
    from streams.replay.export_kinds import SCHEMAS

    schema = SCHEMAS.get(before.schema)
    if any(one is not None for one in window) or what not in {None, before.schema}:
        msg = f"expected --manifest alone, which names {before.schema} and its offsets, found others beside it"
        raise click.UsageError(msg)
    if schema is None or schema.version != before.schema_version:
        known = "no such schema" if schema is None else f"version {schema.version}"
        msg = f"expected {before.schema} of version {before.schema_version}, which the manifest names, found {known}"
        raise click.UsageError(msg)
    return before.schema, file_format or before.file_format, before.offsets, tuple(before.keys)


def _expect_same(before: ExportManifest, made: ExportManifest) -> None:
    if before.configuration not in {"", made.configuration}:
        click.echo("the configuration is not the one of the manifest", err=True)
    if before.sha256 != made.sha256:
        click.echo(f"expected {before.rows} rows of digest {before.sha256}, found others", err=True)
        raise SystemExit(_EXIT_DIFFERS)
    if (
        before.writer == made.writer
        and before.file_format == made.file_format
        and (before.file_sha256 != made.file_sha256)
    ):
        click.echo(f"expected a file of digest {before.file_sha256}, found {made.file_sha256}", err=True)
        raise SystemExit(_EXIT_DIFFERS)


def _name_unreadable(made: ExportManifest) -> None:
    printed = made.unreadable_records[:_PRINTED_MAX]
    for one in printed:
        click.echo(f"unreadable: {one.topic}:{one.partition}:{one.offset} {one.cause}", err=True)
    if made.unreadable > len(printed):
        click.echo(f"{made.unreadable} records are unreadable, of which the manifest names the first", err=True)


async def _write(
    log: Log, window: Window, schema: Schema, writer: ExportWriter, chosen: tuple[tuple[str, ...], str]
) -> ExportManifest | None:
    from streams.process.clock import SystemClock
    from streams.process.version import version_text
    from streams.replay.log_window import write_offsets
    from streams.replay.named_window import chosen_records
    from streams.replay.row_reading import RowReading
    from tidemark.replay_progress import Progress

    keys, configuration = chosen
    progress, reading, is_whole = Progress(window.vector, SystemClock()), RowReading(schema), False
    made = None
    try:
        async for record in chosen_records(log, window, keys, progress.take):
            writer.take(reading.rows_of(record))
        if writer.rows or reading.unreadable.count:
            offsets, code = write_offsets(window.vector), version_text()
            made = writer.finish(
                offsets=offsets, keys=keys, code=code, configuration=configuration, unreadable=reading.unreadable
            )
            is_whole = True
    finally:
        if not is_whole:
            writer.abandon()
    progress.finish()
    return made
