"""A slice: some records of one partition, which an agent handles as one event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import faust

from models.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from faust.types import TP

    from streams.kafka.record import Record

# What a record takes besides its value: the object and its key.
_RECORD_BYTES = 300


class SliceMisused(TidemarkError):
    """An agent broke the protocol of slices: begin, write, done, once each and in order. A fault of the agent."""


class SliceKeeper(Protocol):
    """Hands slices out, and commits them when they are complete; ``SliceConsumer`` does."""

    def begin(self, part: Slice) -> bool:
        """Note that a slice is begun; return False where its partition is no longer ours."""

    def slice_done(self, part: Slice) -> None:
        """Note that an agent is done with a slice."""

    def slice_complete(self, part: Slice) -> None:
        """Note that a slice is done, and that all its rows and outputs are acknowledged."""


class Slice:
    """Records of one partition, in offset order.

    The agent calls ``begin`` first, and leaves the slice alone where that returns False. It calls ``done`` after the
    last row and output.

    Args:
        records: At least one record, in offset order.
        tp: The topic and partition that they are of.
        keeper: Gets to know when the slice is begun, done and complete.
        follows: The offset up to which, exclusive, the partition was handed out before.

    Attributes:
        first_offset: Offset of the first record.
        last_offset: Offset of the last record.
        size: About what the slice takes in memory, in bytes.
        begun: Whether an agent has begun it.
        closed: Whether its agent is done with it.
        pending: How many of its rows and outputs are not acknowledged.
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
        """Begin the slice.

        Returns:
            False where its partition is no longer ours, and the slice must be left alone.

        Raises:
            SliceMisused: An earlier slice of the partition was begun and never done: going on would lose its records.
        """
        return self._keeper.begin(self)

    def done(self) -> None:
        """End the slice: every record is folded, and every row and output is written."""
        if self.closed or not self.begun:
            msg = f"expected one begin() and one done() for {self}, found done() {'twice' if self.closed else 'first'}"
            raise SliceMisused(msg)
        self.closed = True
        # A slice waits half a second for the next commit; at full speed, records of that time would take 100 MB.
        self._records = ()
        self._keeper.slice_done(self)

    def opened(self) -> None:
        """Count a row or output that is charged to this slice."""
        if self.closed or not self.begun:
            msg = f"expected writes between begin() and done() of {self}"
            raise SliceMisused(msg)
        self.pending += 1

    def acked(self, count: int) -> None:
        """Count ``count`` rows and outputs of this slice as acknowledged."""
        self.pending -= count
        if self.complete:
            self._keeper.slice_complete(self)

    @property
    def partition(self) -> int:
        """The partition of the records."""
        return int(self.tp.partition)

    @property
    def complete(self) -> bool:
        """Whether the slice's offset may be committed."""
        return self.closed and not self.pending

    def __repr__(self) -> str:
        return f"<slice {self.tp.topic}[{self.tp.partition}] {self.first_offset}..{self.last_offset}>"


class SliceSchema(faust.Schema):  # type: ignore[misc]
    """Hands a slice through as an event's value; Faust decodes nothing."""

    def loads_key(self, app: Any, message: Any, **kwargs: Any) -> None:
        """Does nothing: a slice has no key.

        Args:
            app: Faust's app.
            message: The event's message.
            **kwargs: What else Faust passes.
        """

    def loads_value(self, app: Any, message: Any, **kwargs: Any) -> Any:
        """Hand the slice through.

        Args:
            app: Faust's app.
            message: The event's message, whose value is the slice.
            **kwargs: What else Faust passes.
        """
        del app, kwargs
        return message.value
