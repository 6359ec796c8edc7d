"""``tidemark records``: what stands in topics within a window."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from tidemark.replay_window import EXIT_NOTHING, ending_by_code, window_options

if TYPE_CHECKING:
    from streams.replay.bounded_log import Log
    from streams.replay.named_window import Window
    from streams.settings import Settings
    from tidemark.log_source import LogSource


@click.command
@click.argument("topics", nargs=-1, metavar="TOPIC…")
@window_options
@click.option("--key", "keys", multiple=True, help="Only records of this key; NAME* for all keys that begin so.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="End after so many records.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--dry-run", is_flag=True, help="Only print which offsets the window comes to.")
@ending_by_code
def records(
    *, topics: tuple[str, ...], since: str | None, until: str | None, offsets: str | None, source: LogSource,
    keys: tuple[str, ...], limit: int | None, as_json: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Print the records of TOPICs in a window, decoded, in one order: time, topic as given, partition, offset.

    A TOPIC is named without its prefix; the name of a table stands for its changelog. The window is printed on stderr
    as offsets, which give the same records again when they are given as --offsets. Nothing is committed anywhere, and
    rights to read are enough (the analyst of `tidemark topics acls`).

    \b
    Exit codes:
        0  records were printed, all that there are in the window or --limit
        1  there is none in the window
        2  nothing was read: the window is inverted, out of retention or not written yet, or a topic or Kafka is missing
        3  it broke off: the log changed, the broker stopped, or the disk is full, so what was printed is not all
    \b
        tidemark records price-ticks --from -1m --key binance-futures:BTCUSDT
        tidemark records chain-blocks account-events-1 --from 2026-11-20T10:00:00Z --to 2026-11-20T10:30:00Z --json
    """  # noqa: D301 - click wants its \b as it is
    from streams.process.clock import SystemClock
    from tidemark.local_stack import settings_here
    from tidemark.replay_window import find_window, open_log, run_reading

    settings, clock = settings_here(), SystemClock()
    log = open_log(settings, source, clock)

    async def printed() -> int:
        window = await find_window(
            log, settings, topics, since=since, until=until, offsets=offsets, now_ms=clock.now_ms()
        )
        if dry_run:
            return window.offsets
        return await _print(log, settings, window, keys=keys, limit=limit, as_json=as_json)

    found = run_reading(settings, source, printed)
    if not found:
        click.echo("no record in the window", err=True)
        raise SystemExit(EXIT_NOTHING)


async def _print(
    log: Log, settings: Settings, window: Window, *, keys: tuple[str, ...], limit: int | None, as_json: bool
) -> int:
    from streams.process.clock import SystemClock
    from streams.replay.named_topics import changelogs
    from streams.replay.named_window import chosen_records
    from streams.replay.shown_records import json_line, text_line
    from tidemark.replay_progress import Progress

    line, of_rows, output = json_line if as_json else text_line, changelogs(settings), 0
    stdout = click.get_text_stream("stdout")
    progress = Progress(window.vector, SystemClock())
    try:
        async with aclosing(chosen_records(log, window, keys, progress.take)) as chosen:
            async for record in chosen:
                stdout.write(line(record, of_rows) + "\n")
                output += 1
                if output == limit:
                    break
    finally:
        stdout.flush()
    progress.finish()
    return output
