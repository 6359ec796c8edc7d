"""The mark and the exchange's rate of an epoch, chosen among what the sources of a market said of its instant.

The choice is a function of ``price-ticks`` alone, so whoever reads them, and whenever, chooses the same. Of each
source only the ticks count whose event was at the instant or in the five minutes before it, and of these only the ones
that stand in the log before the source has **passed** the instant: before its first tick of an event more than
``PASSED_MS`` after it. Until then nothing of the source is settled; from then on no tick changes anything.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from models.engine.board import choose_mark
from models.prices import later_mark

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from models.engine.board import PriceSource
    from models.prices import Mark

PASSED_MS = 2_000
"""A source says its ticks within a second or so in the order of their events: two seconds on, none is still missing."""

LOOK_BACK_MS = 300_000
"""Nothing older counts. A feed that fell silent before the instant is charged at its last word, once it is back: within
five minutes a mark moves by a per cent at most times, and so does what is charged. Not to charge costs all of it."""

# A source that comes back later than this after another one of the market that can be used is not waited for.
_LATER_MS = 5_000
# Ticks of several partitions may be read in another order than they were received in, by so much.
_DELIVERED_MS = 2_000


class Unpriced(StrEnum):
    """Why a market has no terms."""

    NOT_KNOWN = "the tables do not know it"
    NOT_VALID = "it is not valid"
    NOT_PASSED = "no source that it can be priced by has said anything since the epoch's instant"
    NO_MARK = "no source said a price in the five minutes before the epoch's instant"
    NO_RATE = "no source said a funding rate for the interval of the epoch's instant"
    NO_INTERVAL = "the exchange's funding interval is not known"


PENDING: frozenset[str] = frozenset({Unpriced.NOT_KNOWN, Unpriced.NOT_PASSED, Unpriced.NO_INTERVAL})
"""Those that may pass. The others are so for good."""


class SourceSaid:
    """What one source said of an instant, as far as its ticks were read; they are added in the order of the log.

    Attributes:
        mark: The newest that counts, None where there is none.
        rate: The newest that counts and has the rate of the interval in which the instant lies, or which ends with it.
        passed_ms: When the tick was received by which it passed the instant, None before that.
        heard_ms: When the newest of its ticks was received, 0 before the first.

    Args:
        at_ms: The instant, Unix ms.
    """

    def __init__(self, at_ms: int) -> None:
        self._at_ms = at_ms
        self.mark: Mark | None = None
        self.rate: Mark | None = None
        self.passed_ms: int | None = None
        self.heard_ms = 0

    def add(self, mark: Mark) -> None:
        """Take in the next tick of the source."""
        self.heard_ms = max(self.heard_ms, mark.received_ms)
        if self.passed_ms is not None:
            return
        if mark.event_ms > self._at_ms + PASSED_MS:
            self.passed_ms = mark.received_ms
        elif self._at_ms - LOOK_BACK_MS <= mark.event_ms <= self._at_ms:
            self.mark = later_mark(self.mark, mark) or self.mark
            self.rate = self._rate(mark)

    def _rate(self, new: Mark) -> Mark | None:
        """Choose between the rate that stands and a new one.

        Right when an interval has ended, an exchange quotes the rate of the next one, and that may come with an event
        of the very instant. So the rate of the interval that ends first counts, unless it has ended before. A tick that
        names no end may be of either: it counts where none names one. None of that depends on the order of the ticks.
        """
        standing, ends_ms = self.rate, new.next_funding_ms
        if new.funding_rate_e18 is None or (ends_ms and ends_ms < self._at_ms):
            return standing
        if standing is None:
            return new
        if not ends_ms or not standing.next_funding_ms:
            if bool(ends_ms) != bool(standing.next_funding_ms):
                return new if ends_ms else standing
        elif ends_ms != standing.next_funding_ms:
            return new if ends_ms < standing.next_funding_ms else standing
        return later_mark(standing, new) or standing


class Chosen(NamedTuple):
    """What was chosen for a market: the tick of the mark and that of the rate, each with the key of its source."""

    mark_key: bytes
    mark: Mark
    rate_key: bytes
    rate: Mark


def choose_at(sources: Sequence[PriceSource], said: Mapping[bytes, SourceSaid], at_ms: int) -> Chosen | Unpriced:
    """Choose the mark and the rate of a market at an instant.

    The mark is the one that the engine would use then: that of the first source which was fresh. Where none was, it is
    the newest. The rate is that of the first source that said one. A source counts if it has passed the instant, and
    did so within five seconds of the first one that can be used; so a source that is gone holds nothing up.

    Args:
        sources: The market's sources, in order of preference.
        said: What each of them said, by its key.
        at_ms: The instant, Unix ms.
    """
    mark_key = _marked(sources, said, at_ms)
    if isinstance(mark_key, Unpriced):
        return mark_key
    rate_key = _rated(sources, said)
    if isinstance(rate_key, Unpriced):
        return rate_key
    mark, rate = said[mark_key].mark, said[rate_key].rate
    if mark is None or rate is None:
        msg = "expected only sources to be chosen that said something"
        raise AssertionError(msg)
    return Chosen(mark_key, mark, rate_key, rate)


def _marked(sources: Sequence[PriceSource], said: Mapping[bytes, SourceSaid], at_ms: int) -> bytes | Unpriced:
    counting = _Counting([said[source.key] for source in sources], lambda one: one.mark)
    candidates: list[tuple[PriceSource, Mark | None]] = []
    for source in sources:
        if counting.is_awaited(said[source.key]):
            used = choose_mark(candidates, at_ms)
            return Unpriced.NOT_PASSED if used is None or used.stale else used.key.encode()
        candidates.append((source, counting.value(said[source.key])))
    used = choose_mark(candidates, at_ms)
    return Unpriced.NO_MARK if used is None else used.key.encode()


def _rated(sources: Sequence[PriceSource], said: Mapping[bytes, SourceSaid]) -> bytes | Unpriced:
    counting = _Counting([said[source.key] for source in sources], lambda one: one.rate)
    for source in sources:
        if counting.is_awaited(said[source.key]):
            return Unpriced.NOT_PASSED
        if counting.value(said[source.key]) is not None:
            return source.key
    return Unpriced.NO_RATE


class _Counting:
    """Which of a market's sources count, for one of the things that they say."""

    def __init__(self, all_said: Sequence[SourceSaid], of: Callable[[SourceSaid], Mark | None]) -> None:
        self._of = of
        passed_ms = [one.passed_ms for one in all_said if one.passed_ms is not None and of(one) is not None]
        self._until_ms = min(passed_ms) + _LATER_MS if passed_ms else None
        self._heard_ms = max((one.heard_ms for one in all_said), default=0)

    def is_awaited(self, one: SourceSaid) -> bool:
        """Whether it may still come to count."""
        if one.passed_ms is not None:
            return False
        return self._until_ms is None or self._heard_ms <= self._until_ms + _DELIVERED_MS

    def value(self, one: SourceSaid) -> Mark | None:
        """What it said, None where that does not count."""
        if one.passed_ms is None or self._until_ms is None or one.passed_ms > self._until_ms:
            return None
        return self._of(one)
