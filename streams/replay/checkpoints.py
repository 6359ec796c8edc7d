"""Checkpoints: what a deployment's raw records came to at some offsets, in a file, so that no fold begins at the first.

A checkpoint has every row that folding goes on from, and none of what is made of prices and references, which are read
anew. It holds for the version that made it and for the deployment's settings: another version may fold otherwise.
"""

from __future__ import annotations

import gzip
import hashlib
from base64 import b64decode, b64encode
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from models.codec import ORDER_BYTES, decode_order
from models.engine.step import Write
from models.engine.tables import (
    ACCOUNTS,
    DEPLOYMENTS,
    MARKETS,
    POSITION_STATES,
    QUOTES,
    STATEMENTS,
    WATERMARKS,
    MemoryTables,
)
from streams.process.version import version_text
from streams.replay.bounded_log import OutOfRetention, Place, ReplayError, Span
from streams.replay.output_files import writing
from streams.replay.raw_fold import RawFold, expect_first

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from models.venue import Positioned
    from streams.replay.bounded_log import Held, Log
    from streams.settings import Settings

_FORMAT = 1
_SUFFIX = ".checkpoint.gz"
# Of these, an account needs no row but its own.
_OF_ACCOUNTS = (ACCOUNTS, STATEMENTS, POSITION_STATES)
_TABLES = (QUOTES, MARKETS, DEPLOYMENTS, WATERMARKS, *_OF_ACCOUNTS)


class BadCheckpoint(ReplayError):
    """A checkpoint cannot be read, or there is something where it is to be written. Remove it, or make it again."""


class Head(msgspec.Struct, frozen=True):
    """The first line of a checkpoint.

    ``ends`` are the first offsets that are not in it, by partition of ``topic``; ``code`` is the version that made it,
    ``settings`` the name of the deployment's settings, ``time_ms`` the instant that it is of, Unix ms. ``rows`` and
    ``sha256`` are those of the lines that follow. ``cluster`` is the id of the cluster whose offsets these are; None
    where the log did not say.
    """

    format: int
    code: str
    deployment: str
    venue: str
    settings: str
    topic: str
    ends: dict[int, int]
    time_ms: int
    rows: int
    sha256: str
    cluster: str | None = None


class Begun(NamedTuple):
    """A fold that was begun, and the spans of the raw topic that are still to be folded."""

    fold: RawFold
    vector: Mapping[Place, Span]


