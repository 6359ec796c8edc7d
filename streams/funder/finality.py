"""When epochs and outcomes are final: nothing in the chain can change them any more, and they say what it says."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import Counter

from streams.funder.chain_view import Reverted
from streams.funder.outcomes import corrected, disputed, ended_later, reopened

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from models.symmio.funding_plan import ChainQuote
    from models.symmio.funding_records import Epoch, Outcome
    from models.symmio.position_moves import Moves
    from streams.funder.chain_view import Chain
    from streams.funder.funding_inputs import Tables
    from streams.funder.funding_journal import Journal
    from streams.funder.rounds import Round

_log = logging.getLogger(__name__)

_QUOTES = Counter(
    "tidemark_funding_quotes_total", "Quotes by what became of their funding at last.", ("deployment", "outcome")
)


class Finality:
    """Makes the epochs of one hedger final.

    Args:
        name: The deployment's name.
        chain: The node.
        journal: Where final outcomes are put on record.
        tables: Tell how far they are, and what the log says of an epoch's window.
        is_watching: Tells whether a transaction of an account is not final yet.
        depth: After how many blocks a block is final.
    """

    def __init__(
        self,
        name: str,
        *,
        chain: Chain,
        journal: Journal,
        tables: Tables,
        is_watching: Callable[[str], bool],
        depth: int,
    ) -> None:
        self._name = name
        self._chain = chain
        self._journal = journal
        self._tables = tables
        self._is_watching = is_watching
        self._depth = depth

    async def look(self, rounds: Collection[Round], running: Collection[str], now_s: int) -> None:
        """Compare outcomes with the chain once nothing in it can change them, and correct those that it contradicts.

        Args:
            rounds: The epochs.
            running: The accounts that are being charged.
            now_s: The chain's time, Unix s.
        """
        await self._note_deep(rounds, now_s)
        for one in rounds:
            ready = [
                party_a
                for party_a, outcome in one.outcomes.items()
                if one.is_settled
                and not outcome.final
                and party_a not in running
                and not self._is_watching(party_a)
                and self._tables.time_s >= one.told_s.setdefault(party_a, now_s)
            ]
            if ready:
                # The contract says which quotes are closed and which were charged last, and only the log when that was.
                moves = await self._tables.read_moves(one.frozen.window)
                for party_a in ready:
                    await self._make_final(one, party_a, moves)

    async def _note_deep(self, rounds: Collection[Round], now_s: int) -> None:
        closed = [one for one in rounds if now_s > one.frozen.closes_s and one.deep_s is None]
        if closed:
            final_s = await self._chain.final_time_s(self._depth)
            for one in closed:
                if final_s > one.frozen.closes_s:
                    one.deep_s = now_s

    async def _make_final(self, one: Round, party_a: str, moves: Moves) -> None:
        plan, outcome = one.plans[party_a], one.outcomes[party_a]
        quotes = await self._shown([quote_id for quote_id, _ in plan.quotes])
        has_charged = moves.has_charged if moves.is_whole else partial(_was_told_as_paid, outcome)
        doubts, back = disputed(outcome, quotes, has_charged), reopened(outcome, quotes)
        later = ended_later(outcome, moves.ended, one.frozen.closes_s)
        told = await self._chain.quotes_by_each(sorted(doubts | back)) if doubts or back else [quotes]
        if not told or any(
            doubts - disputed(outcome, others, has_charged) or back - reopened(outcome, others) for others in told
        ):
            # An endpoint still agrees with the outcome: which of them has an old state will show.
            return
        if outcome is not one.outcomes.get(party_a):
            return
        final = corrected(outcome, doubts, back, later)
        one.outcomes[party_a] = final
        await self._journal.write([final])
        if wrong := sorted(doubts | back | later):
            _log.error("outcome corrected party_a=%s epoch=%s quotes=%s", party_a, outcome.epoch, wrong)
        for name, number in final.counts.items():
            _QUOTES.labels(self._name, name).inc(number)
        _QUOTES.labels(self._name, "clipped").inc(len(final.clipped))

    async def _shown(self, quote_ids: Sequence[int]) -> dict[int, ChainQuote]:
        """Those of the quotes that the contract shows."""
        try:
            return await self._chain.quotes(quote_ids)
        except Reverted:
            unreadable = await self._chain.unreadable(quote_ids)
            return await self._chain.quotes([quote_id for quote_id in quote_ids if quote_id not in unreadable])


def _was_told_as_paid(outcome: Outcome, epoch: Epoch, quote_id: int) -> bool:
    """Where nothing else is known any more, what was told of an epoch stands."""
    return epoch == outcome.epoch and quote_id in outcome.paid
