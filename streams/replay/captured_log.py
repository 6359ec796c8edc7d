"""Captured files: what was read of a log, as NDJSON of each partition and a manifest, read as the log itself is.

``manifest.json`` names the topics with the offsets of each partition, the file of each, and digests. Each line of
``TOPIC-PARTITION.ndjson.gz`` is one record: ``[offset, time in Unix ms, key, value]``, key and value as text, as
``{"base64": …}`` where they are no UTF-8, or null. Headers, where a record has any, stand behind: ``[[name, value]]``.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import zlib
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import msgspec
import orjson

from streams.replay.bounded_log import BadCapture, Held, LogRecord, NoSuchTopic, Place, ReplayError, Span
from streams.replay.output_files import CannotWrite, writing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

MANIFEST = "manifest.json"
_FORMAT = 1
_LINES_AT_ONCE = 5_000
_BYTES_AT_ONCE = 1 << 20
_DAMAGES = (OSError, EOFError, zlib.error, ValueError, TypeError, NotBase64)


class CapturedPart(msgspec.Struct, frozen=True):
    """A partition in a capture: its offsets, how many records there are, the file, and its text's SHA-256."""

    topic: str
    partition: int
    begin: int
    end: int
    records: int
    file: str
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a capture holds.

    ``since_ms`` and ``until_ms``: every record made in between, Unix ms, is in it; None where the window was not one
    by time. ``digest`` is the SHA-256 over all parts: two captures of one digest hold the same
    records. ``code`` is the version that made it, ``cluster`` the id of the cluster whose offsets these are.
    """

    format: int
    code: str
    made_ms: int
    since_ms: int | None
    until_ms: int | None
    parts: tuple[CapturedPart, ...]
    digest: str
    cluster: str | None = None


class CaptureExists(ReplayError):
    """There is something where a capture is to be written. Name another directory, or remove it."""


class CaptureWriter:
    """Writes a capture beside its place, and puts it there when it is whole.

    Args:
        directory: Where the capture is to be; there must be nothing.
        vector: What is captured.

    Raises:
        CaptureExists: There is something, or another capture of this name is being written, or was killed.
        CannotWrite: There can be no directory, or not as many files as partitions.
    """

    def __init__(self, directory: Path, vector: Mapping[Place, Span]) -> None:
        self._directory = directory
        self._vector = vector
        self._partial = directory.with_name(directory.name + ".partial")
        for path in (directory, self._partial):
            if path.exists():
                raise CaptureExists(_found(path))
        self._parts: dict[Place, _Part] = {}
        with writing(self._partial):
            try:
                self._partial.mkdir(parents=True)
            except FileExistsError as error:
                # What another capture of this name has made since is not ours to remove.
                raise CaptureExists(_found(self._partial)) from error
        try:
            with writing(self._partial):
                for place in vector:
                    self._parts[place] = _Part(self._partial / _file_of(place))
        except CannotWrite:
            self.abandon()
            raise

    def take(self, record: LogRecord) -> None:
        """Write a record; those of a place come in the order of their offsets.

        Raises:
            CannotWrite: The disk is full.
        """
        with writing(self._partial):
            self._parts[record.place].write(_line(record))

    def finish(
        self, *, code: str, made_ms: int, since_ms: int | None, until_ms: int | None, cluster: str | None = None
    ) -> Manifest:
        """Write the manifest, and put the capture in its place.

        Args:
            code: The version of the code.
            made_ms: The instant, Unix ms.
            since_ms: The beginning of a window by time, Unix ms; None of another.
            until_ms: Its end, likewise.
            cluster: The id of the cluster that was read; None where it is not known.

        Raises:
            CannotWrite: The disk is full.
        """
        with writing(self._directory):
            parts = tuple(
                CapturedPart(*place, *self._vector[place], part.records, _file_of(place), part.close())
                for place, part in sorted(self._parts.items())
            )
            manifest = Manifest(_FORMAT, code, made_ms, since_ms, until_ms, parts, _digest_of(parts), cluster)
            encoded = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
            (self._partial / MANIFEST).write_bytes(encoded + b"\n")
            self._partial.rename(self._directory)
        return manifest

    def abandon(self) -> None:
        """Remove what was written."""
        for part in self._parts.values():
            # What was not written yet may not be taken any more, and is not wanted.
            with suppress(OSError):
                part.close()
        shutil.rmtree(self._partial, ignore_errors=True)


class _Part:
    """One file that is being written."""

    def __init__(self, path: Path) -> None:
        self._raw = path.open("wb")
        # Neither a name nor a time in the file, so that the same records are the same bytes.
        self._file = gzip.GzipFile(filename="", mode="wb", fileobj=self._raw, mtime=0, compresslevel=6)
        self._digest = hashlib.sha256()
        self.records = 0

    def write(self, line: bytes) -> None:
        self._file.write(line)
        self._digest.update(line)
        self.records += 1

    def close(self) -> str:
        try:
            self._file.close()
        finally:
            self._raw.close()
        return self._digest.hexdigest()


class CapturedLog:
    """A capture as a log.

    Args:
        directory: Holds the manifest and the files.

    Raises:
        BadCapture: There is no manifest, or it is not of a form that this version reads.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.manifest = _read_manifest(directory / MANIFEST)
        self._parts = {Place(part.topic, part.partition): part for part in self.manifest.parts}
        self._checked: set[Place] = set()

    async def cluster(self) -> str | None:
        """The cluster that was captured, where the capture says it."""
        return self.manifest.cluster

    async def all_clusters(self) -> Mapping[str, Mapping[str, Mapping[int, int]]]:
        """None beside the one."""
        return {}

    async def held(self, topics: Collection[str]) -> Mapping[Place, Held]:
        """What the capture holds of these topics.

        Raises:
            NoSuchTopic: It holds nothing of one.
            BadCapture: A file is damaged.
        """
        known = {place.topic for place in self._parts}
        missing = sorted(set(topics) - known)
        if missing:
            msg = f"expected {', '.join(missing)} in {self._directory}, found {', '.join(sorted(known))}"
            raise NoSuchTopic(msg)
        return {
            place: Held(part.begin, part.end, self._since_ms(place, part), self.manifest.until_ms)
            for place, part in self._parts.items()
            if place.topic in topics
        }

    async def find(self, held: Mapping[Place, Held], time_ms: int) -> Mapping[Place, int]:
        """The first offset of each place at which a record was made at an instant or later; its end where none was.

        Args:
            held: What the capture holds.
            time_ms: The instant, Unix ms.

        Raises:
            BadCapture: A file is damaged.
        """
        return {
            place: next((one.offset for one in self._records(place) if one.time_ms >= time_ms), of_place.end)
            for place, of_place in held.items()
        }

    @asynccontextmanager
    async def reading(self, vector: Mapping[Place, Span]) -> AsyncIterator[CapturedReading]:
        """Read these spans, for as long as the block lasts."""
        yield CapturedReading({place: self._span(place, span) for place, span in vector.items()})

    def _since_ms(self, place: Place, part: CapturedPart) -> int | None:
        if part.begin == 0:
            return None
        if self.manifest.since_ms is not None:
            return self.manifest.since_ms
        return next((one.time_ms for one in self._records(place)), self.manifest.made_ms)

    def _span(self, place: Place, span: Span) -> Iterator[LogRecord]:
        for record in self._records(place):
            if record.offset >= span.end:
                return
            if record.offset >= span.begin:
                yield record

    def _records(self, place: Place) -> Iterator[LogRecord]:
        # Who reads stops where a window ends, and the digest is of the whole file: it is looked at before.
        if place not in self._checked:
            _check(self._directory, self._parts[place])
            self._checked.add(place)
        path, number = self._directory / self._parts[place].file, 0
        try:
            with gzip.open(path, "rb") as lines:
                for line in cast("BinaryIO", lines):
                    number += 1
                    yield _read_line(place, line)
        except _DAMAGES as error:
            msg = f"expected a record in line {number} of {path}, found {type(error).__name__}: {error}; capture again"
            raise BadCapture(msg) from error


