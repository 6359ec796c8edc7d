"""``tidemark capture``: a window of topics as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from tidemark.replay_window import EXIT_NOTHING, ending_by_code, window_options

if TYPE_CHECKING:
    from streams.process.clock import Clock
    from streams.replay.bounded_log import Log
    from streams.replay.captured_log import Manifest
    from streams.replay.named_window import Window
    from tidemark.log_source import LogSource


@click.command
@click.argument("topics", nargs=-1, metavar="TOPIC…")
@window_options
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Where to; there must be nothing."
)
@click.option("--json", "as_json", is_flag=True, help="Print the manifest.")
@click.option("--dry-run", is_flag=True, help="Only print which offsets the window comes to.")
@ending_by_code
def capture(
    *, topics: tuple[str, ...], since: str | None, until: str | None, offsets: str | None, source: LogSource,
    out: Path, as_json: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Write the records of TOPICs in a window to DIR, one file a partition, with a manifest of offsets and digests.

    What was captured is read by --log DIR of the other commands as Kafka is. DIR is there only when it is whole: what
    is being written is called DIR.partial, and is removed where the reading breaks off. The digest that is printed is
    that of the records: it is the same whenever the same offsets are captured.

    \b
    Exit codes:
        0  the capture is whole
        1  there is no record in the window, and nothing was written
        2  nothing was read: the window is inverted, out of retention or not written yet, something is at DIR already,
           DIR cannot be written, or a topic or Kafka is missing
        3  it broke off: the log changed, or the broker stopped, and nothing is left of it
    \b
        tidemark capture chain-blocks price-ticks --from -1h --out incident/
        tidemark records price-ticks --from -1h --log incident/
    """  # noqa: D301 - click wants its \b as it is
    from streams.process.clock import SystemClock
    from tidemark.local_stack import settings_here
    from tidemark.replay_window import find_window, open_log, run_reading

    settings, clock = settings_here(), SystemClock()
    log = open_log(settings, source, clock)

    async def written() -> Manifest | None:
        now_ms = clock.now_ms()
        window = await find_window(log, settings, topics, since=since, until=until, offsets=offsets, now_ms=now_ms)
        if not window.offsets:
            click.echo("no record in the window", err=True)
            raise SystemExit(EXIT_NOTHING)
        return None if dry_run else await _write(log, window, out, clock)

    manifest = run_reading(settings, source, written)
    if manifest is None:
        return
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(manifest)))
    else:
        click.echo(f"{out}: {sum(part.records for part in manifest.parts)} records, digest {manifest.digest}")


async def _write(log: Log, window: Window, out: Path, clock: Clock) -> Manifest:
    from streams.process.version import version_text
    from streams.replay.captured_log import CaptureWriter
    from streams.replay.merging import merged
    from tidemark.replay_progress import Progress

    writer, progress = CaptureWriter(out, window.vector), Progress(window.vector, clock)
    is_whole = False
    try:
        async with log.reading(window.vector) as reading:
            async for record in merged(reading, window.vector, window.topics):
                writer.take(record)
                progress.take(record)
        manifest = writer.finish(
            code=version_text(),
            made_ms=clock.now_ms(),
            since_ms=window.since_ms,
            until_ms=window.until_ms,
            cluster=await log.cluster(),
        )
        is_whole = True
    finally:
        if not is_whole:
            writer.abandon()
    progress.finish()
    return manifest
