"""What a deployment's markets are worth now: marks and market names through Feeds, sources by configuration."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from models.codec import decode_row
from models.ids import mark_key, split_key
from models.prices import decode_mark
from models.symmio.valuation import choose_mark
from streams.kafka.feed import Feed
from streams.kafka.topics import MARKETS, MARKS, changelog_name
from streams.process.supervision import supervised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from models.prices import Mark
    from models.symmio.valuation import UsedMark
    from streams.process.clock import Clock
    from streams.settings import Settings

_log = logging.getLogger(__name__)
# Staleness is seen within this time of a limit of some seconds.
_AGE_CHECK_S = 0.5

MarketId = tuple[str, int]


class Markets:
    """The mark of every (deployment, symbol id), chosen from its sources in order of preference.

    ``on_moved`` is called with the markets whose mark, or whose staleness, is another than before.
    """

    def __init__(self, settings: Settings, clock: Clock, fatal: Callable[[BaseException], None]) -> None:
        self._settings = settings
        self._clock = clock
        self._fatal = fatal
        self.on_moved: Callable[[Iterable[MarketId]], None] | None = None
        self._marks: dict[bytes, Mark] = {}
        self._sources: dict[MarketId, tuple[tuple[bytes, int], ...]] = {}
        self._markets_of: dict[bytes, set[MarketId]] = {}
        self._used: dict[MarketId, UsedMark] = {}
        kafka = settings.bootstrap
        self.marks = Feed(kafka, changelog_name(settings, MARKS), clock)
        self.marks.listen(self._marks_moved)
        self.names = Feed(kafka, changelog_name(settings, MARKETS), clock)
        self.names.listen(self._names_changed)
        self._watching: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Read both changelogs to their ends, then follow."""
        await self.names.start()
        await self.marks.start()
        await self.names.wait_ready()
        await self.marks.wait_ready()
        self._watching = [
            supervised(self._watch_ages(), "mark ages", self._fatal),
            supervised(self.names.closed(), "markets feed", self._fatal),
            supervised(self.marks.closed(), "marks feed", self._fatal),
        ]

    async def stop(self) -> None:
        """Disconnect."""
        for task in self._watching:
            task.cancel()
        await self.names.stop()
        await self.marks.stop()

    def used_mark(self, deployment: str, symbol_id: int) -> UsedMark | None:
        """The mark a market is valued at, None where no source has ever had one."""
        return self._used.get((deployment, symbol_id))

    def oldest_mark_age_ms(self) -> int | None:
        """Age of the oldest mark in use, None where none is."""
        now_ms = self._clock.now_ms()
        ages = [now_ms - self._marks[used.key.encode()].received_ms for used in self._used.values()]
        return max(ages, default=None)

    async def _watch_ages(self) -> None:
        while True:
            await asyncio.sleep(_AGE_CHECK_S)
            self._choose(list(self._sources))

    def _marks_moved(self, keys: Sequence[bytes]) -> None:
        markets: set[MarketId] = set()
        for key in keys:
            row = self.marks.rows.get(key)
            if row is not None:
                self._marks[key] = decode_mark(decode_row(row).body)
            markets |= self._markets_of.get(key, set())
        self._choose(markets)

    def _names_changed(self, keys: Sequence[bytes]) -> None:
        changed = []
        for key in keys:
            row = self.names.rows.get(key)
            deployment, symbol = split_key(key)
            configured = self._settings.deployments.get(deployment)
            if row is None or configured is None:
                continue
            market = (deployment, int(symbol))
            sources = tuple(
                (mark_key(ref.source, ref.symbol), ref.max_age_ms)
                for ref in configured.prices_of(decode_row(row).body["name"])
            )
            for mark, _ in self._sources.get(market, ()):
                self._markets_of[mark].discard(market)
            for mark, _ in sources:
                self._markets_of.setdefault(mark, set()).add(market)
            self._sources[market] = sources
            changed.append(market)
        self._choose(changed)

    def _choose(self, markets: Iterable[MarketId]) -> None:
        now = self._clock.now_ms()
        moved = []
        for market in markets:
            candidates = [(key.decode(), self._marks.get(key), age_ms) for key, age_ms in self._sources[market]]
            used = choose_mark(candidates, now)
            if used == self._used.get(market):
                continue
            moved.append(market)
            if used is None:
                del self._used[market]
            else:
                self._used[market] = used
        if moved and self.on_moved is not None:
            self.on_moved(moved)