class Checkpoints:
    """The checkpoints in a directory.

    Args:
        directory: Where they are, and are written to.
        code: This version.
        cluster: The id of the cluster whose log is read; None where the log does not say.
        shared: By topic, the clusters that have the same records at the same offsets, by id, and below which offset of
            each partition: an archive has those of clusters that were made of it.
    """

    def __init__(
        self,
        directory: Path,
        code: str,
        cluster: str | None = None,
        shared: Mapping[str, Mapping[str, Mapping[int, int]]] | None = None,
    ) -> None:
        self._directory = directory
        self._code = code
        self._cluster = cluster
        self._shared = shared or {}

    def write(self, fold: RawFold, ends: Mapping[Place, int], time_ms: int) -> tuple[Path, Head]:
        """Write what was folded, beside its place first; it is there only when it is whole.

        Args:
            fold: Has all accounts of its deployment, folded.
            ends: The first offset of each place that was not.
            time_ms: The instant that this is, Unix ms.

        Returns:
            The file, and what its first line says.

        Raises:
            BadCheckpoint: There is one already.
            CannotWrite: The directory takes none.
        """
        lines = b"".join(
            msgspec.json.encode((table, key.decode(), b64encode(row).decode())) + b"\n"
            for table in _TABLES
            for key, row in sorted(fold.engine.tables.items(table))
        )
        numbers = {place.partition: end for place, end in ends.items()}
        head = Head(
            format=_FORMAT,
            code=self._code,
            deployment=fold.name,
            venue=f"{fold.venue.kind}/{fold.venue.figures_version}",
            settings=fold.deployment.settings,
            topic=fold.topic,
            ends=numbers,
            time_ms=time_ms,
            rows=lines.count(b"\n"),
            sha256=hashlib.sha256(lines).hexdigest(),
            cluster=self._cluster or next(iter(self._sharing(fold.topic, numbers)), None),
        )
        path = self._directory / f"{fold.name}-{time_ms}{_SUFFIX}"
        if path.exists():
            msg = f"expected nothing at {path}, found a checkpoint: remove it, or make one of another time"
            raise BadCheckpoint(msg)
        partial = path.with_suffix(".partial")
        with writing(path):
            self._directory.mkdir(parents=True, exist_ok=True)
            try:
                partial.write_bytes(gzip.compress(msgspec.json.encode(head) + b"\n" + lines, mtime=0))
                partial.rename(path)
            finally:
                partial.unlink(missing_ok=True)
        return path, head

    def list(self) -> list[tuple[Path, Head]]:
        """Every checkpoint, by deployment and time.

        Raises:
            BadCheckpoint: One cannot be read.
        """
        found = []
        for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
            # Another process may remove old ones meanwhile.
            with suppress(FileNotFoundError):
                found.append((path, _read_head(path)))
        return sorted(found, key=lambda one: (one[1].deployment, one[1].time_ms))

    def keep(self, deployment: str, count: int) -> Sequence[Path]:
        """Remove the checkpoints of a deployment but the newest ones, whichever version made them.

        Args:
            deployment: Its name.
            count: How many stay, at least one.

        Returns:
            The files that were removed.

        Raises:
            BadCheckpoint: One cannot be read.
        """
        old = [path for path, head in self.list() if head.deployment == deployment][:-count]
        for path in old:
            path.unlink()
        return old

    def newest(self, fold: RawFold, ends: Mapping[Place, int], until_ms: int | None) -> tuple[Path, Head] | None:
        """The newest one from which a fold up to these offsets may go on, None where there is none.

        Args:
            fold: A fold of the deployment.
            ends: Up to where it is to be folded.
            until_ms: The instant that this is, Unix ms; None where it is known by offsets alone.

        Raises:
            BadCheckpoint: One cannot be read, or is of another cluster, in which the same offsets mean other records.
        """
        numbers = {place.partition: end for place, end in ends.items()}
        usable = [
            (path, head)
            for path, head in self.list()
            if (head.code, head.deployment, head.topic) == (self._code, fold.name, fold.topic)
            and (head.venue, head.settings)
            == (f"{fold.venue.kind}/{fold.venue.figures_version}", fold.deployment.settings)
            and (until_ms is None or head.time_ms <= until_ms)
            and all(head.ends.get(number, end + 1) <= end for number, end in numbers.items())
        ]
        for path, head in usable:
            if not self._is_of_log(head):
                known = self._cluster or " or ".join(self._shared[head.topic])
                msg = (
                    f"expected checkpoints of the cluster {known}, whose log is read, found {path} of "
                    f"{head.cluster}: name another directory"
                )
                raise BadCheckpoint(msg)
        return max(usable, key=lambda one: one[1].time_ms, default=None)

    def _is_of_log(self, head: Head) -> bool:
        if head.cluster is None or head.cluster == self._cluster:
            return True
        if head.topic in self._shared:
            return head.cluster in self._sharing(head.topic, head.ends)
        return self._cluster is None

    def _sharing(self, topic: str, ends: Mapping[int, int]) -> Sequence[str]:
        """The clusters that have the same records below these offsets of a topic."""
        return [
            name
            for name, shared in self._shared.get(topic, {}).items()
            if all(shared.get(number, 0) >= end for number, end in ends.items())
        ]


async def found_in(directory: Path | None, log: Log) -> Checkpoints | None:
    """The checkpoints of a directory, as far as this version may use them for a log; None where none was given.

    Args:
        directory: Has them.
        log: What is read.
    """
    if directory is None:
        return None
    return Checkpoints(directory, version_text(), await log.cluster(), await log.all_clusters())


