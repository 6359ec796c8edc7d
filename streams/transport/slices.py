"""A slice: records of one partition that an agent handles as one event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import faust

from models.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from faust.types import TP

    from streams.kafka.record import Record

# A record with its key, next to its value.
_RECORD_BYTES = 300


class SliceMisused(TidemarkError):
    """An agent broke the protocol of slices: begin, write, done, once each and in order. A fault of the agent."""


class SliceKeeper(Protocol):
    """Who handed a slice out, and commits it when it is complete."""

    def begin(self, part: Slice) -> bool:
        """Take a slice up, or say that it is no longer ours."""

    def slice_done(self, part: Slice) -> None:
        """Its agent is done with it."""

    def slice_complete(self, part: Slice) -> None:
        """It is done, and all of it is acknowledged."""


class Slice:
    """Records of one partition, in offset order.

    The agent calls ``begin`` first and leaves the slice alone where that says False; it calls ``done`` after the last
    row and output. ``last_offset`` is that of the last record, ``size`` about what it takes in memory, in bytes.
    ``follows`` is the offset up to, and without, which the partition was handed out before.
    """

    def __init__(self, records: Sequence[Record[bytes | None]], tp: TP, keeper: SliceKeeper, follows: int) -> None:
        self.tp = tp
        self.follows = follows
        self.first_offset: int = records[0].offset
        self.last_offset: int = records[-1].offset
        self.size = _RECORD_BYTES * len(records) + sum([len(record.value or b"") for record in records])
        self.begun = False
        self.closed = False
        self.pending = 0
        self._records = records
        self._keeper = keeper

    def __iter__(self) -> Iterator[Record[bytes | None]]:
        return iter(self._records)

    def begin(self) -> bool:
        """Take the slice up; False where its partition is no longer ours and it must be left alone.

        Raises:
            SliceMisused: An earlier slice of the partition was begun and never done: going on would lose its records.
        """
        return self._keeper.begin(self)

    def done(self) -> None:
        """Say that every record is folded and every row and output is written."""
        if self.closed or not self.begun:
            msg = f"expected one begin() and one done() for {self}, found done() {'twice' if self.closed else 'first'}"
            raise SliceMisused(msg)
        self.closed = True
        # It waits for the next commit, half a second; at full speed its records would be 100 MB by then.
        self._records = ()
        self._keeper.slice_done(self)

    def opened(self) -> None:
        """A row or output was charged to this slice."""
        if self.closed or not self.begun:
            msg = f"expected writes between begin() and done() of {self}"
            raise SliceMisused(msg)
        self.pending += 1

    def acked(self, count: int) -> None:
        """The broker acknowledged ``count`` rows and outputs of this slice."""
        self.pending -= count
        if self.complete:
            self._keeper.slice_complete(self)

    @property
    def partition(self) -> int:
        """The partition all records are of."""
        return int(self.tp.partition)

    @property
    def complete(self) -> bool:
        """Whether the slice's offset may be committed."""
        return self.closed and not self.pending

    def __repr__(self) -> str:
        return f"<slice {self.tp.topic}[{self.tp.partition}] {self.first_offset}..{self.last_offset}>"


class SliceSchema(faust.Schema):  # type: ignore[misc]
    """Hands a slice through as an event's value; nothing is decoded by Faust."""

    def loads_key(self, app: Any, message: Any, **kwargs: Any) -> None:
        """A slice has no key."""

    def loads_value(self, app: Any, message: Any, **kwargs: Any) -> Any:
        """The slice itself."""
        del app, kwargs
        return message.value
