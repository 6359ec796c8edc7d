"""Moves what is old enough out of a log into an archive, so that the log may forget it."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, NamedTuple

from streams.archive.segment_file import SegmentBuilder
from streams.archive.topic_index import (
    FORMAT,
    ArchivedPartition,
    Segment,
    TopicIndex,
    read_index,
    read_manifest,
    segment_files,
    write_index,
    write_segment,
)
from streams.replay.bounded_log import BadArchive, Held, Place, Span

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping

    from streams.archive.archive_store import ArchiveStore
    from streams.replay.bounded_log import Log, LogRecord


class Due(NamedTuple):
    """What of a topic is to be archived: the spans, and what was deleted before it could be.

    ``known`` is what the archive has of each partition.
    """

    topic: str
    vector: Mapping[Place, Span]
    lost: Mapping[Place, Span]
    known: Mapping[int, ArchivedPartition]
    clusters: tuple[str, ...]
    until_ms: int


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
    index = await asyncio.to_thread(read_index, store, topic)
    clusters = _clusters(store, topic, index, await log.cluster())
    known = {} if index is None else dict(index.partitions)
    vector: dict[Place, Span] = {}
    lost: dict[Place, Span] = {}
    for place, one in held.items():
        before = known.get(place.partition)
        begin = one.begin if before is None else before.end
        _expect_not_behind(store, place, one, begin)
        if begin < one.begin:
            lost[place] = Span(begin, one.begin)
            begin = one.begin
        elif before is None and one.begin > 0:
            lost[place] = Span(0, one.begin)
        vector[place] = Span(begin, max(begin, found[place]))
    return Due(topic, vector, lost, known, clusters, until_ms)


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
    partitions = dict(due.known)
    for place, span in sorted(due.vector.items()):
        before = partitions.get(place.partition)
        segments = [*await asyncio.to_thread(_left_over, store, place, span)]
        begin = segments[-1].end if segments else span.begin
        async for builder, part in _cut(log, place, Span(begin, span.end), on_record):
            content = await asyncio.to_thread(builder.encode)
            segment = _segment(place, part, builder, content, cluster=due.clusters[-1], code=code)
            await asyncio.to_thread(write_segment, store, segment, content)
            segments.append(segment)
        known = () if before is None else before.segments
        first = span.begin if before is None else before.begin
        partitions[place.partition] = ArchivedPartition(first, span.end, due.until_ms, (*known, *segments))
        index = TopicIndex(FORMAT, due.topic, due.clusters, dict(config), dict(sorted(partitions.items())))
        await asyncio.to_thread(write_index, store, index)
    return sum(len(one.segments) for one in partitions.values())


def _left_over(store: ArchiveStore, place: Place, span: Span) -> list[Segment]:
    """The segments that a run wrote which was ended before it wrote the index."""
    found: list[Segment] = []
    begin = span.begin
    for file in segment_files(store, place):
        segment = read_manifest(store, file)
        if segment is not None and segment.begin == begin and segment.end <= span.end:
            found.append(segment)
            begin = segment.end
    return found


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


def _clusters(store: ArchiveStore, topic: str, index: TopicIndex | None, cluster: str | None) -> tuple[str, ...]:
    known: Collection[str] = () if index is None else index.clusters
    found = cluster or "unknown"
    if known and found not in known:
        msg = (
            f"expected to archive {topic} in {store} from the cluster {' or '.join(known)}, whose offsets it has, "
            f"found the cluster {found}: name another directory or URL"
        )
        raise BadArchive(msg)
    return (*(one for one in known if one != found), found)


def _expect_not_behind(store: ArchiveStore, place: Place, held: Held, begin: int) -> None:
    if held.end < begin:
        msg = (
            f"expected {place.topic}:{place.partition} to reach offset {begin}, up to which {store} has it, "
            f"found it to end at {held.end}: the topic was made anew; name another directory or URL"
        )
        raise BadArchive(msg)
