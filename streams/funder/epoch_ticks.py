"""What the topics say of an epoch's instant: the ticks about it, and the exchange's funding intervals as of then."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from models.errors import BadRecord
from models.ids import mark_key
from models.instruments import FundingTermsFact, Instrument, decode_fact, fold_fact
from models.prices import decode_tick, mark_of
from models.symmio.epoch_prices import LOOK_BACK_MS, SourceSaid
from streams.funder.topic_span import TopicSpan
from streams.kafka.topics import INSTRUMENT_FACTS, PRICE_TICKS, topic_name

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from models.instruments import FundingTerms
    from streams.settings import Settings

# A record is stamped when it is written, by the clock of ingest's host; the instant is the chain's. A minute is more
# than they differ, and more than a tick may be of an event to come.
_MARGIN_MS = 60_000
# Funding terms are asked for every ten minutes. A venue that does not answer for two hours is a rare one, and two hours
# of facts are read in some seconds.
_FACTS_BACK_MS = 7_200_000


class Instant(NamedTuple):
    """An epoch's instant, when its window closes, and the time now: all in Unix ms, the first two by the chain."""

    at_ms: int
    closes_ms: int
    now_ms: int


class EpochTicks:
    """What the topics say of one instant, for some sources.

    Args:
        settings: Name the topics and the broker.
        instant: The instant; what was written after its window is not read.
        keys: The sources' keys.

    Attributes:
        said: What each source said of the instant, as far as it was read.
    """

    def __init__(self, settings: Settings, instant: Instant, keys: Collection[bytes]) -> None:
        self._at_ms = instant.at_ms
        self.said: Mapping[bytes, SourceSaid] = {key: SourceSaid(instant.at_ms) for key in keys}
        self._terms: dict[bytes, Instrument] = {}
        # Where the chain's time is ahead of ours, nothing of that time has been written yet.
        begin_ms = min(instant.at_ms, instant.now_ms) - _MARGIN_MS
        self._ticks = TopicSpan(
            settings,
            topic_name(settings, PRICE_TICKS),
            keys,
            since_ms=begin_ms - LOOK_BACK_MS,
            until_ms=instant.closes_ms + _MARGIN_MS,
            take=self._take_tick,
        )
        self._facts = TopicSpan(
            settings,
            topic_name(settings, INSTRUMENT_FACTS),
            keys,
            since_ms=begin_ms - _FACTS_BACK_MS,
            until_ms=instant.at_ms + _MARGIN_MS,
            take=self._take_fact,
        )

    async def read_on(self) -> None:
        """Read the ticks that have been written until now.

        Raises:
            NotRead: The broker does not answer.
        """
        await self._ticks.read_on()

    async def read_terms(self) -> None:
        """Read the funding terms that were said before the instant; ``interval_s`` tells them from newer ones.

        Raises:
            NotRead: The broker does not answer.
        """
        await self._facts.read_on()

    def interval_s(self, key: bytes, newest: FundingTerms | None) -> int | None:
        """The exchange's funding interval of a source as of the instant, in s; None where it is not known.

        An exchange changes it only when an interval ends, which is when an epoch begins: a moment later the tables may
        have the next one.

        Args:
            key: The source's key.
            newest: The terms that the tables have.
        """
        if newest is not None and newest.received_ms > self._at_ms:
            newest = self._terms.get(key, Instrument()).funding or newest
        return None if newest is None else newest.interval_s

    def _take_tick(self, key: bytes, value: bytes, offset: int) -> None:
        tick = decode_tick(value)
        if mark_key(tick.source, tick.symbol) != key:
            msg = f"expected a tick of {key!r}, found one of {tick.source}:{tick.symbol}"
            raise BadRecord(msg)
        self.said[key].add(mark_of(tick, offset))

    def _take_fact(self, key: bytes, value: bytes, offset: int) -> None:
        del offset
        fact = decode_fact(value)
        if isinstance(fact, FundingTermsFact) and fact.received_ms <= self._at_ms:
            self._terms[key] = fold_fact(self._terms.get(key, Instrument()), fact)
