"""The executor's inputs from the tables: open positions, and each market's terms for an epoch."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from models.codec import decode_order, decode_row
from models.engine.tables import ACCOUNTS, INSTRUMENTS, WATERMARKS
from models.ids import account_key, mark_key, market_key, split_key
from models.instruments import decode_instrument
from models.money import E18
from models.prices import decode_mark
from models.symmio.funding import funding_rates
from models.symmio.funding_plan import next_window, window_at
from models.symmio.holding import decode_holding
from models.symmio.markets import decode_market
from models.watermarks import decode_watermark
from streams.funder.funding_records import Epoch, FrozenMarket
from streams.kafka.feed import Feed
from streams.kafka.topics import changelog_name
from streams.process.supervision import supervised
from streams.settings import symmio_deployments
from streams.valuing.market_marks import MarketMarks

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from models.prices import Mark
    from models.symmio.funding_plan import Window
    from models.symmio.holding import OpenPosition
    from models.symmio.markets import Market
    from streams.process.clock import Clock
    from streams.settings import Settings

# An epoch is charged at the last mark before it begins, also by an executor that comes some minutes later.
_SAMPLE_MS = 10_000
_SAMPLES = 60


class Samples:
    """The last mark of every ten seconds, for ten minutes.

    They keep the funding rate that an exchange charged at the end of an interval: right after it, marks carry the rate
    of the next interval.
    """

    def __init__(self) -> None:
        self._marks: dict[bytes, deque[Mark]] = {}

    def add(self, key: bytes, mark: Mark) -> None:
        """Take a newer mark in."""
        marks = self._marks.setdefault(key, deque(maxlen=_SAMPLES))
        if marks and marks[-1].event_ms // _SAMPLE_MS == mark.event_ms // _SAMPLE_MS:
            marks[-1] = mark
        else:
            marks.append(mark)

    def before(self, key: bytes, end_ms: int) -> Mark | None:
        """Find the last mark before ``end_ms``, else the newest one; None where there is none at all."""
        marks = self._marks.get(key)
        if not marks:
            return None
        return next((mark for mark in reversed(marks) if mark.event_ms < end_ms), marks[-1])


class Tables:
    """The tables of one deployment, as far as the executor reads them.

    Args:
        settings: Name the changelogs.
        name: The deployment's name.
        clock: Tells which marks are stale.
        fatal: Called with the error of a feed that ended.
    """

    def __init__(self, settings: Settings, name: str, clock: Clock, fatal: Callable[[BaseException], None]) -> None:
        self._name = name
        self._deployment = symmio_deployments(settings)[name]
        self._funding = self._deployment.funding
        self.when = self._funding.when
        self._fatal = fatal
        # Epochs are looked at when they begin, whatever moves before.
        self._markets = MarketMarks(settings, clock, fatal, lambda _: None, lambda _: None)
        self._accounts = Feed(settings.bootstrap, changelog_name(settings, ACCOUNTS), clock)
        self._instruments = Feed(settings.bootstrap, changelog_name(settings, INSTRUMENTS), clock)
        self._watermarks = Feed(settings.bootstrap, changelog_name(settings, WATERMARKS), clock)
        self._partitions = settings.topics.partitions
        self._samples = Samples()
        self._markets.marks.listen(self._sample)
        self._watching: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Read the changelogs to their ends, then follow."""
        await self._markets.start()
        feeds = (self._accounts, self._instruments, self._watermarks)
        for feed in feeds:
            await feed.start()
        for feed in feeds:
            await feed.wait_ready()
        self._watching = [supervised(feed.closed(), feed.topic, self._fatal) for feed in feeds]

    async def stop(self) -> None:
        """Stop following."""
        for task in self._watching:
            task.cancel()
        await self._markets.stop()
        await self._accounts.stop()
        await self._instruments.stop()
        await self._watermarks.stop()

    @property
    def time_s(self) -> int:
        """The chain's time up to which every partition of the accounts is folded, Unix s; 0 where one is not yet."""
        rows = (self._watermarks.rows.get(f"{self._name}:{number}".encode()) for number in range(self._partitions))
        return min(0 if row is None else decode_watermark(decode_row(row).body).head_time_s for row in rows)

    def positions(self, party_b: str) -> dict[str, list[OpenPosition]]:
        """Find every account's open positions with ``party_b``; a suspect account's are those of its last good row."""
        found: dict[str, list[OpenPosition]] = {}
        prefix = account_key(self._name, "")
        for key, row in self._accounts.rows.items():
            if not key.startswith(prefix):
                continue
            holding = decode_holding(row, decode_order(row)[1])
            ours = [position for position in holding.positions if position.party_b == party_b]
            if ours:
                found[split_key(key)[1]] = ours
        return found

    def open_windows(self, now_s: int) -> dict[Epoch, Window]:
        """Find the windows that are open at the chain's time ``now_s``, by the epoch that is charged in them."""
        found: dict[Epoch, Window] = {}
        for epoch_s, window_s in self.kinds:
            window = window_at(now_s, epoch_s, window_s, self.when)
            if window is not None:
                found[Epoch(epoch_s, window_s, window.pays_s)] = window
        return found

    def next_windows(self, now_s: int) -> dict[Epoch, Window]:
        """Find the windows that are open at the chain's time ``now_s``, or open next, by their epoch."""
        found: dict[Epoch, Window] = {}
        for epoch_s, window_s in self.kinds:
            window = next_window(now_s, epoch_s, window_s, self.when)
            found[Epoch(epoch_s, window_s, window.pays_s)] = window
        return found

    @property
    def kinds(self) -> set[tuple[int, int]]:
        """The pairs of funding epoch and window, in s, that markets have."""
        return set(self._funded().values())

    def markets(self, epoch: Epoch) -> set[int]:
        """Find the ids of the markets that have an epoch."""
        kind = epoch.epoch_s, epoch.window_s
        return {symbol_id for symbol_id, found in self._funded().items() if found == kind}

    def freeze(self, symbol_id: int, window: Window) -> FrozenMarket | str:
        """Find a market's terms for the epoch of ``window``, or why it has none."""
        market = self._market(symbol_id)
        if market is None or market.name is None:
            return "the tables do not know it"
        used = self._markets.board.used(self._name, symbol_id)
        if used is None or used.stale:
            return "it has no mark" if used is None else "its mark is stale"
        rated = self._rated(market.name, window.pays_s)
        if rated is None:
            return "no source says a funding rate"
        rate_key, venue_rate = rated
        interval_s = self._interval_s(rate_key) if self._funding.scale else None
        if self._funding.scale and interval_s is None:
            return "the exchange's funding interval is not known"
        rates = funding_rates(
            venue_rate,
            epoch_s=window.epoch_s,
            interval_s=interval_s,
            share_e18=int(self._funding.share * E18),
            max_rate_e18=int(self._funding.max_rate * E18),
        )
        mark = self._samples.before(used.key.encode(), window.pays_s * 1_000)
        return FrozenMarket(
            mark=str(used.mark_e18 if mark is None else mark.mark_e18),
            mark_key=used.key,
            venue_rate=str(venue_rate),
            long=str(rates.long_e18),
            short=str(rates.short_e18),
        )

    def _rated(self, name: str, pays_s: int) -> tuple[bytes, int] | None:
        """Find the first of a market's sources that has a funding rate, and its rate before ``pays_s``."""
        for ref in self._deployment.prices_of(name):
            key = mark_key(ref.source, ref.symbol)
            mark = self._samples.before(key, pays_s * 1_000)
            if mark is not None and mark.funding_rate_e18 is not None:
                return key, mark.funding_rate_e18
        return None

    def _interval_s(self, key: bytes) -> int | None:
        row = self._instruments.rows.get(key)
        funding = None if row is None else decode_instrument(decode_row(row).body).funding
        return None if funding is None else funding.interval_s

    def _funded(self) -> dict[int, tuple[int, int]]:
        """Find funding epoch and window, in s, of every valid market that has an epoch."""
        found: dict[int, tuple[int, int]] = {}
        prefix = market_key(self._name, 0).removesuffix(b"0")
        for key in self._markets.names.rows:
            if not key.startswith(prefix):
                continue
            symbol_id = int(split_key(key)[1])
            market = self._market(symbol_id)
            if market is not None and market.is_valid and market.funding_rate_epoch_duration_s:
                found[symbol_id] = market.funding_rate_epoch_duration_s, market.funding_rate_window_s or 0
        return found

    def _market(self, symbol_id: int) -> Market | None:
        row = self._markets.names.rows.get(market_key(self._name, symbol_id))
        return None if row is None else decode_market(symbol_id, decode_row(row).body)

    def _sample(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            row = self._markets.marks.rows.get(key)
            if row is not None:
                self._samples.add(key, decode_mark(decode_row(row).body))
