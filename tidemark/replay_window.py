"""The window that a command of replay is given: its options, the log that it is of, and the offsets it comes to."""

from __future__ import annotations

import asyncio
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import uvloop

from streams.archive.archive_store import opened_store
from streams.archive.archived_log import ArchivedLog, JoinedLog
from streams.process.garbage import collecting_rarely
from streams.replay.bounded_log import BadArchive, BrokenOff
from streams.replay.captured_log import MANIFEST, CapturedLog
from streams.replay.kafka_log import KafkaLog
from streams.replay.log_window import write_offsets
from streams.replay.named_topics import compacted_topics, kept_at_least
from streams.replay.named_window import NotNamed, Window, resolve_window
from streams.replay.output_files import CannotWrite
from tidemark import kafka
from tidemark.full_disk import is_full
from tidemark.log_source import log_options

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from models.errors import TidemarkError
    from streams.archive.archive_store import ArchiveStore
    from streams.process.clock import Clock
    from streams.replay.bounded_log import Log
    from streams.settings import Settings
    from tidemark.log_source import LogSource

T = TypeVar("T")

EXIT_NOTHING = 1
EXIT_BROKEN_OFF = 3


def window_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--from``, ``--to``, ``--offsets``, ``--log`` and ``--from-archive`` to a command."""
    for option in (
        log_options,
        click.option("--offsets", help="The window as offsets, TOPIC:PARTITION:BEGIN-END,…, as it was printed before."),
        click.option("--to", "until", metavar="TIME", help="The end of the window, not in it; now, if not given."),
        click.option(
            "--from", "since", metavar="TIME", help="The beginning: 2026-11-20T10:30:00Z, -15m (s, m, h, d), or now."
        ),
    ):
        command = option(command)
    return command


def open_log(settings: Settings, source: LogSource, clock: Clock) -> Log:
    """The log that a command reads.

    Args:
        settings: Name Kafka and the topics.
        source: What the command was told to read.
        clock: Tells the instant now.

    Raises:
        BadCapture: What is to be read in place of Kafka is no capture.
        BadArchive: There is no such archive.
        BadSettings: Kafka is not configured.
    """
    if source.alone is not None:
        if (Path(source.alone) / MANIFEST).exists() or not _is_archive(source.alone):
            return CapturedLog(Path(source.alone))
        return ArchivedLog(_archive(source.alone))
    live = KafkaLog(settings.bootstrap, kept_at_least(settings), clock)
    return live if source.archive is None else JoinedLog(ArchivedLog(_archive(source.archive)), live)


def _is_archive(text: str) -> bool:
    """Whether a URL, or a directory that has a topic's index, was named: of what is neither, a capture is told."""
    return "://" in text or any(Path(text).glob("*/index.json"))


def _archive(url: str) -> ArchiveStore:
    store = opened_store(url)
    if not store.directories():
        msg = f"expected an archive at {store}, found nothing: tidemark archive write makes one"
        raise BadArchive(msg)
    return store


def run_reading(settings: Settings, source: LogSource, reading: Callable[[], Coroutine[None, None, T]]) -> T:
    """Run what reads a log to its end.

    Args:
        settings: Name Kafka.
        source: What is read; Kafka has to be there where it is.
        reading: What reads.

    Raises:
        NoBroker: Kafka does not answer.
        ReplayError: The reading cannot be done, or broke off.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, collecting_rarely():
        if not source.needs_kafka:
            return runner.run(reading())
        with kafka.naming_the_broker(kafka.require_broker(settings.bootstrap)):
            return runner.run(reading())


async def find_window(
    log: Log, settings: Settings, named: tuple[str, ...], *, since: str | None, until: str | None, offsets: str | None,
    now_ms: int,
) -> Window:  # fmt: skip
    """Find the offsets that a window comes to, and print them on stderr, so that they can be given again.

    Args:
        log: The log.
        settings: Name the topics.
        named: Topics as the user names them; with ``offsets`` none.
        since: Beginning of the window by time.
        until: Its end.
        offsets: The window by offsets.
        now_ms: The instant now, Unix ms.

    Raises:
        UsageError: The options name no window, or two.
        ReplayError: It is no window of this log.
    """
    try:
        window = await resolve_window(log, settings, named, since=since, until=until, offsets=offsets, now_ms=now_ms)
    except NotNamed as error:
        msg = "expected topics and --from, or --offsets alone"
        raise click.UsageError(msg) from error
    vector = window.vector
    click.echo(f"window: {window.offsets} offsets: --offsets {write_offsets(vector) or 'none'}", err=True)
    for topic in sorted(set(window.topics) & compacted_topics(settings)):
        click.echo(f"{topic} is compacted: of each key only newer records may be left", err=True)
    return window


def ending_by_code(command: Callable[..., Any]) -> Callable[..., Any]:
    """Have a command end with ``EXIT_BROKEN_OFF`` where a reading broke off, or there is no room for its output."""

    @wraps(command)
    def ended(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - a command is of any form
        try:
            return command(*args, **kwargs)
        except BrokenOff as error:
            refuse(error)
            raise SystemExit(EXIT_BROKEN_OFF) from error
        except OSError as error:
            # Files that are written are named where that is done: this is stdout.
            if not is_full(error):
                raise
            refuse(CannotWrite(f"expected room for what is printed, found: {error}"))
            raise SystemExit(EXIT_BROKEN_OFF) from error

    return ended


def refuse(error: TidemarkError) -> None:
    """Print an error of ours as the command line prints all of them."""
    click.secho(f"tidemark: {error}", fg="red", err=True)
