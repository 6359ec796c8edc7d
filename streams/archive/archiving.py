"""Moves what is old enough out of a log into an archive, so that the log may forget it."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, NamedTuple

from streams.archive.segment_file import SegmentBuilder
from streams.archive.topic_index import (
    FORMAT,
    AlteredSegment,
    ArchivedPartition,
    Segment,
    TopicIndex,
    read_content,
    read_index,
    read_manifest,
    segment_files,
    write_index,
    write_segment,
)
from streams.replay.bounded_log import BadArchive, Held, Place, Span

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

    from streams.archive.archive_store import ArchiveStore
    from streams.replay.bounded_log import Log, LogRecord


class Due(NamedTuple):
    """What of a topic is to be archived: the spans, and what was deleted before it could be.

    ``known`` is what the archive has already, ``taken`` are the segments behind it that a run left which was ended
    before it wrote the index, and ``cluster`` is the id of the one that is archived. ``refused`` says of each file that
    such a run left why it is not taken: it is not what was to be written.
    """

    topic: str
    vector: Mapping[Place, Span]
    lost: Mapping[Place, Sequence[Span]]
    taken: Mapping[Place, Sequence[Segment]]
    known: TopicIndex
    cluster: str
    until_ms: int
    refused: Sequence[str]


async def find_due(log: Log, store: ArchiveStore, topic: str, until_ms: int) -> Due:
    """Find what of a topic is old enough and not archived yet.

    Args:
        log: Where it stands.
        store: The archive.
        topic: Its full name.
        until_ms: Records from the first one on that was made at this instant or later, Unix ms, stay.

    Raises:
        BadArchive: The archive cannot be read, or is of another cluster.
        NoSuchTopic: There is no such topic.
    """
    held = await log.held([topic])
    found = await log.find(held, until_ms)
    index, cluster = await asyncio.to_thread(read_index, store, topic), await log.cluster() or "unknown"
    if index is None:
        index = TopicIndex(FORMAT, topic, {}, {}, {})
    else:
        index.expect_shared(cluster)
    vector: dict[Place, Span] = {}
    lost: dict[Place, Sequence[Span]] = {}
    taken: dict[Place, Sequence[Segment]] = {}
    refused: list[str] = []
    for place, one in held.items():
        before = index.partitions.get(place.partition)
        begin = 0 if before is None else before.end
        _expect_not_behind(store, place, one, begin)
        named = () if before is None else before.segments
        left, altered = await asyncio.to_thread(_left_over, store, place, {one.file for one in named}, cluster)
        refused += altered
        taken[place], gaps, begin = _taken(left, begin, one.begin, found[place])
        if gaps:
            lost[place] = gaps
        vector[place] = Span(begin, max(begin, found[place]))
    return Due(topic, vector, lost, taken, index, cluster, until_ms, refused)


async def archive_due(
    log: Log, store: ArchiveStore, due: Due, config: Mapping[str, str], *, code: str,
    on_record: Callable[[LogRecord], None],
) -> int:  # fmt: skip
    """Archive what is due, segment by segment. What a run before this one left whole is taken as it is.

    Args:
        log: Where it stands.
        store: The archive.
        due: What is due.
        config: How the registry has the topic.
        code: The version of the code.
        on_record: Is told each record that was read.

    Returns:
        How many segments there are of the topic.

    Raises:
        BrokenOff: The log could not be read to the end; what was archived by then stays.
        BadArchive: The store does not take it.
    """
    partitions = dict(due.known.partitions)
    shared = dict(due.known.clusters.get(due.cluster, {}))
    for place, span in sorted(due.vector.items()):
        before = partitions.get(place.partition)
        segments = [*due.taken[place]]
        async for builder, part in _cut(log, place, span, on_record):
            content = await asyncio.to_thread(builder.encode)
            segment = _segment(place, part, builder, content, cluster=due.cluster, code=code)
            await asyncio.to_thread(write_segment, store, segment, content)
            segments.append(segment)
        known = () if before is None else before.segments
        first = (segments[0].begin if segments else span.begin) if before is None else before.begin
        partitions[place.partition] = ArchivedPartition(first, span.end, due.until_ms, (*known, *segments))
        shared[place.partition] = span.end
        clusters = {**due.known.clusters, due.cluster: dict(sorted(shared.items()))}
        index = TopicIndex(FORMAT, due.topic, clusters, dict(config), dict(sorted(partitions.items())))
        await asyncio.to_thread(write_index, store, index)
    return sum(len(one.segments) for one in partitions.values())


def _left_over(
    store: ArchiveStore, place: Place, named: Collection[str], cluster: str
) -> tuple[list[Segment], list[str]]:
    """The segments of a cluster that are whole and not named by the index, by offset; and why others are not whole.

    Each is read: once the index names it, Kafka may forget what it should have.
    """
    found: list[Segment] = []
    altered: list[str] = []
    for file in segment_files(store, place):
        if file in named:
            continue
        try:
            segment = read_manifest(store, file)
            if segment is None or segment.cluster != cluster:
                continue
            if segment.file != file:
                altered.append(f"{file}: its manifest is of {segment.file}")
                continue
            read_content(store, segment)
        except AlteredSegment as error:
            altered.append(f"{file}: {error}")
        else:
            found.append(segment)
    return found, altered


def _taken(left: Sequence[Segment], begin: int, held_from: int, end: int) -> tuple[list[Segment], list[Span], int]:
    """Go on with what is left over, and only then say what is lost: Kafka may have deleted what is whole in files.

    Args:
        left: What may be left over, by offset.
        begin: Up to which offset the index names segments.
        held_from: The first offset that Kafka holds.
        end: Up to which offset there is something to be archived.

    Returns:
        The segments to take, the spans that are neither in these nor held, and from where on Kafka is to be read.
    """
    taken: list[Segment] = []
    lost: list[Span] = []
    for one in left:
        if one.begin < begin or one.end > end:
            continue
        if one.begin > begin:
            if one.begin > held_from:
                break
            lost.append(Span(begin, one.begin))
        taken.append(one)
        begin = one.end
    if begin < held_from:
        lost.append(Span(begin, held_from))
        begin = held_from
    return taken, lost, begin


async def _cut(
    log: Log, place: Place, span: Span, on_record: Callable[[LogRecord], None]
) -> AsyncIterator[tuple[SegmentBuilder, Span]]:
    """Yield the segments of a span; together they have all of its offsets."""
    if span.begin == span.end:
        return
    begin, builder = span.begin, SegmentBuilder()
    async with log.reading({place: span}) as reading:
        while records := (await reading.more([place])).get(place, ()):
            for record in records:
                if builder.is_full:
                    yield builder, Span(begin, record.offset)
                    begin, builder = record.offset, SegmentBuilder()
                builder.take(record)
                on_record(record)
    yield builder, Span(begin, span.end)


def _segment(
    place: Place, span: Span, builder: SegmentBuilder, content: bytes, *, cluster: str | None, code: str
) -> Segment:
    times = [one.time_ms for one in builder.records]
    return Segment(
        topic=place.topic,
        partition=place.partition,
        begin=span.begin,
        end=span.end,
        records=len(times),
        first_ms=min(times, default=None),
        last_ms=max(times, default=None),
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        cluster=cluster,
        code=code,
    )


def _expect_not_behind(store: ArchiveStore, place: Place, held: Held, begin: int) -> None:
    if held.end < begin:
        msg = (
            f"expected {place.topic}:{place.partition} to reach offset {begin}, up to which {store} has it, "
            f"found it to end at {held.end}: the topic was made anew; name another directory or URL"
        )
        raise BadArchive(msg)