def begin_fold(
    settings: Settings,
    deployment: str,
    wanted: Collection[bytes] | None,
    vector: Mapping[Place, Span],
    *,
    until_ms: int | None,
    checkpoints: Checkpoints | None,
    on_folded: Callable[[bytes, Positioned], None] | None = None,
    is_stated: bool = True,
) -> Begun:
    """Begin a fold at the newest checkpoint there is for it, else at the first record.

    Args:
        settings: Have the deployment.
        deployment: Its name.
        wanted: The accounts' keys; None for all.
        vector: What of the raw topic is to have been folded, from its first offset on.
        until_ms: The instant that this is, Unix ms; None where it is known by offsets alone.
        checkpoints: Where checkpoints are; None for no checkpoint.
        on_folded: As ``RawFold`` takes it.
        is_stated: Likewise.

    Raises:
        ReplayError: There is no such deployment, or a checkpoint cannot be read.
    """
    fold = RawFold(settings, deployment, wanted, on_folded=on_folded, is_stated=is_stated)
    ends = {place: span.end for place, span in vector.items()}
    found = None if checkpoints is None else checkpoints.newest(fold, ends, until_ms)
    if found is None:
        return Begun(fold, vector)
    path, head = found
    tables = _read_tables(path, head, wanted)
    fold = RawFold(settings, deployment, wanted, tables=tables, on_folded=on_folded, is_stated=is_stated)
    return Begun(fold, {place: Span(head.ends[place.partition], span.end) for place, span in vector.items()})


async def expect_raw(log: Log, begun: Begun) -> Mapping[Place, Held]:
    """Check that what is still to be folded is held, and return what is.

    Args:
        log: Where it stands.
        begun: The fold.

    Raises:
        OutOfRetention: A part is gone.
    """
    held = await log.held([begun.fold.topic])
    for place, span in begun.vector.items():
        if span.begin == 0:
            expect_first({place: held[place]})
        elif held[place].begin > span.begin:
            msg = (
                f"expected {place.topic}:{place.partition} from offset {span.begin} on, where the checkpoint ends, "
                f"found {held[place].begin} to be the oldest that is held"
            )
            raise OutOfRetention(msg)
    return held


def _read_head(path: Path) -> Head:
    try:
        with gzip.open(path, "rb") as lines:
            head = msgspec.json.decode(lines.readline(), type=Head)
    except FileNotFoundError:
        raise
    except (OSError, EOFError, msgspec.DecodeError) as error:
        msg = f"expected a checkpoint at {path}, found: {error}"
        raise BadCheckpoint(msg) from error
    if head.format != _FORMAT:
        msg = f"expected a checkpoint of format {_FORMAT} at {path}, found {head.format}: remove it"
        raise BadCheckpoint(msg)
    return head


def _read_tables(path: Path, head: Head, wanted: Collection[bytes] | None) -> MemoryTables:
    tables, digest, rows = MemoryTables(), hashlib.sha256(), 0
    keys = None if wanted is None else frozenset(wanted)
    try:
        with gzip.open(path, "rb") as lines:
            lines.readline()
            for line in lines:
                digest.update(line)
                rows += 1
                table, text, cell = msgspec.json.decode(line, type=tuple[str, str, str])
                key, row = text.encode(), b64decode(cell, validate=True)
                if keys is None or table not in _OF_ACCOUNTS or key in keys:
                    tables.put(Write(table, key, decode_order(row)[1], row[ORDER_BYTES:]))
    except (OSError, EOFError, ValueError, KeyError) as error:
        msg = f"expected rows in {path}, found {type(error).__name__}: {error}; remove it"
        raise BadCheckpoint(msg) from error
    if (rows, digest.hexdigest()) != (head.rows, head.sha256):
        msg = f"expected {head.rows} rows of digest {head.sha256} in {path}, found others; remove it"
        raise BadCheckpoint(msg)
    return tables
