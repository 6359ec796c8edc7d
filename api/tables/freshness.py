"""How old everything is that is shown: the one place where ages are made, which every surface asks."""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from api.tables.feeds import behind_ms
from models.freshness import (
    PRICES,
    VENUE,
    Age,
    Aging,
    Bounds,
    Part,
    State,
    Steady,
    ages_of,
    aging_of,
    chain_known_ms,
    part_of,
)
from models.heartbeats import HISTORY_KEY, ChainBeat, WorkerBeat, chain_key, funder_key, prices_key, worker_key
from models.ids import split_key
from streams.kafka.partitions import partition_of
from streams.settings import symmio_deployments
from streams.settings.venues import missing_venues

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from api.tables.feeds import Feeds
    from api.tables.market_prices import MarketPrices
    from models.engine.board import MarketId
    from models.views import View
    from streams.replicas.heartbeat_reader import Heartbeats
    from streams.settings import Settings

BROKER = "broker"
# Nothing that is shown is older for want of these.
_BESIDE = frozenset({"funder", "history"})

# Within this time what was seen holds for rows; a look takes some ms where there are hundreds of markets.
_LOOK_EVERY_S = 0.5
# A row may grow too old without anything else that changes: watched ones are looked at so often.
_ROWS_EVERY_S = 10.0
# An ingest that has a subscription looks at the head by itself after ten of its poll intervals.
_POLLS_BETWEEN_LOOKS = 12


class Whose(NamedTuple):
    """Whom an account's figures depend on beside the broker: its deployment, and the part that owns its partition."""

    deployment: str
    worker: str


class Seen(NamedTuple):
    """What was seen at a look.

    Attributes:
        at_ms: When, in Unix ms.
        parts: Every part that is expected, by name.
        stale_symbols: By deployment, the symbol ids of markets whose mark is too old.
        missing: The deployments whose venue is not installed here, so that nothing of them can be told.
        unfolded: By worker, the deployments that it does not fold.
    """

    at_ms: int
    parts: Mapping[str, Part]
    stale_symbols: Mapping[str, frozenset[int | str]]
    missing: frozenset[str]
    unfolded: Mapping[str, frozenset[str]]

    def causes_of(self, deployment: str, worker: str) -> tuple[str, ...]:
        """Kinds of the stale parts that an account depends on, and ``venue`` where nobody folds its records.

        Args:
            deployment: The account's.
            worker: The part that owns its partition.
        """
        names = (BROKER, chain_key(deployment), worker)
        parts = (self.parts[name] for name in names if name in self.parts)
        stale = tuple(part.kind for part in parts if part.state is State.STALE)
        return (*stale, VENUE) if deployment in self.missing or self.is_unfolded(deployment, worker) else stale

    def is_unfolded(self, deployment: str, worker: str) -> bool:
        """Whether the owner of a partition says that it does not fold the records of a deployment."""
        return deployment in self.unfolded.get(worker, ())

    @property
    def stale(self) -> list[Part]:
        """The parts that are stale and that make figures old."""
        return [part for part in self.parts.values() if part.state is State.STALE and self._makes_old(part)]

    def _makes_old(self, part: Part) -> bool:
        """Whether anything that is shown is old because of a part; a market may have its prices from another source."""
        return part.kind not in _BESIDE and (part.kind != PRICES or bool(self.stale_symbols))


