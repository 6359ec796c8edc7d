"""An archive as a log, and an archive and a cluster as one log."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from streams.archive.segment_file import read_segment
from streams.archive.topic_index import archived_topics, read_content, read_index, write_index
from streams.replay.bounded_log import BadArchive, Held, NoSuchTopic, Place, Span

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence

    from streams.archive.archive_store import ArchiveStore
    from streams.archive.topic_index import ArchivedPartition, Segment, TopicIndex
    from streams.replay.bounded_log import Log, LogRecord, Reading


class ArchivedLog:
    """What an archive has, as a log.

    Args:
        store: The archive.
    """

    def __init__(self, store: ArchiveStore) -> None:
        self._store = store
        self._indexes: dict[str, TopicIndex | None] = {}

    async def cluster(self) -> str | None:
        """The cluster whose offsets all of these are, the first one of several; None where there is none."""
        found: list[str] | None = None
        for topic in await asyncio.to_thread(archived_topics, self._store):
            index = await self._index(topic)
            whole = [] if index is None else index.whole_clusters()
            found = whole if found is None else [one for one in found if one in whole]
        return found[0] if found else None

    async def all_clusters(self) -> Mapping[str, Mapping[str, Mapping[int, int]]]:
        """What ``clusters`` says, by the full names of all topics that are archived."""
        return {topic: await self.clusters(topic) for topic in await asyncio.to_thread(archived_topics, self._store)}

    async def clusters(self, topic: str) -> Mapping[str, Mapping[int, int]]:
        """The clusters whose offsets those of a topic are, and below which of each partition, as its index has them."""
        index = await self._index(topic)
        return {} if index is None else index.clusters

    async def expect_shared(self, topic: str, cluster: str | None) -> None:
        """Check that what is archived of a topic has its offsets in a cluster.

        Args:
            topic: Its full name, of a topic that is archived.
            cluster: The cluster's id; None where it does not say.

        Raises:
            BadArchive: It has not.
        """
        index = await self._index(topic)
        if index is not None:
            index.expect_shared(cluster or "unknown")

    async def config(self, topic: str) -> dict[str, str]:
        """How the registry had a topic; none where it did not, or nothing of it is archived."""
        index = await self._index(topic)
        return {} if index is None else index.config

    async def add_cluster(self, topic: str, cluster: str | None) -> None:
        """Note that the offsets of a topic are also those of another cluster, which it was restored to.

        Args:
            topic: Its full name.
            cluster: The id of that cluster; None where it does not say.

        Raises:
            BadArchive: The archive does not take it.
        """
        index = await self._index(topic)
        if index is not None:
            ends = {number: one.end for number, one in index.partitions.items()}
            await self._write_clusters(index, {**index.clusters, cluster or "unknown": ends})

    async def remove_cluster(self, topic: str, cluster: str | None) -> None:
        """Note that a cluster has nothing of a topic any more, since it is restored there anew.

        Args:
            topic: Its full name.
            cluster: The id of that cluster; None where it does not say.

        Raises:
            BadArchive: The archive does not take it.
        """
        index = await self._index(topic)
        name = cluster or "unknown"
        if index is not None and name in index.clusters:
            nothing = dict.fromkeys(index.partitions, 0)
            await self._write_clusters(index, {**index.clusters, name: nothing})

    async def _write_clusters(self, index: TopicIndex, clusters: dict[str, dict[int, int]]) -> None:
        index = msgspec.structs.replace(index, clusters=clusters)
        await asyncio.to_thread(write_index, self._store, index)
        self._indexes[index.topic] = index

    async def held(self, topics: Collection[str]) -> Mapping[Place, Held]:
        """What is archived of these topics, as far back as nothing is missing, and what there is before that.

        Raises:
            NoSuchTopic: Nothing is archived of one.
            BadArchive: The archive cannot be read.
        """
        held = {}
        for topic in topics:
            index = await self._index(topic)
            if index is None:
                there = ", ".join(await asyncio.to_thread(archived_topics, self._store)) or "nothing"
                msg = f"expected {topic} in the archive {self._store}, found {there}"
                raise NoSuchTopic(msg)
            for partition, one in index.partitions.items():
                held[Place(topic, partition)] = _held(one)
        return held

    async def find(self, held: Mapping[Place, Held], time_ms: int) -> Mapping[Place, int]:
        """The first offset of each place at which a record was made at an instant or later; its end where none was.

        Args:
            held: What is archived.
            time_ms: The instant, Unix ms.

        Raises:
            BadArchive: A segment was altered.
        """
        return {place: await self._find(place, one, time_ms) for place, one in held.items()}

    @asynccontextmanager
    async def reading(self, vector: Mapping[Place, Span]) -> AsyncIterator[ArchivedReading]:
        """Read these spans, for as long as the block lasts."""
        segments = {place: await self._segments(place, span) for place, span in vector.items()}
        yield ArchivedReading(self._store, vector, segments)

    async def _find(self, place: Place, held: Held, time_ms: int) -> int:
        for segment in await self._segments(place, Span(held.begin, held.end)):
            if segment.last_ms is None or segment.last_ms < time_ms:
                continue
            content = await asyncio.to_thread(read_content, self._store, segment)
            for records in read_segment(place, content):
                for record in records:
                    if record.time_ms >= time_ms:
                        return min(record.offset, held.end)
        return held.end

    async def _segments(self, place: Place, span: Span) -> list[Segment]:
        index = await self._index(place.topic)
        known = None if index is None else index.partitions.get(place.partition)
        return [] if known is None else [one for one in known.segments if one.begin < span.end and one.end > span.begin]

    async def _index(self, topic: str) -> TopicIndex | None:
        if topic not in self._indexes:
            self._indexes[topic] = await asyncio.to_thread(read_index, self._store, topic)
        return self._indexes[topic]


class ArchivedReading:
    """Reads spans of an archive; of each place one segment is in memory.

    Args:
        store: The archive.
        vector: What is read.
        segments: Those of each place, in order.
    """

    def __init__(
        self, store: ArchiveStore, vector: Mapping[Place, Span], segments: Mapping[Place, Sequence[Segment]]
    ) -> None:
        self._store = store
        self._vector = vector
        self._left = {place: list(reversed(some)) for place, some in segments.items()}
        self._open: dict[Place, Iterator[list[LogRecord]]] = {}

    async def more(self, places: Collection[Place]) -> Mapping[Place, Sequence[LogRecord]]:
        """Read on.

        Args:
            places: Of which none is over.

        Returns:
            The next records of each of them; none where it is over.

        Raises:
            BadArchive: A segment is not there, or was altered.
        """
        return {place: await self._more(place) for place in places}

    async def _more(self, place: Place) -> Sequence[LogRecord]:
        span = self._vector[place]
        while True:
            batches = self._open.get(place)
            if batches is None:
                if not self._left[place]:
                    return ()
                segment = self._left[place].pop()
                content = await asyncio.to_thread(read_content, self._store, segment)
                batches = self._open[place] = read_segment(place, content)
            records = next(batches, None)
            if records is None:
                del self._open[place]
                continue
            if records and (records[0].offset < span.begin or records[-1].offset >= span.end):
                records = [one for one in records if span.begin <= one.offset < span.end]
            if records:
                return records


class JoinedLog:
    """An archive and the cluster that it was made of as one log: what is archived is read there, the rest in Kafka.

    Args:
        archived: The archive.
        live: The cluster.
    """

    def __init__(self, archived: ArchivedLog, live: Log) -> None:
        self._archived = archived
        self._live = live
        # Up to which offset each place is read in the archive.
        self._joints: dict[Place, int] = {}

    async def cluster(self) -> str | None:
        """The cluster's id."""
        return await self._live.cluster()

    async def all_clusters(self) -> Mapping[str, Mapping[str, Mapping[int, int]]]:
        """By topic, the clusters that have the offsets of what is archived, and below which of each partition."""
        return await self._archived.all_clusters()

    async def held(self, topics: Collection[str]) -> Mapping[Place, Held]:
        """What both hold together, as far back as nothing is missing.

        Raises:
            NoSuchTopic: Neither has one.
            BadArchive: The archive cannot be read, or is of another cluster, or of one that parted from this one.
        """
        held: dict[Place, Held] = {}
        for topic in topics:
            try:
                old = await self._archived.held([topic])
            except NoSuchTopic:
                old = {}
            try:
                new = await self._live.held([topic])
            except NoSuchTopic:
                if not old:
                    raise
                new = {}
            if old and new:
                await self._archived.expect_shared(topic, await self._live.cluster())
            held |= {place: self._join(place, old.get(place), new.get(place)) for place in old.keys() | new.keys()}
        return held

    async def find(self, held: Mapping[Place, Held], time_ms: int) -> Mapping[Place, int]:
        """The first offset of each place at which a record was made at an instant or later; its end where none was.

        Args:
            held: What both hold.
            time_ms: The instant, Unix ms.
        """
        joints = {place: self._joints.get(place, 0) for place in held}
        old = {
            place: one._replace(end=min(one.end, joints[place]))
            for place, one in held.items()
            if one.begin < joints[place]
        }
        found = {
            place: offset
            for place, offset in (await self._archived.find(old, time_ms)).items()
            if offset < joints[place]
        }
        new = {place: one for place, one in held.items() if place not in found and joints[place] < one.end}
        later = await self._live.find(new, time_ms) if new else {}
        # The cluster may still have what is archived; its first offset is then before the joint.
        return {
            place: found.get(place, max(later.get(place, one.end), min(joints[place], one.end)))
            for place, one in held.items()
        }

    @asynccontextmanager
    async def reading(self, vector: Mapping[Place, Span]) -> AsyncIterator[JoinedReading]:
        """Read these spans, for as long as the block lasts."""
        await self.held({place.topic for place in vector})
        old, new = {}, {}
        for place, span in vector.items():
            joint = self._joints[place]
            if span.begin < min(span.end, joint):
                old[place] = Span(span.begin, min(span.end, joint))
            if max(span.begin, joint) < span.end:
                new[place] = Span(max(span.begin, joint), span.end)
        async with AsyncExitStack() as stack:
            archived = await stack.enter_async_context(self._archived.reading(old)) if old else None
            live = await stack.enter_async_context(self._live.reading(new)) if new else None
            yield JoinedReading(archived, old.keys(), live, new.keys())

    def _join(self, place: Place, old: Held | None, new: Held | None) -> Held:
        if old is None or new is None:
            self._joints[place] = 0 if old is None else old.end
            return old or new  # type: ignore[return-value] # one of them is there
        if new.end < old.end:
            msg = (
                f"expected {place.topic}:{place.partition} to reach offset {old.end}, up to which it is archived, "
                f"found it to end at {new.end}: the topic was made anew, or this is another cluster"
            )
            raise BadArchive(msg)
        runs = [one for one in (*old.earlier, old._replace(earlier=())) if one.begin < one.end]
        # What was deleted between these and what the cluster holds was not archived.
        before = tuple(one for one in runs if one.end < new.begin)
        first = next((one for one in runs[len(before) :] if one.begin <= new.begin), new)
        self._joints[place] = first.end if first is not new else before[-1].end if before else 0
        return Held(first.begin, new.end, first.since_ms, new.until_ms, before)


