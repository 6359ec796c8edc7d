"""What a broker does with fetch sessions (KIP-227), said as plainly as can be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiokafka.errors import FetchSessionIdNotFound, InvalidFetchSessionEpoch
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11, FetchResponse_v11

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.kafka.fetch_sessions import SessionFetch

# Where each partition is to be fetched from.
Asked = dict[tuple[str, int], int]


def whole_fetch(asked: Mapping[tuple[str, int], int]) -> FetchRequest:
    """What aiokafka asks for, by topic and partition the offset."""
    topics = sorted({topic for topic, _ in asked})
    return FetchRequest(
        50, 1, 1_000, 1, [(t, [(n, offset, 100) for (of, n), offset in asked.items() if of == t]) for t in topics]
    )


@dataclass
class SessionBroker:
    """A broker that fetches nothing and says of each request what it would fetch.

    Args:
        has_room: Whether it keeps the sessions that are begun.
    """

    has_room: bool = True
    sessions: dict[int, tuple[int, Asked]] = field(default_factory=dict)
    _last_id: int = 100

    def answer(self, request: SessionFetch) -> tuple[Asked, FetchResponse_v11]:
        """What it fetches upon a request, and what it answers."""
        struct = request.build(FetchRequest_v11)
        named = {(topic, it[0]): it[2] for topic, partitions in struct.topics for it in partitions}
        forgotten = {(topic, number) for topic, numbers in struct.forgotten_topics_data for number in numbers}
        if struct.session_epoch == 0:
            assert not forgotten
            self.sessions.pop(struct.session_id, None)
            if not self.has_room:
                return named, _answer(0)
            self._last_id += 1
            self.sessions[self._last_id] = (1, named)
            return named, _answer(self._last_id)
        if struct.session_id not in self.sessions:
            return {}, _answer(0, error=FetchSessionIdNotFound.errno)
        expected, kept = self.sessions[struct.session_id]
        if struct.session_epoch != expected:
            return {}, _answer(0, error=InvalidFetchSessionEpoch.errno)
        assert forgotten <= kept.keys(), "expected what is forgotten to have been asked for"
        kept = {tp: offset for tp, offset in (kept | named).items() if tp not in forgotten}
        self.sessions[struct.session_id] = (1 if expected == 2**31 - 1 else expected + 1, kept)
        return kept, _answer(struct.session_id)


def _answer(session_id: int, error: int = 0) -> FetchResponse_v11:
    return FetchResponse_v11(throttle_time_ms=0, error_code=error, session_id=session_id, topics=[])
