"""Whether all of an archive can be read, and is what its index and manifests say."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from streams.archive.archive_store import is_unfinished
from streams.archive.segment_file import read_segment
from streams.archive.topic_index import (
    archived_topics,
    expect_topics,
    read_content,
    read_index,
    read_manifest,
    unnamed_topics,
)
from streams.replay.bounded_log import BadArchive, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from streams.archive.archive_store import ArchiveStore
    from streams.archive.topic_index import ArchivedPartition, Segment


class ArchiveReport(NamedTuple):
    """What was read, what is wrong, and what is only left over: files that no index names, which nobody reads."""

    topics: int
    segments: int
    records: int
    findings: list[str]
    left_over: list[str]


def check_archive(store: ArchiveStore, topics: Collection[str], on_segment: Callable[[Segment], None]) -> ArchiveReport:
    """Read every segment, and compare.

    Args:
        store: The archive.
        topics: Full names; none for all.
        on_segment: Is told each segment that was read.

    Raises:
        BadArchive: The store does not answer, an index cannot be read, or there is nothing, or nothing of a topic.
    """
    left_over: list[str] = []
    segments = records = 0
    unnamed = [] if topics else unnamed_topics(store)
    findings = [f"{name}: expected an index of its files, found none: archive it again" for name in unnamed]
    names = sorted(topics) or (archived_topics(store) if unnamed else expect_topics(store))
    for topic in names:
        index = read_index(store, topic)
        if index is None:
            msg = f"expected {topic} in the archive {store}, found no index of it"
            raise BadArchive(msg)
        named = {f"{topic}/index.json"}
        for number, partition in sorted(index.partitions.items()):
            findings += _gaps(f"{topic}:{number}", partition)
            for segment in partition.segments:
                findings += _faults(store, segment)
                named |= {segment.file, f"{segment.file}.json"}
                segments, records = segments + 1, records + segment.records
                on_segment(segment)
        left_over += [
            f"{name} ({'not finished' if is_unfinished(name) else 'in no index'})"
            for name in store.names(topic)
            if name not in named
        ]
    return ArchiveReport(len(names), segments, records, findings, left_over)


def _gaps(place: str, partition: ArchivedPartition) -> list[str]:
    findings, begin = [], partition.begin
    if begin > 0:
        findings.append(f"{place}: offsets 0-{begin} were deleted before they were archived")
    for segment in partition.segments:
        if segment.begin > begin:
            findings.append(f"{place}: offsets {begin}-{segment.begin} were deleted before they were archived")
        if segment.begin < begin:
            findings.append(f"{place}: offsets {segment.begin}-{begin} are archived twice")
        begin = segment.end
    if begin != partition.end:
        findings.append(f"{place}: expected segments up to offset {partition.end}, found them to end at {begin}")
    return findings


def _faults(store: ArchiveStore, segment: Segment) -> list[str]:
    try:
        if read_manifest(store, segment.file) != segment:
            return [f"{segment.file}: its manifest is not what the index says"]
        content = read_content(store, segment)
        found = [one for some in read_segment(Place(segment.topic, segment.partition), content) for one in some]
    except (BadArchive, ValueError, KeyError) as error:
        return [f"{segment.file}: {error}"]
    offsets = [one.offset for one in found]
    times = [one.time_ms for one in found]
    said = (segment.records, segment.first_ms, segment.last_ms)
    if (len(found), min(times, default=None), max(times, default=None)) != said:
        return [f"{segment.file}: expected {said[0]} records, found {len(found)}, or others"]
    if any(one >= two for one, two in pairwise(offsets)):
        return [f"{segment.file}: offsets do not rise"]
    if offsets and not segment.begin <= offsets[0] <= offsets[-1] < segment.end:
        return [f"{segment.file}: expected offsets {segment.begin}-{segment.end}, found {offsets[0]}-{offsets[-1]}"]
    return []