class Freshness:
    """Looks at the ages of everything, and says what is stale.

    Args:
        settings: Say which parts there are, and how old they may be.
        feeds: Tell when the broker last answered.
        prices: Know how old each market's mark is.
        heartbeats: What processes said of themselves.
        clock_ms: Our own time, in Unix ms.
        has_broker: Whether there is a broker that answers; in a replay there is none.
    """

    def __init__(
        self,
        settings: Settings,
        feeds: Feeds,
        prices: MarketPrices,
        heartbeats: Heartbeats,
        clock_ms: Callable[[], int],
        *,
        has_broker: bool = True,
    ) -> None:
        bounds = settings.api.freshness
        self._bounds = Bounds(
            *(
                round(s * 1_000)
                for s in (bounds.broker_s, bounds.process_s, bounds.outside_s, bounds.head_s, bounds.row_s)
            )
        )
        self._partitions = settings.topics.partitions
        self._outside_ms = {
            chain_key(name): max(self._bounds.outside_ms, _POLLS_BETWEEN_LOOKS * deployment.poll_interval_ms)
            for name, deployment in symmio_deployments(settings).items()
        }
        self._names = (
            *(worker_key(partition) for partition in range(self._partitions)),
            *(chain_key(name) for name, one in settings.deployments.items() if one.is_followed),
            *(prices_key(name) for name in _sources(settings)),
            *(
                funder_key(name)
                for name, one in symmio_deployments(settings).items()
                if one.funding.party_b is not None
            ),
        )
        self._deployments = frozenset(settings.deployments)
        self._missing = missing_venues(settings.deployments)
        self._say_heads = frozenset(name for name, one in settings.deployments.items() if one.says_heads)
        self._steady = {name: Steady() for name in (BROKER, *self._names, HISTORY_KEY)}
        self._feeds = feeds
        self._prices = prices
        self._heartbeats = heartbeats
        self._clock_ms = clock_ms
        self._has_broker = has_broker
        self._seen: Seen | None = None
        self._causes: dict[Whose, tuple[str, ...]] = {}
        self._listeners: list[Callable[[], None]] = []

    def follows_chain(self, deployment: str) -> bool:
        """Whether a deployment says how far it is known; otherwise its accounts are those that records name."""
        return deployment in self._say_heads

    @property
    def head_ms(self) -> int:
        """How old a deployment's newest block may be, in ms."""
        return self._bounds.head_ms

    def listen(self, on_change: Callable[[], None]) -> None:
        """Call ``on_change`` in the loop when something has gone stale or is fresh again, and every ten seconds."""
        self._listeners.append(on_change)

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        loop = asyncio.get_running_loop()
        told_s, told = loop.time(), _stale_in(self.look())
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            stale, now_s = _stale_in(self.look()), loop.time()
            if stale != told or now_s - told_s >= _ROWS_EVERY_S:
                told_s, told = now_s, stale
                for on_change in self._listeners:
                    on_change()

    def look(self) -> Seen:
        """See how old everything is now."""
        now_ms = self._clock_ms()
        answered_ms = min(feed.answered_ms for feed in self._feeds.by_table().values())
        broker = Age("the newest answer", max(0, now_ms - answered_ms), self._bounds.broker_ms)
        ages = [broker] if answered_ms and self._has_broker else []
        parts = {BROKER: part_of(BROKER, ages, self._steady[BROKER], now_ms)}
        # Nobody has to keep history.
        is_history_kept = HISTORY_KEY in self._heartbeats.newest
        for name in (*self._names, HISTORY_KEY) if is_history_kept else self._names:
            parts[name] = part_of(name, self._ages(name, now_ms), self._steady[name], now_ms)
        stale_symbols = _by_deployment(self._prices.stale_markets(now_ms))
        self._seen = Seen(now_ms, parts, stale_symbols, frozenset(self._missing), self._unfolded())
        self._causes.clear()
        return self._seen

    def lag_ms(self, seen: Seen) -> int:
        """How old figures may be for want of records or of whoever writes them, in ms; 0 where nothing is late.

        Args:
            seen: What was seen just now.
        """
        behind = (behind_ms(feed, seen.at_ms) for feed in self._feeds.by_table().values())
        return max(*behind, *(part.age_ms or 0 for part in seen.stale))

    def unfolded_partitions(self, seen: Seen) -> dict[str, int]:
        """By deployment, in how many partitions nobody folds its records; in all where its venue is not installed here.

        Args:
            seen: What was seen just now.
        """
        workers = [worker_key(partition) for partition in range(self._partitions)]
        return {
            one: self._partitions if one in seen.missing else sum(seen.is_unfolded(one, worker) for worker in workers)
            for one in sorted(self._deployments)
        }

    def overloaded(self, seen: Seen) -> list[str]:
        """The parts of workers that say that they have more to do than they can.

        Args:
            seen: What was seen just now.
        """
        newest = self._heartbeats.newest
        fresh = (name for name, part in seen.parts.items() if part.state is State.FRESH and name in newest)
        beats = ((name, newest[name].beat) for name in fresh)
        return [name for name, beat in beats if isinstance(beat, WorkerBeat) and beat.overloaded]

    def sums(self, view: View) -> View:
        """Say over a deployment's sums, as ``Totals.of`` returns them, what is old in them: ``stale_because``.

        Sums of what nobody folds are not shown: there may be accounts that none of their addends is of.
        """
        seen, deployment = self._recent(), view["deployment"]
        workers = map(worker_key, range(self._partitions))
        causes = {cause for worker in workers for cause in seen.causes_of(deployment, worker)}
        held, stale = view.get("symbols", {}), seen.stale_symbols.get(deployment, ())
        # By which currency a position's money is converted, sums do not say.
        if held and any(str(symbol) in held or self._prices.converts(deployment, symbol) for symbol in stale):
            causes.add(PRICES)
        if VENUE in causes:
            view = {"deployment": deployment}
        return {**view, "stale_because": sorted(causes)} if causes else view

    def whose(self, key: str) -> Whose:
        """Find whom the figures of an account depend on, by its key; it is the same for ever."""
        encoded = key.encode()
        deployment, _ = split_key(encoded)
        return Whose(deployment, worker_key(partition_of(encoded, self._partitions)))

    def causes(self, whose: Whose) -> tuple[str, ...]:
        """Why whatever is kept of an account may be old: kinds of stale parts, and ``venue``; none where it is not.

        Args:
            whose: Whom the account depends on.
        """
        seen = self._recent()
        # What was seen holds for thousands of frames, and so does what it means for all accounts of a worker.
        causes = self._causes.get(whose)
        if causes is None:
            causes = self._causes[whose] = seen.causes_of(whose.deployment, whose.worker)
        return causes

    def aging(self, whose: Whose, body: Mapping[str, Any]) -> Aging:
        """Find why an account's row is older than it says.

        Args:
            whose: Whom the account depends on.
            body: Body of its ``valuations`` row.

        Raises:
            BadRow: The body lacks what it must have.
        """
        causes, seen = self.causes(whose), self._recent()
        symbols = seen.stale_symbols.get(whose.deployment, frozenset())
        return aging_of(causes, body, symbols, now_ms=self._clock_ms(), row_ms=self._bounds.row_ms)

    def known_ms(self, deployment: str) -> int | None:
        """As of when a deployment's chain is known, in Unix ms, while its ingest is stale; None while it is not."""
        name = chain_key(deployment)
        heard = self._heartbeats.newest.get(name)
        if heard is None or not isinstance(heard.beat, ChainBeat):
            return None
        if self._recent().parts[name].state is not State.STALE:
            return None
        return chain_known_ms(heard.beat, heard.heard_ms)

    def why_unsure(self, deployment: str, account: bytes | None = None) -> str | None:
        """Why what the tables say of a deployment may be old; None where it is not.

        Args:
            deployment: The deployment.
            account: The key of the account that is asked for; without it, the owner of any partition counts.
        """
        if deployment in self._missing:
            return self._missing[deployment]
        seen = self._recent()
        own = range(self._partitions) if account is None else (partition_of(account, self._partitions),)
        workers = [worker_key(partition) for partition in own]
        parts = (seen.parts[name] for name in (BROKER, chain_key(deployment), *workers) if name in seen.parts)
        stale = (part.reason for part in parts if part.state is State.STALE)
        unfolded = (
            f"{worker} does not fold deployment {deployment}: install its venue there, and configure the deployment"
            for worker in workers
            if seen.is_unfolded(deployment, worker)
        )
        return next(chain(stale, unfolded), None)

    def why_old(self, deployment: str) -> str | None:
        """Why figures of a deployment may be old: as ``why_unsure`` says, or for want of prices of its markets.

        A market that is quiet while its source speaks is no reason: its last price is its price.
        """
        unsure, seen = self.why_unsure(deployment), self._recent()
        if unsure is not None or not seen.stale_symbols.get(deployment):
            return unsure
        silent = (part.reason for part in seen.parts.values() if part.kind == PRICES and part.state is State.STALE)
        return next(silent, None)

    def _recent(self) -> Seen:
        seen = self._seen
        if seen is not None and 0 <= self._clock_ms() - seen.at_ms < _LOOK_EVERY_S * 1_000:
            return seen
        return self.look()

    def _unfolded(self) -> dict[str, frozenset[str]]:
        """By worker, the deployments that it says not to fold; a worker of before says nothing of that."""
        newest = self._heartbeats.newest
        workers = (worker_key(partition) for partition in range(self._partitions))
        beats = ((worker, newest[worker].beat) for worker in workers if worker in newest)
        return {
            worker: self._deployments.difference(beat.folds)
            for worker, beat in beats
            if isinstance(beat, WorkerBeat) and beat.folds is not None and not self._deployments.issubset(beat.folds)
        }

    def _ages(self, name: str, now_ms: int) -> Sequence[Age]:
        heard = self._heartbeats.newest.get(name)
        if heard is None:
            return ()
        outside_ms = self._outside_ms.get(name, self._bounds.outside_ms)
        return ages_of(heard.beat, heard.heard_ms, now_ms, self._bounds._replace(outside_ms=outside_ms))


def _sources(settings: Settings) -> Collection[str]:
    """The sources of prices that should speak: those configured, or else those that deployments name."""
    if settings.sources:
        return settings.sources.keys()
    named = {source for one in settings.deployments.values() for source in one.default_sources}
    return sorted({source.removesuffix("-book") for source in named})


def _stale_in(seen: Seen) -> tuple[object, ...]:
    stale = frozenset(name for name, part in seen.parts.items() if part.state is State.STALE)
    return stale, seen.stale_symbols, seen.unfolded


def _by_deployment(markets: Collection[MarketId]) -> dict[str, frozenset[int | str]]:
    symbols: dict[str, set[int | str]] = {}
    for deployment, symbol_id in markets:
        symbols.setdefault(deployment, set()).add(symbol_id)
    return {deployment: frozenset(its) for deployment, its in symbols.items()}
