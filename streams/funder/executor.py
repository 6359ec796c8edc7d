"""Charges what is due in every window: freezes an epoch's terms, goes through its accounts, says what came of it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from prometheus_client import Counter

from models.symmio.funding_plan import missed_windows
from streams.funder.account_charges import AccountCharges, AccountFault, Due, Progress
from streams.funder.chain_view import NodeDown
from streams.funder.funding_records import Epoch, Frozen, FrozenMarket, Missed, Outcome, Plan, Transaction
from streams.funder.muon import NoSignature

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from models.symmio.funding_plan import Window
    from models.symmio.holding import OpenPosition
    from streams.funder.chain_view import Chain
    from streams.funder.funding_inputs import Tables
    from streams.funder.funding_journal import Journal
    from streams.funder.funding_records import Record

_log = logging.getLogger(__name__)

_QUOTES = Counter("tidemark_funding_quotes_total", "Quotes by what became of their funding.", ("deployment", "outcome"))
_FAULTS = Counter(
    "tidemark_funding_faults_total", "Accounts that could not be charged at a try.", ("deployment", "cause")
)
_MISSED = Counter("tidemark_funding_missed_windows_total", "Windows without any charge.", ("deployment",))

# An account that cannot be charged is looked at again after so long, and then after twice as long, up to the bound.
_RETRY_S, _RETRY_MOST_S = 1.0, 20.0
# A block that leaves the chain within that time after a window has closed is still noticed.
_REMEMBERED_S = 3_600
# Of the window, what tables that are behind may take: the rest is for charging what they know.
_PATIENCE = 4
_NOT_REACHED = "its turn did not come before the window closed"


class Round:
    """One epoch: its terms, its accounts, and what came of each."""

    def __init__(self, frozen: Frozen) -> None:
        self.frozen = frozen
        self.plans: dict[str, Plan] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.progress: dict[str, Progress] = {}
        self.clipped: dict[int, tuple[str, str]] = {}

    def progress_of(self, party_a: str) -> Progress:
        """What is done of an account; what is on record of clipped rates is in it."""
        if party_a not in self.progress:
            progress = self.progress[party_a] = Progress()
            for quote_id, _ in self.plans[party_a].quotes:
                if quote_id in self.clipped:
                    progress.clipped[quote_id] = self.clipped[quote_id]
        return self.progress[party_a]


def freeze(
    epoch: Epoch,
    window: Window,
    *,
    symbols: Collection[int],
    positions: dict[str, list[OpenPosition]],
    terms_of: Callable[[int, Window], FrozenMarket | str],
    at_s: int,
    tables_s: int,
) -> tuple[Frozen, list[Plan]]:
    """The terms of an epoch, and the quotes that it is charged to.

    Args:
        epoch: Which.
        window: When it is charged.
        symbols: The markets that have it.
        positions: Every account's.
        terms_of: A market's terms, or why it has none.
        at_s: The chain's time.
        tables_s: The chain's time up to which positions are known.
    """
    used = {one.symbol_id for held in positions.values() for one in held if one.symbol_id in symbols}
    terms = {symbol_id: terms_of(symbol_id, window) for symbol_id in sorted(used)}
    markets = {symbol_id: one for symbol_id, one in terms.items() if isinstance(one, FrozenMarket)}
    left_out = {symbol_id: one for symbol_id, one in terms.items() if isinstance(one, str)}
    plans = []
    for party_a, held in sorted(positions.items()):
        quotes = tuple((one.quote_id, one.symbol_id) for one in held if one.symbol_id in markets)
        if quotes:
            plans.append(Plan(epoch, party_a, quotes))
    return Frozen(epoch, window.opens_s, window.closes_s, at_s, tables_s, markets, left_out, len(plans)), plans


class Executor:
    """The executor of one deployment.

    Args:
        name: The deployment.
        party_b: Whose quotes.
        chain: The node.
        journal: Where everything is on record first.
        tables: Who holds what, and terms.
        charges_of: Makes what charges one account, given what is done of it already.
        concurrency: How many accounts are charged side by side.
    """

    def __init__(
        self,
        name: str,
        party_b: str,
        *,
        chain: Chain,
        journal: Journal,
        tables: Tables,
        charges_of: Callable[[str, dict[Epoch, Progress]], AccountCharges],
        concurrency: int,
    ) -> None:
        self._name = name
        self._party_b = party_b
        self._chain = chain
        self._journal = journal
        self._tables = tables
        self._charges_of = charges_of
        self._room = asyncio.Semaphore(concurrency)
        self._rounds: dict[Epoch, Round] = {}
        self._last: dict[tuple[int, int], int] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._faults: dict[str, str] = {}
        self._retries: dict[str, tuple[float, float]] = {}
        self._clock_s = asyncio.get_running_loop().time

    def restore(self, records: Iterable[Record]) -> None:
        """Take up what is on record."""
        records = list(records)
        for record in records:
            if isinstance(record, Frozen):
                self._rounds[record.epoch] = Round(record)
                self._seen(record.epoch)
            elif isinstance(record, Missed):
                self._seen(record.epoch)
        for record in records:
            if isinstance(record, Plan) and record.epoch in self._rounds:
                self._rounds[record.epoch].plans[record.party_a] = record
            elif isinstance(record, Outcome) and record.epoch in self._rounds:
                self._rounds[record.epoch].outcomes[record.party_a] = record
            elif isinstance(record, Transaction):
                for cells in record.charges:
                    if cells.rate != cells.wanted and cells.epoch in self._rounds:
                        self._rounds[cells.epoch].clipped[cells.quote_id] = cells.rate, cells.wanted

    def unmined(self, party_a: str) -> None:
        """A transaction of the account has left the chain: look again at what is paid."""
        for one in self._rounds.values():
            one.outcomes.pop(party_a, None)
            one.progress.pop(party_a, None)

    async def run(self, every_s: float) -> None:
        """Charge until cancelled."""
        try:
            while True:
                try:
                    await self._pass()
                except NodeDown as error:
                    _log.warning("no pass: %s", error)
                await asyncio.sleep(every_s)
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _pass(self) -> None:
        now_s = await self._chain.pending_time_s()
        await self._note_missed(now_s)
        for epoch, window in self._tables.open_windows(now_s).items():
            if epoch not in self._rounds and self._is_time(window, now_s):
                await self._freeze(epoch, window, now_s)
        await self._reap()
        self._start()
        self._forget(now_s)

    async def _note_missed(self, now_s: int) -> None:
        for epoch_s, window_s in self._last.keys() & self._tables.kinds:
            last_s = self._last[epoch_s, window_s]
            missed = [
                Missed(Epoch(epoch_s, window_s, window.pays_s), window.opens_s, window.closes_s)
                for window in missed_windows(last_s, now_s, epoch_s, window_s, self._tables.when)
            ]
            if missed:
                await self._journal.write(missed)
            for one in missed:
                _log.error("window missed epoch=%s: it is never charged", one.epoch)
                _MISSED.labels(self._name).inc()
                self._seen(one.epoch)

    def _is_time(self, window: Window, now_s: int) -> bool:
        """Whether the tables know what is open at the window's beginning, or it is too late to wait for them."""
        is_late = now_s - window.opens_s >= (window.closes_s - window.opens_s) // _PATIENCE
        return is_late or self._tables.time_s >= window.opens_s

    async def _freeze(self, epoch: Epoch, window: Window, now_s: int) -> None:
        frozen, plans = freeze(
            epoch,
            window,
            symbols=self._tables.markets(epoch),
            positions=self._tables.positions(self._party_b),
            terms_of=self._tables.freeze,
            at_s=now_s,
            tables_s=self._tables.time_s,
        )
        await self._journal.write([*plans, frozen])
        one = self._rounds[epoch] = Round(frozen)
        one.plans = {plan.party_a: plan for plan in plans}
        self._seen(epoch)
        _log.info(
            "epoch frozen epoch=%s accounts=%d quotes=%d left out=%s tables behind by=%d s",
            epoch, len(plans), sum(len(plan.quotes) for plan in plans), frozen.left_out,
            max(0, now_s - frozen.tables_s),
        )  # fmt: skip

    def _seen(self, epoch: Epoch) -> None:
        kind = epoch.epoch_s, epoch.window_s
        self._last[kind] = max(self._last.get(kind, 0), epoch.pays_s)

    def _start(self) -> None:
        """Begin with the accounts of which something is not known yet, and that nobody is at.

        Also once the window is closed: then what was paid is read from the chain, and the rest was missed.
        """
        for party_a in {party_a for one in self._rounds.values() for party_a in one.plans.keys() - one.outcomes.keys()}:
            due_s, _ = self._retries.get(party_a, (0.0, 0.0))
            if party_a not in self._running and self._clock_s() >= due_s:
                self._running[party_a] = asyncio.create_task(self._charge(party_a), name=f"charges of {party_a}")

    async def _charge(self, party_a: str) -> None:
        async with self._room:
            # A quote that is late for one epoch is found to be so before the next one is paid.
            rounds = sorted(
                (one for one in self._rounds.values() if party_a in one.plans and party_a not in one.outcomes),
                key=lambda one: one.frozen.epoch.pays_s,
            )
            progress = {one.frozen.epoch: one.progress_of(party_a) for one in rounds}
            dues = [
                Due(quote_id, one.frozen.epoch, one.frozen.window, one.frozen.markets[symbol_id].terms)
                for one in rounds
                for quote_id, symbol_id in one.plans[party_a].quotes
            ]
            try:
                await self._charges_of(party_a, progress).run(dues)
            except (AccountFault, NoSignature, NodeDown) as error:
                self._failed(party_a, error)
                return
        self._retries.pop(party_a, None)
        reason = self._faults.pop(party_a, _NOT_REACHED)
        for one in rounds:
            # Something of the account may have left the chain meanwhile: then this is not what became of it.
            if one.progress.get(party_a) is progress[one.frozen.epoch]:
                await self._finish(one, party_a, reason)

    def _failed(self, party_a: str, error: AccountFault | NoSignature | NodeDown) -> None:
        _FAULTS.labels(self._name, type(error).__name__).inc()
        if self._faults.get(party_a) != str(error):
            _log.warning("account not charged party_a=%s: %s", party_a, error)
        self._faults[party_a] = str(error)
        wait_s = min(_RETRY_MOST_S, max(_RETRY_S, 2 * self._retries.get(party_a, (0.0, 0.0))[1]))
        self._retries[party_a] = self._clock_s() + wait_s, wait_s

    async def _reap(self) -> None:
        for party_a, task in list(self._running.items()):
            if task.done():
                del self._running[party_a]
                await task

    def _forget(self, now_s: int) -> None:
        for epoch, one in list(self._rounds.items()):
            if now_s > one.frozen.closes_s + _REMEMBERED_S and one.plans.keys() == one.outcomes.keys():
                del self._rounds[epoch]

    async def _finish(self, one: Round, party_a: str, reason: str) -> None:
        progress = one.progress_of(party_a)
        outcome = Outcome(
            one.frozen.epoch,
            party_a,
            paid=tuple(sorted(progress.paid)),
            free=tuple(sorted(progress.free)),
            clipped=progress.clipped,
            culprits=progress.culprits,
            missed=dict.fromkeys(sorted(progress.late), reason),
        )
        one.outcomes[party_a] = outcome
        await self._journal.write([outcome])
        for name in ("paid", "free", "clipped", "culprits", "missed"):
            _QUOTES.labels(self._name, name).inc(len(getattr(outcome, name)))
        if outcome.culprits or outcome.missed or outcome.clipped:
            _log.warning(
                "account charged party_a=%s epoch=%s paid=%d clipped=%s culprits=%s missed=%s",
                party_a, one.frozen.epoch, len(outcome.paid), outcome.clipped, outcome.culprits, outcome.missed,
            )  # fmt: skip
