"""What the engine makes of records: rows and outputs, in stages that say what must be durable before what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class RowId(NamedTuple):
    """A row of a table."""

    table: str
    key: bytes


class Write(NamedTuple):
    """A row to be written. Whoever writes it puts the owner's term before ``version`` and the encoded ``body``."""

    table: str
    key: bytes
    version: int
    body: bytes


class Served(NamedTuple):
    """What the topic ``served`` keeps of something that was shown and is no row of its own, under a key of its own."""

    key: bytes
    version: int
    body: bytes


class Kept(NamedTuple):
    """A record of the topic ``bookings``, which is sent to the partition that the step is of."""

    key: bytes
    value: bytes


class Output(NamedTuple):
    """A record to be folded, which is sent to the partition of ``key``, or to every partition."""

    key: bytes
    record: Any
    is_for_all: bool


@dataclass(frozen=True, slots=True)
class Stage:
    """What may become durable in any order.

    ``rests_on`` are rows that records changed nothing of. What is about to be committed relies on them, so they have to
    stand under the owner's own term: a late row of a fenced owner could hide them under an older one. ``bookings`` are
    what readers are told of what the rows follow from.
    """

    writes: Sequence[Write] = ()
    rests_on: Sequence[RowId] = ()
    outputs: Sequence[Output] = ()
    bookings: Sequence[Kept] = ()

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.writes or self.rests_on or self.outputs or self.bookings)


@dataclass(frozen=True, slots=True)
class Step:
    """What some records come to. All of a stage is durable before anything of the next one may be written."""

    stages: tuple[Stage, ...] = ()


def step_of(stages: Iterable[Stage]) -> Step:
    """A step of these stages, those left out in which there is nothing."""
    return Step(tuple(stage for stage in stages if stage))
