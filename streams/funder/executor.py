"""The executor: in every window it freezes the epoch's terms, charges the accounts, and writes what became of each."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from prometheus_client import Counter

from models.symmio.epoch_prices import PENDING
from models.symmio.funding_records import (
    Epoch,
    Frozen,
    FrozenMarket,
    Missed,
    Outcome,
    Plan,
    Refused,
    Transaction,
)
from streams.funder.account_charges import CHANGED, AccountCharges, AccountFault, Due, Progress
from streams.funder.ceilings import CeilingInTheWay
from streams.funder.chain_errors import ChainError
from streams.funder.epoch_counts import count, count_not_final
from streams.funder.epoch_moves import held_before
from streams.funder.finality import Finality
from streams.funder.missed_windows import MissedWindows
from streams.funder.muon import NoSignature
from streams.funder.outcomes import outcome_of
from streams.funder.rounds import Round, freeze
from streams.funder.signer import NotSigned
from streams.funder.topic_span import NotRead

if TYPE_CHECKING:
    from collections import defaultdict
    from collections.abc import Callable, Iterable

    from models.errors import TidemarkError
    from models.symmio.funding_plan import Window
    from models.symmio.funding_records import Record
    from models.symmio.position_moves import Moves
    from streams.funder.chain_view import Chain
    from streams.funder.epoch_ticks import EpochTicks
    from streams.funder.funding_inputs import Tables
    from streams.funder.funding_journal import Journal

_log = logging.getLogger(__name__)

_FAULTS = Counter(
    "tidemark_funding_faults_total", "Accounts that could not be charged at a try.", ("deployment", "cause")
)
_UNPRICED = Counter(
    "tidemark_funding_unpriced_markets_total",
    "Markets whose open quotes are not charged for an epoch, since it has no terms for them.",
    ("deployment",),
)

# An account that cannot be charged is tried again after so long, then after twice as long each time, up to the bound.
_RETRY_S, _RETRY_MOST_S = 1.0, 20.0
# Outcomes become final with blocks, which come every few seconds at most.
_FINAL_AGAIN_S = 3.0
# Tables that are behind may take a quarter of the window; the rest is for charging the quotes that they know.
_PATIENCE = 4
# Two seconds after an epoch's instant its marks are settled, and two more leave time for them to be written.
_PRICED_AFTER_S = 4
_NOT_REACHED = "its turn did not come before the window closed"
_LEFT = "block {} left the chain with the transaction that charged it, and the window closed before another did"

_RETRIED = (AccountFault, CeilingInTheWay, ChainError, NoSignature, NotSigned)


class Executor:
    """The executor of one hedger of a deployment.

    Args:
        name: The deployment's name.
        party_b: Address of the hedger, whose quotes are charged.
        chain: The node.
        journal: Where everything is recorded before it is done.
        tables: Tell the open positions, the markets' terms, and whether the deployment is what it is taken for.
        charges_of: Makes the charges of an account, given its address and its progress by epoch.
        is_watching: Tells whether a transaction of an account is not final yet.
        turns: A lock for each account, shared by the deployment's hedgers: a charge of one makes the signature of the
            other's stale, since the account's nonce is one for both.
        depth: After how many blocks a block is final.
        concurrency: How many accounts are charged at the same time.
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
        is_watching: Callable[[str], bool],
        turns: defaultdict[str, asyncio.Lock],
        depth: int,
        concurrency: int,
    ) -> None:
        self._name = name
        self._party_b = party_b
        self._chain = chain
        self._journal = journal
        self._tables = tables
        self._charges_of = charges_of
        self._turns = turns
        self._missed = MissedWindows(name, party_b, journal=journal, tables=tables)
        self._finality = Finality(
            name, chain=chain, journal=journal, tables=tables, is_watching=is_watching, depth=depth
        )
        self._room = asyncio.Semaphore(concurrency)
        self._rounds: dict[Epoch, Round] = {}
        # Until when epochs are final, by their duration and window: an endpoint that is far behind opens none again.
        self._final_s: dict[tuple[int, int], int] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._faults: dict[str, str] = {}
        self._retries: dict[str, tuple[float, float]] = {}
        # Quotes whose transaction left the chain, with the block.
        self._left: dict[tuple[Epoch, int], int] = {}
        self._looked_s = 0.0
        self._clock_s = asyncio.get_running_loop().time

    def restore(self, records: Iterable[Record]) -> None:
        """Take over the state that is on record of this hedger, or of before records named one."""
        records = list(records)
        for record in records:
            if isinstance(record, Frozen) and record.party_b in ("", self._party_b):
                self._rounds[record.epoch] = Round(record)
        for record in records:
            if isinstance(record, Frozen | Missed | Refused) and record.party_b in ("", self._party_b):
                self._missed.restore(record)
        for record in records:
            if isinstance(record, Plan) and record.party_b in ("", self._party_b) and record.epoch in self._rounds:
                self._rounds[record.epoch].plans[record.party_a] = record
            elif isinstance(record, Outcome) and record.party_b in ("", self._party_b) and record.epoch in self._rounds:
                self._rounds[record.epoch].outcomes[record.party_a] = record
            elif isinstance(record, Transaction):
                self._note_left(record)
                for cells in record.charges:
                    if cells.rate != cells.wanted and cells.epoch in self._rounds:
                        self._rounds[cells.epoch].clipped[cells.quote_id] = cells.rate, cells.wanted
        newest = {(record.signer, record.nonce): record for record in records if isinstance(record, Transaction)}
        for epoch in [epoch for epoch, one in self._rounds.items() if one.frozen.final]:
            self._let_go(epoch)
        for one in self._rounds.values():
            for party_a in one.outcomes.keys() & one.plans.keys():
                one.told_unpriced |= one.unpriced(party_a)
            # Outcomes are final only once it is settled; records of before epochs were final say so in no other way.
            one.is_settled = bool(one.plans) and one.is_told
            one.doubt(newest.values())
        # The first pass may be long in coming.
        count_not_final(self._name, self._party_b, self._rounds.values())

    def unmined(self, record: Transaction) -> None:
        """Look again at an account's quotes, since a transaction of it has left the chain, or is another one."""
        self._note_left(record)
        for one in self._rounds.values():
            former = one.outcomes.get(record.party_a)
            if former is not None and former.final:
                continue
            one.look_again(
                record.party_a, {cells.quote_id for cells in record.charges if cells.epoch == one.frozen.epoch}
            )

    def _note_left(self, record: Transaction) -> None:
        if record.left_block is not None:
            self._left |= {(cells.epoch, cells.quote_id): record.left_block for cells in record.charges}

    async def run(self, every_s: float) -> None:
        """Charge until cancelled, with a pass every ``every_s`` seconds."""
        try:
            while True:
                try:
                    await self._pass()
                except (ChainError, NotRead) as error:
                    _log.warning("no pass: %s", error)
                    self._missed.no_pass = str(error)
                await asyncio.sleep(every_s)
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _pass(self) -> None:
        now_s = await self._chain.agreed_time_s()
        await self._missed.note(now_s)
        refusal = self._tables.refusal
        for epoch, window in self._tables.open_windows(now_s).items():
            if epoch in self._rounds or self._is_final(epoch):
                continue
            if refusal is not None:
                await self._missed.refuse(epoch, window, refusal)
            elif self._is_time(window, now_s):
                await self._freeze(epoch, window, now_s)
        await self._plan_more(now_s)
        await self._price_more(now_s)
        for epoch, one in self._rounds.items():
            if not one.is_over:
                one.note_changed(self._tables.markets(epoch))
        await self._reap()
        self._start(now_s, refusal)
        if self._clock_s() - self._looked_s >= _FINAL_AGAIN_S:
            self._looked_s = self._clock_s()
            await self._finality.look([*self._rounds.values()], self._running, now_s)
        count(self._name, self._party_b, self._rounds.values(), now_s)
        await self._close()

    def _is_time(self, window: Window, now_s: int) -> bool:
        """Whether tables and prices have reached the window's beginning, or it is too late to wait for them."""
        is_late = now_s - window.opens_s >= (window.closes_s - window.opens_s) // _PATIENCE
        is_passed = now_s >= window.opens_s + _PRICED_AFTER_S
        return is_late or (is_passed and self._tables.time_s >= window.opens_s)

    async def _look(self, epoch: Epoch, window: Window, now_s: int) -> tuple[Frozen, list[Plan], Moves]:
        """Find terms and plans of an epoch as far as they are known now, and what of their quotes has moved since."""
        ticks = await self._tables.read_prices(window)
        tables_s = await self._tables.known_until_s()
        positions = self._tables.positions(self._party_b)
        moves = await self._tables.read_moves(window, now_s)
        held = await held_before(moves, positions, party_b=self._party_b, chain=self._chain)
        frozen, plans = freeze(
            epoch,
            window,
            symbols=self._tables.markets(epoch),
            positions=held,
            terms_of=partial(self._tables.freeze, ticks),
            at_s=now_s,
            tables_s=tables_s,
            party_b=self._party_b,
            ticks_topic=self._tables.ticks_topic,
        )
        return frozen, plans, moves

    async def _freeze(self, epoch: Epoch, window: Window, now_s: int) -> None:
        frozen, plans, _ = await self._look(epoch, window, now_s)
        await self._journal.write([*plans, frozen])
        one = self._rounds[epoch] = Round(frozen)
        one.plans = {plan.party_a: plan for plan in plans}
        one.looked_s = now_s
        self._missed.seen(epoch)
        _log.info(
            "epoch frozen epoch=%s accounts=%d quotes=%d left out=%s tables behind by=%d s",
            epoch, len(plans), sum(len(plan.quotes) for plan in plans), frozen.left_out,
            max(0, now_s - frozen.tables_s),
        )  # fmt: skip

    async def _plan_more(self, now_s: int) -> None:
        """Add the quotes that the tables did not know when their epoch was frozen, once they have reached it.

        They are asked again until the window is as deep as is final: blocks may leave the chain, and others come that
        opened quotes before the epoch's instant, or do not close them any more.
        """
        for epoch, one in list(self._rounds.items()):
            if not one.is_to_be_looked_at(now_s, self._tables.time_s):
                continue
            is_last = one.is_known_to_be_deep(self._tables.time_s)
            found, plans, moves = await self._look(epoch, one.frozen.window, now_s)
            one.looked_s, one.is_settled = now_s, is_last
            if not moves.is_whole:
                # Whatever was open at the instant and is in no plan yet, nobody can tell any more.
                _log.error("epoch not extended epoch=%s: what moved at its beginning is not kept any more", epoch)
                continue
            if now_s <= one.frozen.closes_s:
                one.take_back_closed(moves.ended.keys())
            frozen, more = one.extend(found, plans, moves.ended)
            if one.is_whole and not more:
                continue
            await self._journal.write([*more, frozen])
            one.frozen = frozen
            for plan in more:
                former = one.outcomes.pop(plan.party_a, None)
                if former is not None:
                    one.reasons |= former.missed
                one.begin_again(plan)
                one.plans[plan.party_a] = plan
            one.waiting.clear()
            _log.info(
                "epoch extended epoch=%s accounts with more quotes=%d accounts=%d tables known up to=%d",
                epoch, len(more), frozen.accounts, frozen.tables_s,
            )  # fmt: skip

    async def _price_more(self, now_s: int) -> None:
        """Ask again for the terms of markets that had none when their epoch was frozen, until the window closes."""
        for one in list(self._rounds.values()):
            if now_s > one.frozen.closes_s:
                one.is_over = True
                one.waiting.clear()
            elif not PENDING.isdisjoint(one.frozen.left_out.values()):
                await self._price(one, await self._tables.read_prices(one.frozen.window))

    async def _price(self, one: Round, ticks: EpochTicks) -> None:
        frozen = one.frozen
        terms = {symbol_id: self._tables.freeze(ticks, symbol_id, frozen.window) for symbol_id in frozen.left_out}
        priced = {symbol_id: found for symbol_id, found in terms.items() if isinstance(found, FrozenMarket)}
        left_out = {symbol_id: found for symbol_id, found in terms.items() if isinstance(found, str)}
        if left_out == frozen.left_out:
            return
        frozen = msgspec.structs.replace(frozen, markets=frozen.markets | priced, left_out=left_out)
        await self._journal.write([frozen])
        one.frozen = frozen
        one.waiting.clear()
        _log.info("markets priced epoch=%s markets=%s left out=%s", frozen.epoch, sorted(priced), left_out)

    def _start(self, now_s: int, refusal: str | None) -> None:
        """Start the accounts that have no outcome yet and are not running.

        They are also started once the window has closed: the chain then tells which quotes were paid, and the others
        were missed. A deployment that is not what it is taken for is asked nothing until then.
        """
        # In order: what happens does not depend on how texts are hashed.
        for party_a in sorted({party_a for one in self._rounds.values() for party_a in one.to_charge}):
            if refusal is not None and any(
                party_a in one.plans and now_s <= one.frozen.closes_s for one in self._rounds.values()
            ):
                self._faults[party_a] = refusal
                continue
            due_s, _ = self._retries.get(party_a, (0.0, 0.0))
            if party_a not in self._running and self._clock_s() >= due_s:
                self._running[party_a] = asyncio.create_task(self._charge(party_a), name=f"charges of {party_a}")

    async def _charge(self, party_a: str) -> None:
        # The turn is taken last: while it is held another hedger cannot charge the account.
        async with self._room, self._turns[party_a]:
            # Epochs go in order, so that a quote that is late for one is seen as late before the next is paid.
            rounds = sorted(
                (one for one in self._rounds.values() if party_a in one.to_charge),
                key=lambda one: one.frozen.epoch.pays_s,
            )
            # What became of an epoch is on record before the contract is charged for the next, which hides it there.
            rounds = [one for one in rounds if one.is_over] or rounds
            progress = {one.frozen.epoch: one.progress_of(party_a) for one in rounds}
            terms = {one.frozen.epoch: one.frozen for one in rounds}
            dues = [
                Due(quote_id, symbol_id, one.frozen.epoch, one.frozen.window, one.frozen.markets[symbol_id].terms)
                for one in rounds
                for quote_id, symbol_id in one.plans[party_a].quotes
                if one.may_be_due(symbol_id)
            ]
            try:
                await self._charges_of(party_a, progress).run(dues)
            except _RETRIED as error:
                self._failed(party_a, error)
                return
        self._retries.pop(party_a, None)
        reason = self._faults.pop(party_a, _NOT_REACHED)
        for one in rounds:
            # A transaction of the account may have left the chain meanwhile: this progress is no longer true then. Nor
            # is it all where more of its markets have terms now.
            if one.progress.get(party_a) is not progress[one.frozen.epoch] or one.frozen is not terms[one.frozen.epoch]:
                continue
            if one.is_waiting(party_a):
                one.waiting.add(party_a)
            else:
                await self._finish(one, party_a, reason)

    def _failed(self, party_a: str, error: TidemarkError) -> None:
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

    async def _close(self) -> None:
        """Let go of the epochs of which everything is told for good."""
        closed = [one for one in self._rounds.values() if one.is_settled and one.is_told]
        if closed:
            await self._journal.write(msgspec.structs.replace(one.frozen, final=True) for one in closed)
        for one in closed:
            self._let_go(one.frozen.epoch)
            self._left = {key: block for key, block in self._left.items() if key[0] != one.frozen.epoch}

    def _let_go(self, epoch: Epoch) -> None:
        del self._rounds[epoch]
        self._final_s[epoch[:2]] = max(epoch.pays_s, self._final_s.get(epoch[:2], 0))

    def _is_final(self, epoch: Epoch) -> bool:
        return epoch.pays_s <= self._final_s.get(epoch[:2], 0)

    async def _finish(self, one: Round, party_a: str, reason: str) -> None:
        epoch = one.frozen.epoch
        one.recall(party_a)
        reasons = (
            one.reasons
            | {quote_id: _LEFT.format(block) for (of, quote_id), block in self._left.items() if of == epoch}
            | {quote_id: CHANGED for quote_id, symbol_id in one.plans[party_a].quotes if symbol_id in one.changed}
        )
        outcome = outcome_of(one.plans[party_a], one.frozen, one.progress_of(party_a), reason=reason, reasons=reasons)
        one.outcomes[party_a] = outcome
        one.told_s.pop(party_a, None)
        await self._journal.write([outcome])
        for symbol_id in one.unpriced(party_a) - one.told_unpriced:
            _log.error("market not charged epoch=%s symbol=%d: %s", epoch, symbol_id, one.frozen.left_out[symbol_id])
            _UNPRICED.labels(self._name).inc()
        one.told_unpriced |= one.unpriced(party_a)
        if outcome.culprits or outcome.missed or outcome.clipped or outcome.closed:
            _log.warning(
                "account charged party_a=%s epoch=%s paid=%d clipped=%s closed=%s culprits=%s missed=%s",
                party_a, epoch, len(outcome.paid), outcome.clipped, list(outcome.closed), outcome.culprits,
                outcome.missed,
            )  # fmt: skip