class JoinedReading:
    """Reads spans of both, of each place first in the archive.

    Args:
        archived: Reads the archive; None where nothing is read there.
        old: The places that are read there.
        live: Reads the cluster; None where nothing is.
        new: The places that are read there.
    """

    def __init__(
        self, archived: Reading | None, old: Collection[Place], live: Reading | None, new: Collection[Place]
    ) -> None:
        self._archived = archived
        self._old = set(old)
        self._live = live
        self._new = set(new)

    async def more(self, places: Collection[Place]) -> Mapping[Place, Sequence[LogRecord]]:
        """Read on.

        Args:
            places: Of which none is over.

        Returns:
            The next records of at least one of them; none of them where a place is over.

        Raises:
            BrokenOff: The span cannot be read to its end.
            BadArchive: A segment is not there, or was altered.
        """
        found: dict[Place, Sequence[LogRecord]] = {}
        old = [place for place in places if place in self._old]
        if old and self._archived is not None:
            for place, records in (await self._archived.more(old)).items():
                if not records:
                    self._old.discard(place)
                if records or place not in self._new:
                    found[place] = records
        if found or self._live is None:
            return found
        return await self._live.more([place for place in places if place not in self._old])


def _held(archived: ArchivedPartition) -> Held:
    *earlier, last = archived.runs()
    begin = last[0].begin if last else archived.end
    since_ms = _since_ms(last, archived.until_ms) if begin else None
    return Held(begin, archived.end, since_ms, archived.until_ms, tuple(map(_held_earlier, earlier)))


def _held_earlier(run: Sequence[Segment]) -> Held:
    last_ms = max((one.last_ms for one in run if one.last_ms is not None), default=0)
    since_ms = _since_ms(run, last_ms) if run[0].begin else None
    return Held(run[0].begin, run[-1].end, since_ms, last_ms)


def _since_ms(run: Sequence[Segment], until_ms: int) -> int:
    return next((one.first_ms for one in run if one.first_ms is not None), until_ms)
