"""The executor's inputs from the tables: open positions, and each market's terms for an epoch."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from aiokafka.errors import KafkaError

from models.engine.missed_records import read_held
from models.engine.stored_rows import readable
from models.engine.tables import ACCOUNTS, INSTRUMENTS, MARKETS, WATERMARKS
from models.ids import account_key, market_key, split_key
from models.instruments import decode_instrument
from models.money import E18
from models.symmio.epoch_prices import Unpriced, choose_at
from models.symmio.funding import funding_rates
from models.symmio.funding_plan import next_window, refusal_of, window_at, window_of
from models.symmio.funding_records import Epoch, FrozenMarket, TickRef
from models.symmio.markets import decode_market
from models.symmio.venue import SYMMIO
from models.watermarks import decode_watermark
from streams.funder.epoch_moves import moves_since
from streams.funder.epoch_ticks import EpochTicks, Instant
from streams.funder.topic_span import NotRead
from streams.kafka.feed import Feed
from streams.kafka.partitions import partition_of
from streams.kafka.shared_consumer import BUSY_WAIT_MS, SharedConsumer
from streams.kafka.topics import PRICE_TICKS, topic_name
from streams.process.supervision import supervised
from streams.process.unreadable_rows import note_unreadable
from streams.settings import symmio_deployments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from models.instruments import FundingTerms
    from models.prices import Mark
    from models.symmio.funding_plan import Window
    from models.symmio.holding import OpenPosition
    from models.symmio.markets import Market
    from models.symmio.position_moves import Moves
    from models.watermarks import DeploymentWatermark
    from streams.process.clock import Clock
    from streams.settings import Settings

T = TypeVar("T")

_log = logging.getLogger(__name__)

# Two seconds after an instant its marks are settled, and three more leave time for them to be written.
_SETTLED_S = 5
# A feed that has stopped must not keep a pass from looking after what is under way.
_CAUGHT_UP_WITHIN_S = 10.0


def expected_terms_of(window: Window, now_s: int) -> Window:
    """A window at whose instant the terms can be found now: the window itself once it is open.

    Before that it is one that had opened a moment ago, since nothing is known of a time to come.

    Args:
        window: The window that is open, or opens next.
        now_s: The chain's time, Unix s.
    """
    return window if window.opens_s <= now_s else window._replace(opens_s=now_s - _SETTLED_S)


class Tables:
    """The tables of one deployment, as far as the executor reads them.

    Args:
        settings: Name the changelogs.
        name: The deployment's name.
        clock: Tells how far back ticks are read.
        fatal: Called with the error of a feed that ended.

    Attributes:
        when: Whether windows open before or after their epoch.
        ticks_topic: The topic whose ticks terms name.
    """

    def __init__(self, settings: Settings, name: str, clock: Clock, fatal: Callable[[BaseException], None]) -> None:
        self._name = name
        self._deployment = symmio_deployments(settings)[name]
        self._funding = self._deployment.funding
        self.when = self._funding.when
        self.ticks_topic = topic_name(settings, PRICE_TICKS)
        self._fatal = fatal
        self._settings = settings
        self._clock = clock
        self._markets = Feed.of(settings, MARKETS, clock)
        self._accounts = Feed.of(settings, ACCOUNTS, clock)
        self._instruments = Feed.of(settings, INSTRUMENTS, clock)
        self._watermarks = Feed.of(settings, WATERMARKS, clock)
        self._partitions = settings.topics.partitions
        self._ticks: dict[Window, EpochTicks] = {}
        # The executors of several hedgers ask for the same ticks.
        self._reading = asyncio.Lock()
        self._told: set[tuple[int, int]] = set()
        self._watching: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Read the changelogs to their ends, then follow."""
        feeds = (self._markets, self._accounts, self._instruments, self._watermarks)
        consumer = SharedConsumer(self._settings.bootstrap, BUSY_WAIT_MS)
        for feed in feeds:
            feed.read_through(consumer)
        await asyncio.gather(*(feed.start() for feed in feeds))
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
        return min(0 if mark is None else mark.head_time_s for _, _, mark in self._watermarks_read())

    async def known_until_s(self) -> int:
        """Wait until all is known that was folded by ``time_s``, and return that time, Unix s.

        The feeds are read side by side: that of the watermarks may be ahead of that of the accounts.

        Raises:
            NotRead: The broker does not answer.
        """
        time_s = self.time_s
        try:
            async with asyncio.timeout(_CAUGHT_UP_WITHIN_S):
                await self._markets.read_until_now()
                await self._accounts.read_until_now()
        except (KafkaError, TimeoutError) as error:
            msg = f"expected the broker to hand out the accounts that were folded by {time_s}, found: {error!r}"
            raise NotRead(msg) from error
        return time_s

    @property
    def refusal(self) -> str | None:
        """Why nothing of the deployment may be charged, None where it may: what is known of it may not be true."""
        for key, row, mark in self._watermarks_read():
            if row is not None and mark is None:
                return f"whether the deployment is supported cannot be read out of its watermark {key.decode()}"
            if mark is not None and mark.unsupported_since is not None:
                return f"the deployment is not supported since block {mark.unsupported_since}: {mark.reason}"
        return None

    def positions(self, party_b: str) -> dict[str, list[OpenPosition]]:
        """Find every account's open positions with ``party_b``; a suspect account's are those of its last good row.

        One whose row cannot be read has none here: nobody knows what to charge it.
        """
        found: dict[str, list[OpenPosition]] = {}
        prefix = account_key(self._name, "")
        for key, row in self._accounts.rows.items():
            if not key.startswith(prefix):
                continue
            holding = _readable(ACCOUNTS, key, row, partial(read_held, SYMMIO))
            if holding is None:
                continue
            ours = [position for position in holding.positions if position.party_b == party_b]
            if ours:
                found[split_key(key)[1]] = ours
        return found

    async def read_moves(self, window: Window, now_s: int) -> Moves:
        """Read which positions were opened, and which have ended, since the instant at which ``window`` opens.

        Whatever ``positions`` said before, is of a time that this reaches beyond.

        Args:
            window: When the epoch is charged.
            now_s: The chain's time, Unix s.

        Raises:
            NotRead: The broker does not answer.
        """
        prefix = account_key(self._name, "")
        keys = {key for key in self._accounts.rows if key.startswith(prefix)}
        keys.add(self._name.encode())
        now_ms = self._clock.now_ms()
        return await moves_since(self._settings, window.opens_s, chain_s=now_s, now_ms=now_ms, keys=keys)

    def open_windows(self, now_s: int) -> dict[Epoch, Window]:
        """Find the windows that are open at the chain's time ``now_s``, by the epoch that is charged in them."""
        found: dict[Epoch, Window] = {}
        for epoch_s, window_s in self.kinds:
            window = window_at(now_s, epoch_s, window_s, self.when)
            if window is not None:
                found[Epoch(epoch_s, window_s, window.pays_s)] = window
            elif (epoch_s, window_s) not in self._told:
                self._tell_unopened(epoch_s, window_s)
        return found

    def _tell_unopened(self, epoch_s: int, window_s: int) -> None:
        """Say that markets are never charged whose window never opens, so that no record of an epoch can say it."""
        self._told.add((epoch_s, window_s))
        window = window_of(epoch_s, epoch_s, window_s, self.when)
        if window.opens_s > window.closes_s:
            kind = epoch_s, window_s
            symbols = sorted(symbol_id for symbol_id, found in self._funded().items() if found == kind)
            _log.error("never charged symbols=%s: %s", symbols, refusal_of(epoch_s, window_s, self.when))

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

    async def read_prices(self, window: Window) -> EpochTicks:
        """Read what has been written of the instant at which ``window`` opens, for all markets that have its epoch.

        Returns:
            What was read, for ``freeze``; what is read of other windows meanwhile changes nothing in it.

        Raises:
            NotRead: The broker does not answer.
        """
        async with self._reading:
            keys = self._keys()
            # A market that became known since has sources of which nothing was read.
            if window not in self._ticks or keys - self._ticks[window].said.keys():
                # What was missed in a window that has closed is never charged.
                self._ticks = {one: ticks for one, ticks in self._ticks.items() if one.closes_s >= window.opens_s}
                self._ticks[window] = self._new_ticks(window, keys)
            ticks = self._ticks[window]
            await ticks.read_on()
            if self._funding.scale and any(
                terms is not None and terms.received_ms > window.opens_s * 1_000
                for terms in map(self._funding_terms, ticks.said)
            ):
                await ticks.read_terms()
            return ticks

    def freeze(self, ticks: EpochTicks, symbol_id: int, window: Window) -> FrozenMarket | str:
        """Find a market's terms for the epoch of ``window``, or why it has none so far.

        Args:
            ticks: What ``read_prices`` read of the window.
            symbol_id: The market's id.
            window: When the epoch is charged.
        """
        market = self._market(symbol_id)
        if market is None or market.name is None:
            return Unpriced.NOT_KNOWN
        if not market.is_valid:
            return Unpriced.NOT_VALID
        refusal = refusal_of(window.epoch_s, market.funding_rate_window_s or 0, self.when)
        if refusal is not None:
            return refusal
        sources = self._deployment.price_sources(market.name)
        if any(source.key not in ticks.said for source in sources):
            return Unpriced.NOT_KNOWN
        chosen = choose_at(sources, ticks.said, window.opens_s * 1_000)
        if isinstance(chosen, Unpriced):
            return chosen
        interval_s = None
        if self._funding.scale:
            interval_s = ticks.interval_s(chosen.rate_key, self._funding_terms(chosen.rate_key))
            if interval_s is None:
                return Unpriced.NO_INTERVAL
        venue_rate = chosen.rate.funding_rate_e18 or 0
        rates = funding_rates(
            venue_rate,
            epoch_s=window.epoch_s,
            interval_s=interval_s,
            share_e18=int(self._funding.share * E18),
            max_rate_e18=int(self._funding.max_rate * E18),
        )
        return FrozenMarket(
            mark=str(chosen.mark.mark_e18),
            mark_key=chosen.mark_key.decode(),
            venue_rate=str(venue_rate),
            long=str(rates.long_e18),
            short=str(rates.short_e18),
            mark_tick=self._ref(chosen.mark_key, chosen.mark),
            rate_tick=self._ref(chosen.rate_key, chosen.rate),
            interval_s=interval_s,
        )

    def _keys(self) -> set[bytes]:
        """The keys of all sources of markets that have an epoch."""
        keys: set[bytes] = set()
        for symbol_id in self._funded():
            market = self._market(symbol_id)
            if market is not None and market.name is not None:
                keys |= {source.key for source in self._deployment.price_sources(market.name)}
        return keys

    def _new_ticks(self, window: Window, keys: set[bytes]) -> EpochTicks:
        instant = Instant(window.opens_s * 1_000, window.closes_s * 1_000, self._clock.now_ms())
        return EpochTicks(self._settings, instant, keys)

    def _ref(self, key: bytes, mark: Mark) -> TickRef:
        return TickRef(key.decode(), partition_of(key, self._partitions), mark.offset, mark.event_ms)

    def _funding_terms(self, key: bytes) -> FundingTerms | None:
        instrument = _readable(INSTRUMENTS, key, self._instruments.rows.get(key), decode_instrument)
        return None if instrument is None else instrument.funding

    def _funded(self) -> dict[int, tuple[int, int]]:
        """Find funding epoch and window, in s, of every market that has an epoch, valid or not."""
        found: dict[int, tuple[int, int]] = {}
        prefix = market_key(self._name, 0).removesuffix(b"0")
        for key in self._markets.rows:
            if not key.startswith(prefix):
                continue
            symbol_id = int(split_key(key)[1])
            market = self._market(symbol_id)
            if market is not None and market.funding_rate_epoch_duration_s:
                found[symbol_id] = market.funding_rate_epoch_duration_s, market.funding_rate_window_s or 0
        return found

    def _market(self, symbol_id: int) -> Market | None:
        key = market_key(self._name, symbol_id)
        return _readable(MARKETS, key, self._markets.rows.get(key), partial(decode_market, symbol_id))

    def _watermarks_read(self) -> Iterator[tuple[bytes, bytes | None, DeploymentWatermark | None]]:
        """Every partition's key, its row, None where there is none yet, and what that says, if it can be read."""
        for number in range(self._partitions):
            key = f"{self._name}:{number}".encode()
            row = self._watermarks.rows.get(key)
            yield key, row, _readable(WATERMARKS, key, row, decode_watermark)


def _readable(table: str, key: bytes, row: bytes | None, decode: Callable[[bytes], T]) -> T | None:
    """What a row says; None where there is none or it cannot be read, so that nothing is charged by it."""
    return None if row is None else readable(note_unreadable, table, key, row, decode)
