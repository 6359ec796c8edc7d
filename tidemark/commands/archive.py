"""``tidemark archive``: the log in files, checked, and written into a new cluster."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import click

from tidemark.replay_window import ending_by_code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.archive.archive_store import ArchiveStore
    from streams.archive.archived_log import ArchivedLog
    from streams.archive.archiving import Due
    from streams.kafka.topics import Topic
    from streams.replay.bounded_log import Held, Place
    from streams.settings import Settings

_EXIT_FOUND = 1


@click.group
def archive() -> None:
    """Move the log to files in a directory or an object store, check them, or rebuild a cluster from them.

    URL is a directory, or what fsspec and pyarrow open: s3://bucket/path, with ?endpoint_override=HOST:PORT&scheme=http
    for a store that is not Amazon's. Archives need tidemark[analysis]. Other commands read one with --from-archive URL
    beside Kafka, or with --log URL in place of it.
    """


@archive.command
@click.argument("url")
@click.argument("topics", nargs=-1, metavar="[TOPIC…]")
@click.option(
    "--older-than",
    default="1h",
    show_default=True,
    metavar="AGE",
    help="Leave younger records: 30m, 1h, 7d (s, m, h, d).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a topic.")
@click.option("--dry-run", is_flag=True, help="Only print what would be archived.")
@ending_by_code
def write(*, url: str, topics: tuple[str, ...], older_than: str, as_json: bool, dry_run: bool) -> None:
    """Archive what is older than AGE and not archived yet, of TOPICs or of all that are worth it.

    These are all topics but those that say the same again within minutes and those that workers make of others. Each
    partition is archived from the offset on up to which it is already, in Parquet files of some MB. A run that is ended
    is gone on with by the next one, which takes what that left as far as its digest is right. Nothing is deleted from
    Kafka: its own retention does that. Run it more often than the shortest retention, by one process at a time.

    \b
    Exit codes:
        0  all that is old enough is in the archive
        1  the same, but records were deleted from Kafka before they were archived; they are named
        2  nothing was written: archive, topic or Kafka is missing, or the archive is of another cluster
        3  it broke off; what is in the archive is whole, and the next run goes on from there
    \b
        tidemark archive write /var/lib/tidemark/archive --older-than 1d
        tidemark archive write s3://bucket/tidemark
    """  # noqa: D301 - click wants its \b as it is
    from streams.archive.archive_store import opened_store
    from streams.process.clock import SystemClock
    from streams.replay.log_window import read_instant
    from tidemark.local_stack import settings_here
    from tidemark.log_source import KAFKA
    from tidemark.replay_window import run_reading

    settings, clock = settings_here(), SystemClock()
    until_ms, store = read_instant(f"-{older_than}", clock.now_ms()), opened_store(url)
    wanted = _wanted(settings, topics)
    lost = run_reading(
        settings, KAFKA, lambda: _write(settings, store, wanted, until_ms, as_json=as_json, dry_run=dry_run)
    )
    if lost:
        raise SystemExit(_EXIT_FOUND)


@archive.command
@click.argument("url")
@click.argument("topics", nargs=-1, metavar="[TOPIC…]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(*, url: str, topics: tuple[str, ...], as_json: bool) -> None:
    """Read every file of an archive, and hold it against its manifest and its topic's index.

    TOPICs are full names. A file that no index names is left over from a run that was ended, and no reader is shown it.
    The next run takes it in where it is whole and of the same cluster, and reads the rest from Kafka again.

    \b
    Exit codes:
        0  all is there, without a gap
        1  something is missing, was altered, has no index, or was deleted before it was archived; it is named
        2  there is no archive, or it cannot be read
    """  # noqa: D301 - click wants its \b as it is
    from streams.archive.archive_check import check_archive
    from streams.archive.archive_store import opened_store

    seen = [0]

    def count(_: object) -> None:
        seen[0] += 1
        if seen[0] % 100 == 0:
            click.echo(f"{seen[0]} files read", err=True)

    report = check_archive(opened_store(url), topics, count)
    if as_json:
        click.echo(json.dumps(report._asdict()))
    else:
        for line in report.findings:
            click.echo(line)
        for line in report.left_over:
            click.echo(f"left over: {line}")
        click.echo(f"{report.topics} topics, {report.segments} files, {report.records} records")
    if report.findings:
        raise SystemExit(_EXIT_FOUND)


@archive.command("list")
@click.argument("url")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a topic.")
def list_(*, url: str, as_json: bool) -> None:
    """List the topics of an archive: files, records, bytes, and the offsets of each partition.

    \b
    Exit codes:
        0  they are listed
        2  there is no archive, or it cannot be read
    """  # noqa: D301 - click wants its \b as it is
    from streams.archive.archive_store import opened_store
    from streams.archive.topic_index import expect_topics, read_index

    store = opened_store(url)
    for topic in expect_topics(store):
        index = read_index(store, topic)
        partitions = {} if index is None else index.partitions
        segments = [segment for one in partitions.values() for segment in one.segments]
        said = {
            "topic": topic,
            "files": len(segments),
            "records": sum(one.records for one in segments),
            "bytes": sum(one.size_bytes for one in segments),
            "offsets": {str(number): [one.begin, one.end] for number, one in partitions.items()},
        }
        if as_json:
            click.echo(json.dumps(said))
        else:
            click.echo(f"{topic}: {said['files']} files, {said['records']} records, {said['bytes']} bytes")


@archive.command
@click.argument("url")
@click.argument("topics", nargs=-1, metavar="[TOPIC…]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a topic.")
@click.option("--dry-run", is_flag=True, help="Only print what would be written.")
@ending_by_code
def restore(*, url: str, topics: tuple[str, ...], as_json: bool, dry_run: bool) -> None:
    """Write archived TOPICs, or all, into a cluster in which they are empty or missing.

    Where records were deleted before they were archived, only what follows is written: what is left would look like
    all. What is archived before them is named, and stays in the archive.

    Each record gets its partition, offset, time and headers again, so what rows name as their inputs is still so. Run
    it before any worker or ingest is started there, under a new `epoch`: tables are made anew from the raw topics. A
    topic that is whole already is passed over; one that has a part is refused, since nothing can be written before or
    between its records: delete it and run this again.

    \b
    Exit codes:
        0  all topics are there
        1  the same, but what is archived before a gap was left out; it is named
        2  nothing was written: archive or Kafka is missing, a topic has a part already, or would be of the epoch in use
        3  it broke off; the topic that is named is not whole, those before it are
    """  # noqa: D301 - click wants its \b as it is
    from streams.archive.archive_store import opened_store
    from tidemark.local_stack import settings_here
    from tidemark.log_source import KAFKA
    from tidemark.replay_window import run_reading

    settings, store = settings_here(), opened_store(url)
    left_out = run_reading(settings, KAFKA, lambda: _restore(settings, store, topics, as_json=as_json, dry_run=dry_run))
    if left_out:
        raise SystemExit(_EXIT_FOUND)


async def _write(
    settings: Settings, store: ArchiveStore, topics: Mapping[str, Mapping[str, str]], until_ms: int, *,
    as_json: bool, dry_run: bool,
) -> bool:  # fmt: skip
    from streams.archive.archiving import archive_due, find_due
    from streams.process.clock import SystemClock
    from streams.process.version import version_text
    from tidemark.log_source import KAFKA
    from tidemark.replay_progress import Progress
    from tidemark.replay_window import open_log

    clock = SystemClock()
    log, lost = open_log(settings, KAFKA, clock), False
    for topic, config in topics.items():
        due = await find_due(log, store, topic, until_ms)
        lost = lost or bool(due.lost)
        for gap in _lost(due):
            click.echo(f"lost: {gap} is in Kafka no more", err=True)
        for why in due.refused:
            click.echo(f"not taken: {why}", err=True)
        progress = Progress(due.vector, clock)
        if not dry_run:
            await archive_due(log, store, due, config, code=version_text(), on_record=progress.take)
        _print_due(due, progress.records, as_json=as_json, dry_run=dry_run)
    return lost


def _print_due(due: Due, records: int, *, as_json: bool, dry_run: bool) -> None:
    from streams.replay.log_window import write_offsets

    offsets = sum(span.end - span.begin for span in due.vector.values())
    if as_json:
        said = {"topic": due.topic, "offsets": write_offsets(due.vector), "records": records}
        said["lost"] = ",".join(_lost(due))
        click.echo(json.dumps(said))
    elif offsets:
        what = f"{offsets} offsets to archive" if dry_run else f"{records} records archived"
        click.echo(f"{due.topic}: {what}: {write_offsets(due.vector)}")


def _lost(due: Due) -> list[str]:
    from streams.replay.log_window import write_offsets

    return [write_offsets({place: span}) for place, spans in sorted(due.lost.items()) for span in spans]


async def _restore(
    settings: Settings, store: ArchiveStore, named: tuple[str, ...], *, as_json: bool, dry_run: bool
) -> bool:
    from streams.archive.archived_log import ArchivedLog
    from streams.archive.restoring import NotBegun, is_restored, opened_target, restore_topic
    from streams.archive.topic_index import expect_topics
    from streams.process.clock import SystemClock
    from streams.replay.bounded_log import BrokenOff, Span
    from tidemark.log_source import KAFKA
    from tidemark.replay_progress import Progress
    from tidemark.replay_window import open_log

    log, clock = ArchivedLog(store), SystemClock()
    topics = named or tuple(await asyncio.to_thread(expect_topics, store))
    _expect_another_epoch(settings, topics)
    held = {topic: await log.held([topic]) for topic in topics}
    cluster = await open_log(settings, KAFKA, clock).cluster()
    async with opened_target(settings.bootstrap) as target:
        there = {topic: await is_restored(target, log, topic, held[topic], cluster) for topic in topics}
        wanted = {topic: await _as_registered(settings, log, topic) for topic in topics}
        is_begun = False
        for topic in topics:
            progress = Progress({place: Span(one.begin, one.end) for place, one in held[topic].items()}, clock)
            if not (there[topic] or dry_run):
                try:
                    await restore_topic(target, log, wanted[topic], held[topic], cluster, on_record=progress.take)
                except NotBegun as error:
                    if not is_begun:
                        raise
                    raise BrokenOff(str(error)) from error
                is_begun = True
            _print_restored(
                topic, held[topic], progress.records, as_json=as_json, is_there=there[topic], dry_run=dry_run
            )
    left_out = [one for topic in topics for one in _left_out(held[topic])]
    for one in left_out:
        click.echo(f"left out: {one} is archived, and not what followed it", err=True)
    return bool(left_out)


def _left_out(held: Mapping[Place, Held]) -> list[str]:
    from streams.replay.bounded_log import Span
    from streams.replay.log_window import write_offsets

    return [
        write_offsets({place: Span(run.begin, run.end)}) for place, one in sorted(held.items()) for run in one.earlier
    ]


def _print_restored(
    topic: str, held: Mapping[Place, Held], records: int, *, as_json: bool, is_there: bool, dry_run: bool
) -> None:
    from streams.replay.bounded_log import Span
    from streams.replay.log_window import write_offsets

    offsets = write_offsets({place: Span(one.begin, one.end) for place, one in held.items()})
    if as_json:
        said = {"topic": topic, "offsets": offsets, "records": records, "was_there": is_there}
        click.echo(json.dumps({**said, "left_out": ",".join(_left_out(held))}))
        return
    what = "is there" if is_there else "to be restored" if dry_run else f"{records} records restored"
    click.echo(f"{topic}: {what}: {offsets or 'no record'}")


def _wanted(settings: Settings, named: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """The topics to archive by their full names, and how the registry has them."""
    from streams.kafka.topics import registry
    from streams.replay.named_topics import find_topic

    topics = {topic.name: topic for topic in registry(settings)}
    if not named:
        return {name: topic.config for name, topic in topics.items() if topic.is_archived}
    names = [find_topic(settings, one) for one in named]
    return {name: topics[name].config if name in topics else {} for name in names}


def _expect_another_epoch(settings: Settings, topics: tuple[str, ...]) -> None:
    from streams.kafka.topics import derived_names
    from streams.replay.bounded_log import BadArchive

    of_epoch = sorted(derived_names(settings).intersection(topics))
    if of_epoch:
        msg = (
            f"expected a configuration of an epoch that nothing was archived of, found epoch {settings.epoch} and "
            f"{', '.join(of_epoch)} archived: set epoch to {settings.epoch + 1}, since claims begin "
            "anew, and rows of the epoch before would stand above those to come"
        )
        raise BadArchive(msg)


async def _as_registered(settings: Settings, log: ArchivedLog, topic: str) -> Topic:
    from streams.kafka.topics import Topic, registry

    known = {one.name: one for one in registry(settings)}
    if topic in known:
        return known[topic]
    return Topic(topic, "", settings.topics.partitions, settings.topics.replication_factor, await log.config(topic))
