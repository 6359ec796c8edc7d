"""When epochs and outcomes are final: nothing in the chain can change them any more, and they say what it says."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import Counter

from streams.funder.agreement import is_agreed
from streams.funder.chain_errors import Reverted
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

# A pass waits so long for outcomes to become final, and for one of them at least; they have days.
_LOOKS_FOR_S = 2.0


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
        # When an outcome was last compared, in s.
        self._looked_s: dict[tuple[Epoch, str], float] = {}

    async def look(self, rounds: Collection[Round], running: Collection[str], now_s: int) -> None:
        """Compare outcomes with the chain once nothing in it can change them, and correct those that it contradicts.

        What there is to compare is divided among looks of some seconds, since a pass has more to do.

        Args:
            rounds: The epochs.
            running: The accounts that are being charged.
            now_s: The chain's time, Unix s.
        """
        await self._note_deep(rounds, now_s)
        ready = [
            (one, party_a)
            for one in rounds
            for party_a, outcome in one.outcomes.items()
            if one.is_settled
            and not outcome.final
            and party_a not in running
            and not self._is_watching(party_a)
            and self._tables.time_s >= one.told_s.setdefault(party_a, now_s)
        ]
        # The contract says which quotes are closed and which were charged last, and only the log when that was.
        windows = {one.frozen.window for one, _ in ready}
        moves = {window: await self._tables.read_moves(window, now_s) for window in windows}
        ends_s = _now_s() + _LOOKS_FOR_S
        # Those of which endpoints differ do not keep the others from their turn.
        for one, party_a in sorted(ready, key=self._looked):
            self._looked_s[one.frozen.epoch, party_a] = _now_s()
            await self._make_final(one, party_a, moves[one.frozen.window])
            if _now_s() >= ends_s:
                return

    def _looked(self, ready: tuple[Round, str]) -> float:
        one, party_a = ready
        return self._looked_s.get((one.frozen.epoch, party_a), 0.0)

    async def _note_deep(self, rounds: Collection[Round], now_s: int) -> None:
        closed = [one for one in rounds if now_s > one.frozen.closes_s and one.deep_s is None]
        if closed:
            final_s = await self._chain.final_time_s(self._depth)
            for one in closed:
                if final_s > one.frozen.closes_s:
                    one.deep_s = now_s

    async def _make_final(self, one: Round, party_a: str, moves: Moves) -> None:
        plan, outcome = one.plans[party_a], one.outcomes[party_a]
        told = await self._shown([quote_id for quote_id, _ in plan.quotes])
        has_charged = moves.has_charged if moves.is_whole else partial(_was_told_as_paid, outcome)
        doubts = _agreed([disputed(outcome, quotes, has_charged) for quotes in told])
        back = _agreed([reopened(outcome, quotes) for quotes in told])
        if doubts is None or back is None or len(told) < self._chain.enough or outcome is not one.outcomes.get(party_a):
            # Endpoints differ, and which of them has an old state will show; or too few of them answer.
            return
        later = ended_later(outcome, moves.ended, one.frozen.closes_s)
        final = corrected(outcome, doubts, back, later)
        one.outcomes[party_a] = final
        del self._looked_s[outcome.epoch, party_a]
        await self._journal.write([final])
        if wrong := sorted(doubts | back | later):
            _log.error("outcome corrected party_a=%s epoch=%s quotes=%s", party_a, outcome.epoch, wrong)
        for name, number in final.counts.items():
            _QUOTES.labels(self._name, name).inc(number)
        _QUOTES.labels(self._name, "clipped").inc(len(final.clipped))

    async def _shown(self, quote_ids: Sequence[int]) -> list[dict[int, ChainQuote]]:
        """Those of the quotes that the contract shows, as each endpoint has them."""
        try:
            return await self._chain.quotes_by_each(quote_ids)
        except Reverted:
            unreadable = await self._chain.unreadable(quote_ids)
            return await self._chain.quotes_by_each([one for one in quote_ids if one not in unreadable])


def _agreed(told: Sequence[set[int]]) -> set[int] | None:
    """The quotes of which two endpoints say something; None where they differ about one, and none has its way."""
    said: set[int] = set().union(*told)
    agreed = {quote_id for quote_id in said if is_agreed(quote_id in one for one in told)}
    is_clear = all(is_agreed(quote_id not in one for one in told) for quote_id in said - agreed)
    return agreed if is_clear else None


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _was_told_as_paid(outcome: Outcome, epoch: Epoch, quote_id: int) -> bool:
    """Where nothing else is known any more, what was told of an epoch stands."""
    return epoch == outcome.epoch and quote_id in outcome.paid