class CapturedReading:
    """Reads spans of a capture.

    Args:
        records: Those of each place.
    """

    def __init__(self, records: Mapping[Place, Iterator[LogRecord]]) -> None:
        self._records = records

    async def more(self, places: Collection[Place]) -> Mapping[Place, Sequence[LogRecord]]:
        """Read on.

        Args:
            places: Of which none is over.

        Returns:
            The next records of each of them; none where it is over.

        Raises:
            BadCapture: A file is damaged.
        """
        return {place: list(islice(self._records[place], _LINES_AT_ONCE)) for place in places}


def _read_manifest(path: Path) -> Manifest:
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        msg = f"expected a capture with its manifest at {path}, found: {error}"
        raise BadCapture(msg) from error
    if manifest.format != _FORMAT:
        msg = f"expected a capture of format {_FORMAT} at {path}, found format {manifest.format}: use its version"
        raise BadCapture(msg)
    if manifest.digest != _digest_of(manifest.parts):
        msg = f"expected digest {manifest.digest} of the parts that {path} names, found another: it was altered"
        raise BadCapture(msg)
    return manifest


def _check(directory: Path, part: CapturedPart) -> None:
    """Expect the file of a part to be what was captured, to the last byte of its text."""
    path, digest, lines = directory / part.file, hashlib.sha256(), 0
    try:
        with gzip.open(path, "rb") as file:
            while some := file.read(_BYTES_AT_ONCE):
                digest.update(some)
                lines += some.count(b"\n")
    except (OSError, EOFError, zlib.error) as error:
        msg = f"expected {part.records} records in {path}, found {type(error).__name__}: {error}; capture again"
        raise BadCapture(msg) from error
    if (digest.hexdigest(), lines) != (part.sha256, part.records):
        found = f"{lines} of another; capture again"
        msg = f"expected {part.records} records of digest {part.sha256} in {path}, found {found}"
        raise BadCapture(msg)


def _found(path: Path) -> str:
    return f"expected nothing at {path}, found something; name another directory, or remove it"


def _file_of(place: Place) -> str:
    return f"{place.topic}-{place.partition}.ndjson.gz"


def _digest_of(parts: Sequence[CapturedPart]) -> str:
    named = [[part.topic, part.partition, part.begin, part.end, part.records, part.sha256] for part in parts]
    return hashlib.sha256(orjson.dumps(named)).hexdigest()


def _line(record: LogRecord) -> bytes:
    cells: list[Any] = [record.offset, record.time_ms, _cell(record.key), _cell(record.value)]
    if record.headers:
        cells.append([[name, _cell(value)] for name, value in record.headers])
    return orjson.dumps(cells, option=orjson.OPT_APPEND_NEWLINE)


def _cell(value: bytes | None) -> str | dict[str, str] | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}


def _read_line(place: Place, line: bytes) -> LogRecord:
    offset, time_ms, key, value, *rest = orjson.loads(line)
    headers = tuple((name, _bytes(said)) for name, said in rest[0]) if rest else ()
    return LogRecord(time_ms, place.topic, place.partition, offset, _bytes(key), _bytes(value), headers)


def _bytes(cell: Any) -> bytes | None:  # noqa: ANN401 - it is whatever stands in the file
    if cell is None:
        return None
    return cell.encode() if isinstance(cell, str) else b64decode(cell["base64"], validate=True)
