"""What an archive says of itself: a manifest beside each file, and an index a topic.

A file counts when its manifest is there, which is written after it. The index has all manifests of a topic in one file
and says how far each partition is archived, so that a reader asks the store for one file and not for thousands.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from streams.replay.bounded_log import BadArchive, Place

if TYPE_CHECKING:
    from streams.archive.archive_store import ArchiveStore

FORMAT = 1
_INDEX = "index.json"
_MANIFEST = ".json"


class AlteredSegment(BadArchive):
    """A segment or its manifest is not what was written. The message says which; nothing is read of it."""


class Segment(msgspec.Struct, frozen=True):
    """A file with every record that a partition had at the offsets from ``begin`` on and below ``end``.

    ``first_ms`` and ``last_ms`` are the least and the greatest time of its records, Unix ms; None where it has none.
    ``sha256`` is that of the file, ``cluster`` the id of the cluster that it was read from, ``code`` the version that
    wrote it.
    """

    topic: str
    partition: int
    begin: int
    end: int
    records: int
    first_ms: int | None
    last_ms: int | None
    size_bytes: int
    sha256: str
    cluster: str | None
    code: str

    @property
    def file(self) -> str:
        """The name of the file."""
        return f"{_directory(Place(self.topic, self.partition))}{self.begin:020}-{self.end:020}.parquet"


class ArchivedPartition(msgspec.Struct, frozen=True):
    """How far a partition is archived: its segments by offset, up to ``end``.

    ``until_ms``: the first record behind the end was made at this instant, Unix ms, or later.
    """

    begin: int
    end: int
    until_ms: int
    segments: tuple[Segment, ...]

    def runs(self) -> list[list[Segment]]:
        """The segments between which nothing is missing: records may have been deleted before they were archived.

        The last run goes on up to the end; it has no segment where the last records are missing.
        """
        runs: list[list[Segment]] = []
        for segment in self.segments:
            if runs and runs[-1][-1].end == segment.begin:
                runs[-1].append(segment)
            else:
                runs.append([segment])
        if not runs or runs[-1][-1].end != self.end:
            runs.append([])
        return runs


class TopicIndex(msgspec.Struct, frozen=True):
    """What an archive has of a topic.

    ``clusters`` has by its id each one whose offsets these are, the one that it was made in and those that it was
    restored to, and below which offset of each partition: behind that, what was archived is of another.
    ``config`` is how the registry has the topic, none where it does not.
    """

    format: int
    topic: str
    clusters: dict[str, dict[int, int]]
    config: dict[str, str]
    partitions: dict[int, ArchivedPartition]

    def whole_clusters(self) -> list[str]:
        """Those whose offsets all of these are."""
        ends = {number: one.end for number, one in self.partitions.items()}
        return [
            name
            for name, shared in self.clusters.items()
            if all(shared.get(number, 0) >= end for number, end in ends.items())
        ]

    def expect_shared(self, cluster: str) -> None:
        """Check that all that is archived stands in a cluster too, or stood there, at the same offsets.

        Args:
            cluster: Its id.

        Raises:
            BadArchive: It does not.
        """
        shared = self.clusters.get(cluster)
        if shared is None:
            msg = (
                f"expected {self.topic} of the archive and of Kafka to be of one cluster, found "
                f"{' or '.join(self.clusters) or 'none'} archived and {cluster} live: read the archive alone with "
                "--log, and write another"
            )
            raise BadArchive(msg)
        for number, one in self.partitions.items():
            if shared.get(number, 0) < one.end:
                msg = (
                    f"expected {self.topic}:{number} of the cluster {cluster} to be what is archived up to offset "
                    f"{one.end}, found that it is so up to {shared.get(number, 0)} only: another cluster wrote the "
                    "rest, or a restore was ended; read the archive alone with --log, and write another"
                )
                raise BadArchive(msg)


def read_index(store: ArchiveStore, topic: str) -> TopicIndex | None:
    """Read the index of a topic; None where nothing of it is archived.

    Args:
        store: The archive.
        topic: The full name.

    Raises:
        BadArchive: It cannot be read, or is of another format.
    """
    name = f"{topic}/{_INDEX}"
    content = store.read(name)
    if content is None:
        return None
    try:
        index = msgspec.json.decode(content, type=TopicIndex)
    except msgspec.DecodeError as error:
        msg = f"expected the index of an archived topic at {store}/{name}, found: {error}"
        raise BadArchive(msg) from error
    if index.format != FORMAT:
        msg = f"expected an index of format {FORMAT} at {store}/{name}, found {index.format}: use its version"
        raise BadArchive(msg)
    return index


def write_index(store: ArchiveStore, index: TopicIndex) -> None:
    """Write the index of a topic over the one before.

    Args:
        store: The archive.
        index: What it says.

    Raises:
        BadArchive: The store does not take it.
    """
    store.write(f"{index.topic}/{_INDEX}", msgspec.json.format(msgspec.json.encode(index), indent=1) + b"\n")


def archived_topics(store: ArchiveStore) -> list[str]:
    """The full names of the topics that an archive has something of.

    Raises:
        BadArchive: The store does not answer.
    """
    return [name for name in store.directories() if store.read(f"{name}/{_INDEX}") is not None]


def expect_topics(store: ArchiveStore) -> list[str]:
    """The full names of the topics that an archive has something of, of which there has to be one.

    Args:
        store: The archive.

    Raises:
        BadArchive: There is none, or the store does not answer.
    """
    topics = archived_topics(store)
    if not topics:
        msg = f"expected an archive at {store}, found no topic: name the directory or URL that archive write was given"
        raise BadArchive(msg)
    return topics


def write_segment(store: ArchiveStore, segment: Segment, content: bytes) -> None:
    """Write a segment, and then its manifest.

    Args:
        store: The archive.
        segment: What it has.
        content: The file.

    Raises:
        BadArchive: The store does not take it.
    """
    store.write(segment.file, content)
    store.write(segment.file + _MANIFEST, msgspec.json.format(msgspec.json.encode(segment), indent=1) + b"\n")


def read_manifest(store: ArchiveStore, file: str) -> Segment | None:
    """Read the manifest of a segment; None where there is none.

    Args:
        store: The archive.
        file: The segment's name.

    Raises:
        AlteredSegment: It is none.
        BadArchive: The store does not answer.
    """
    content = store.read(file + _MANIFEST)
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=Segment)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"expected the manifest of a segment at {store}/{file}{_MANIFEST}, found: {error}"
        raise AlteredSegment(msg) from error


def segment_files(store: ArchiveStore, place: Place) -> list[str]:
    """The names of the segments of a place that are whole, whether the index names them or not, by offset.

    Args:
        store: The archive.
        place: The partition.

    Raises:
        BadArchive: The store does not answer.
    """
    names = store.names(_directory(place))
    return [name.removesuffix(_MANIFEST) for name in names if name.endswith(".parquet" + _MANIFEST)]


def unnamed_topics(store: ArchiveStore) -> list[str]:
    """The directories that have whole segments and no index, which nobody reads.

    Args:
        store: The archive.

    Raises:
        BadArchive: The store does not answer.
    """
    without = [name for name in store.directories() if store.read(f"{name}/{_INDEX}") is None]
    return [name for name in without if any(one.endswith(".parquet" + _MANIFEST) for one in store.names(name))]


def read_content(store: ArchiveStore, segment: Segment) -> bytes:
    """Read a segment's file.

    Args:
        store: The archive.
        segment: Which one.

    Raises:
        AlteredSegment: It is not there, or was altered.
        BadArchive: The store does not answer.
    """
    content = store.read(segment.file)
    if content is None:
        msg = f"expected {store}/{segment.file}, which its manifest names, found no such file"
        raise AlteredSegment(msg)
    if (len(content), hashlib.sha256(content).hexdigest()) != (segment.size_bytes, segment.sha256):
        msg = (
            f"expected {segment.size_bytes} bytes of digest {segment.sha256} at {store}/{segment.file}, "
            f"found {len(content)} bytes of another: it was altered"
        )
        raise AlteredSegment(msg)
    return content


def _directory(place: Place) -> str:
    return f"{place.topic}/{place.partition}/"
