"""A log in a list, which hands out few records at a time, of one place or several as it is told."""

from __future__ import annotations

from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

from streams.replay.bounded_log import BrokenOff, Held, LogRecord, NoSuchTopic, Place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence

    from models.errors import TidemarkError
    from streams.replay.bounded_log import Span


def record(  # noqa: PLR0917 - in the order of a record
    topic: str, partition: int, offset: int, time_ms: int, value: str = "{}", key: str = "k"
) -> LogRecord:
    return LogRecord(time_ms, topic, partition, offset, key.encode(), value.encode())


def all_read(record: LogRecord, error: TidemarkError) -> None:
    """Fail at a record that cannot be read."""
    msg = f"{record} cannot be read"
    raise AssertionError(msg) from error


class ListedLog:
    """Records of some places.

    Args:
        records: In any order.
        held: What is held of each place; by default from offset 0 to the last record.
        draws: Choose how much is handed out at a time.
        breaks_after: After how many calls the reading breaks off; never by default.
    """

    def __init__(
        self,
        records: Iterable[LogRecord],
        held: Mapping[Place, Held] | None = None,
        *,
        draws: Random | None = None,
        breaks_after: int | None = None,
    ) -> None:
        self.of: dict[Place, list[LogRecord]] = {}
        for one in sorted(records, key=lambda one: (one.place, one.offset)):
            self.of.setdefault(one.place, []).append(one)
        self._held = held or {place: Held(0, records[-1].offset + 1, None) for place, records in self.of.items()}
        self._draws = draws or Random(1)
        self._breaks_after = breaks_after
        self.cluster_id = "listed"

    def all_records(self) -> list[LogRecord]:
        """What it was made of."""
        return [one for records in self.of.values() for one in records]

    async def cluster(self) -> str | None:
        return self.cluster_id

    async def all_clusters(self) -> Mapping[str, Mapping[str, Mapping[int, int]]]:
        return {}

    async def held(self, topics: Collection[str]) -> Mapping[Place, Held]:
        if missing := set(topics) - {place.topic for place in self._held}:
            raise NoSuchTopic(str(missing))
        return {place: held for place, held in self._held.items() if place.topic in topics}

    async def find(self, held: Mapping[Place, Held], time_ms: int) -> Mapping[Place, int]:
        return {
            place: next(
                (
                    one.offset
                    for one in self.of.get(place, [])
                    if one.offset >= of_place.begin and one.time_ms >= time_ms
                ),
                of_place.end,
            )
            for place, of_place in held.items()
        }

    @asynccontextmanager
    async def reading(self, vector: Mapping[Place, Span]) -> AsyncIterator[_ListedReading]:
        left = {
            place: [one for one in self.of.get(place, []) if span.begin <= one.offset < span.end]
            for place, span in vector.items()
        }
        yield _ListedReading(left, self._draws, self._breaks_after)


class _ListedReading:
    def __init__(self, left: dict[Place, list[LogRecord]], draws: Random, breaks_after: int | None) -> None:
        self._left = left
        self._draws = draws
        self._calls_left = breaks_after

    async def more(self, places: Collection[Place]) -> Mapping[Place, Sequence[LogRecord]]:
        if self._calls_left is not None:
            if not self._calls_left:
                msg = "the broker stopped"
                raise BrokenOff(msg)
            self._calls_left -= 1
        chosen = self._draws.sample(sorted(places), self._draws.randint(1, len(places)))
        found = {}
        for place in chosen:
            count = self._draws.randint(1, 3)
            found[place], self._left[place] = self._left[place][:count], self._left[place][count:]
        return found
