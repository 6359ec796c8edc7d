"""How figures went, asked of the process that keeps it: a request on one topic, the answer on another."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from models.booking_requests import BookingsAnswer, BookingsRequest
from models.errors import BadRecord, TidemarkError
from models.history_records import (
    HISTORY_WAITED_FOR_S,
    HistoryAnswer,
    HistoryRequest,
    decode_answer,
    encode_request,
)
from streams.kafka.reader import TopicReader
from streams.kafka.single_records import NotWritten
from streams.kafka.topics import HISTORY_ANSWERS, HISTORY_REQUESTS, topic_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka import AIOKafkaConsumer, TopicPartition

    from models.booking_requests import Place
    from models.history_records import Answer, Request
    from streams.kafka.record import Record
    from streams.kafka.single_records import RecordSink
    from streams.process.clock import Clock
    from streams.settings import Settings

T = TypeVar("T")

_log = logging.getLogger(__name__)


class NoAnswer(TidemarkError):
    """Nobody has said how figures went. See whether ``tidemark history`` runs, and ask again."""


class BarWindow(NamedTuple):
    """Which bars are wanted.

    Attributes:
        step_s: Their step, in s.
        from_s: They begin with the bar that this instant lies in, Unix s.
        to_s: They begin before this instant, Unix s.
        most: How many at most.
    """

    step_s: int
    from_s: int
    to_s: int
    most: int


class BookingWindow(NamedTuple):
    """Which bookings are wanted, the newest first.

    Attributes:
        names: Their names, none for all.
        from_ms: They are of this instant or later, Unix ms.
        to_ms: They are of before this instant, Unix ms.
        before: They stand before this place.
        most: How many at most.
        is_closed: Whether the positions are wanted that were closed then, in place of bookings.
    """

    names: tuple[str, ...]
    from_ms: int
    to_ms: int
    before: Place
    most: int
    is_closed: bool = False


class HistorySource(Protocol):
    """Tells how figures went."""

    async def bars(self, series: str, window: BarWindow) -> HistoryAnswer:
        """The bars of an account, or of the totals of a deployment.

        Args:
            series: The account's key, or that of the totals.
            window: Which bars.

        Raises:
            NoAnswer: Nobody says so in time.
        """

    async def bookings(self, series: str, window: BookingWindow) -> BookingsAnswer:
        """The bookings of an account, or the positions that were closed.

        Args:
            series: The account's key.
            window: Which of them.

        Raises:
            NoAnswer: Nobody says so in time.
        """


class HistoryAnswers(TopicReader):
    """Asks on a topic, and hears the answers; those to other replicas are passed over.

    Args:
        settings: Name the broker and the topics.
        records: Take the requests.
        clock: As for ``TopicReader``.
    """

    def __init__(self, settings: Settings, records: RecordSink, clock: Clock) -> None:
        super().__init__(settings.bootstrap, topic_name(settings, HISTORY_ANSWERS), clock)
        self._records = records
        self._asked: dict[str, asyncio.Future[Answer]] = {}

    async def bars(self, series: str, window: BarWindow) -> HistoryAnswer:
        """The bars of an account, or of the totals of a deployment; arguments and errors are those of the protocol."""
        answer = await self._ask(HistoryRequest(uuid.uuid4().hex, series, *window))
        return _expected(answer, HistoryAnswer)

    async def bookings(self, series: str, window: BookingWindow) -> BookingsAnswer:
        """The bookings of an account; arguments and errors are those of the protocol."""
        answer = await self._ask(BookingsRequest(uuid.uuid4().hex, series, *window))
        return _expected(answer, BookingsAnswer)

    async def _ask(self, request: Request) -> Answer:
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked[request.id] = answered
        try:
            async with asyncio.timeout(HISTORY_WAITED_FOR_S):
                await self._records.send(HISTORY_REQUESTS, request.id.encode(), encode_request(request))
                return await answered
        except (NotWritten, TimeoutError) as error:
            msg = f"expected an answer on {self.topic} within {HISTORY_WAITED_FOR_S} s, found {error!r}"
            raise NoAnswer(msg) from error
        finally:
            del self._asked[request.id]

    async def begin_at(
        self, consumer: AIOKafkaConsumer, end: Mapping[TopicPartition, int]
    ) -> Mapping[TopicPartition, int]:
        """Begin at the end: what was asked before this replica began was asked by another."""
        del consumer
        return end

    def _take(self, fetched: Mapping[TopicPartition, Sequence[Record[bytes]]]) -> None:
        for tp, records in fetched.items():
            for record in records:
                answered = self._asked.get((record.key or b"").decode(errors="replace"))
                if answered is None or answered.done():
                    continue
                try:
                    answered.set_result(decode_answer(record.value))
                except BadRecord as error:
                    _log.warning("history refused partition=%d offset=%d error=%s", tp.partition, record.offset, error)


def _expected(answer: Answer, kind: type[T]) -> T:
    if isinstance(answer, kind):
        return answer
    msg = f"expected a {kind.__name__}, found {answer!r:.200}"
    raise NoAnswer(msg)
