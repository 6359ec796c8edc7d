"""``tidemark export``: what was shown, or what prices were, as Parquet, Arrow or NDJSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tidemark.replay_window import EXIT_NOTHING, ending_by_code, window_options

if TYPE_CHECKING:
    from streams.replay.bounded_log import Log
    from streams.replay.export_files import ExportManifest, ExportWriter
    from streams.replay.exported_rows import Schema
    from streams.replay.named_window import Window
    from tidemark.log_source import LogSource

_EXIT_DIFFERS = 1


@click.command
@click.argument("what", type=click.Choice(["valuations", "prices"]))
@window_options
@click.option("--key", "keys", multiple=True, help="Only records of this key; NAME* for all keys that begin so.")
@click.option("--format", "file_format", type=click.Choice(["parquet", "arrow", "ndjson"]), default="parquet")
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
@click.option("--dry-run", is_flag=True, help="Only print which offsets the window comes to.")
@ending_by_code
def export(
    *, what: str, since: str | None, until: str | None, offsets: str | None, source: LogSource,
    keys: tuple[str, ...], file_format: str, out: Path, manifest: Path | None, dry_run: bool,
) -> None:  # fmt: skip
    """Write to FILE what was shown of accounts (valuations, of the topic served) or what sources said (prices).

    Beside it stands FILE.manifest.json, which names the offsets, versions, and a digest of the rows. With --manifest
    instead of a window, the same rows are written once more, and have to have that digest. Parquet and Arrow need
    pyarrow, which tidemark[analysis] brings; their columns are in docs/replay.md. FILE is there only when it is whole.

    \b
    Exit codes:
        0  the export is there
        1  there is no row in the window, and nothing was written; or the rows are not those of --manifest
        2  nothing was written: no such window, topic or Kafka, something is at FILE, or pyarrow is missing
        3  it broke off: the log changed, or the broker stopped, and nothing is left of it
    \b
        tidemark export valuations --from -1d --out day.parquet
        tidemark export valuations --manifest day.parquet.manifest.json --out again.parquet
    """  # noqa: D301 - click wants its \b as it is
    from streams.kafka.topics import PRICE_TICKS, SERVED
    from streams.process.clock import SystemClock
    from streams.replay.export_files import ExportWriter, read_manifest
    from streams.replay.exported_rows import SCHEMAS
    from tidemark.local_stack import settings_here
    from tidemark.replay_window import find_window, open_log, run_reading

    settings, clock = settings_here(), SystemClock()
    log, schema = open_log(settings, source, clock), SCHEMAS[what]
    before = None if manifest is None else read_manifest(manifest)
    if before is not None:
        if (before.schema, before.schema_version) != (schema.name, schema.version):
            msg = f"expected the manifest of {schema.name} of version {schema.version}, found {before.schema} of "
            raise click.UsageError(msg + str(before.schema_version))
        offsets, keys = before.offsets, tuple(before.keys)
    topics = () if offsets is not None else (SERVED if what == "valuations" else PRICE_TICKS,)

    async def written() -> ExportManifest | None:
        window = await find_window(
            log, settings, topics, since=since, until=until, offsets=offsets, now_ms=clock.now_ms()
        )
        if dry_run:
            return None
        if not window.offsets:
            return None
        writer = ExportWriter(out, file_format, schema)
        return await _write(log, window, schema, writer, keys)

    made = run_reading(settings, source, written)
    if dry_run:
        return
    if made is None:
        click.echo("no row in the window", err=True)
        raise SystemExit(EXIT_NOTHING)
    click.echo(f"{out}: {made.rows} rows, digest {made.sha256}")
    if before is not None and before.sha256 != made.sha256:
        click.echo(f"expected {before.rows} rows of digest {before.sha256}, found others", err=True)
        raise SystemExit(_EXIT_DIFFERS)


async def _write(
    log: Log, window: Window, schema: Schema, writer: ExportWriter, keys: tuple[str, ...]
) -> ExportManifest | None:
    from streams.process.clock import SystemClock
    from streams.replay.log_window import write_offsets
    from streams.replay.named_window import chosen_records
    from tidemark.replay_progress import Progress
    from tidemark.version import version_text

    progress, is_whole = Progress(window.vector, SystemClock()), False
    made = None
    try:
        async for record in chosen_records(log, window, keys, progress.take):
            row = schema.read(record)
            if row is not None:
                writer.take(row)
        if writer.rows:
            made = writer.finish(offsets=write_offsets(window.vector), keys=keys, code=version_text())
            is_whole = True
    finally:
        if not is_whole:
            writer.abandon()
    progress.finish()
    return made
