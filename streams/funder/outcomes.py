"""What became of the quotes of one account in an epoch: exactly one outcome for each, and the chain has the say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from models.symmio.funding_records import Outcome
from models.symmio.state import OPEN_STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from models.symmio.funding_plan import ChainQuote
    from models.symmio.funding_records import Epoch, Frozen, Plan
    from models.symmio.position_moves import Ended
    from streams.funder.account_charges import Progress

_NOT_IN_CHAIN = "the chain says that it was not charged"
_KNOWN_LATE = "the tables knew of it only after the window had closed"
_ENDED_LATER = "it was open until its window closed, and was not charged"
_BACK = "it was not open when its turn came, and is again since blocks left the chain"


def outcome_of(plan: Plan, frozen: Frozen, progress: Progress, *, reason: str, reasons: Mapping[int, str]) -> Outcome:
    """Tell the outcome of each quote of a plan.

    Args:
        plan: The account's quotes.
        frozen: The epoch's terms, with the markets that are left out.
        progress: What has become of the quotes that were to be charged.
        reason: Why those are missed that were not reached before the window closed.
        reasons: Why some of them were, if it was for something else.
    """
    paid, free = [], []
    closed: dict[int, str] = {}
    culprits: dict[int, str] = {}
    missed: dict[int, str] = {}
    for quote_id, symbol_id in sorted(plan.quotes):
        if quote_id in progress.paid:
            paid.append(quote_id)
        elif quote_id in progress.free:
            free.append(quote_id)
        elif quote_id in plan.late:
            missed[quote_id] = frozen.left_out.get(symbol_id, _KNOWN_LATE)
        elif quote_id in progress.closed:
            closed[quote_id] = progress.closed[quote_id]
        elif quote_id in progress.culprits:
            culprits[quote_id] = progress.culprits[quote_id]
        elif symbol_id in frozen.left_out:
            missed[quote_id] = frozen.left_out[symbol_id]
        else:
            missed[quote_id] = reasons.get(quote_id, reason)
    return Outcome(
        plan.epoch,
        plan.party_a,
        paid=tuple(paid),
        free=tuple(free),
        clipped=dict(progress.clipped),
        culprits=culprits,
        missed=missed,
        closed=closed,
        party_b=plan.party_b,
    )


def disputed(outcome: Outcome, quotes: Mapping[int, ChainQuote], has_charged: Callable[[Epoch, int], bool]) -> set[int]:
    """Find the quotes of which an outcome and the chain differ on whether they were charged for the epoch.

    A quote that the contract has as charged for a later epoch says nothing of this one: the log does.

    Args:
        outcome: The outcome.
        quotes: Some of its quotes, as the contract has them.
        has_charged: Tells whether a transaction in the chain charged a quote for an epoch, whoever sent it.
    """
    paid, pays_s = set(outcome.paid), outcome.epoch.pays_s
    return {
        quote_id
        for quote_id, quote in quotes.items()
        if (has_charged(outcome.epoch, quote_id) if quote.paid_s > pays_s else quote.paid_s == pays_s)
        != (quote_id in paid)
    }


def reopened(outcome: Outcome, quotes: Mapping[int, ChainQuote]) -> set[int]:
    """Find the quotes that an outcome has as closed and the contract as open: what closed them has left the chain.

    Args:
        outcome: The outcome.
        quotes: Some of its quotes, as the contract has them.
    """
    return {
        quote_id
        for quote_id in outcome.closed.keys() & quotes.keys()
        if quotes[quote_id].party_a == outcome.party_a and quotes[quote_id].status in OPEN_STATUSES
    }


def ended_later(outcome: Outcome, ended: Mapping[int, Ended], closes_s: int) -> set[int]:
    """Find the quotes that an outcome has as closed and that were open until their window closed.

    Args:
        outcome: The outcome.
        ended: Which quotes have ended since the window opened, by the log.
        closes_s: When the window closed, Unix s.
    """
    return {
        quote_id
        for quote_id in outcome.closed.keys() & ended.keys()
        if ended[quote_id].account == outcome.party_a and ended[quote_id].time_s > closes_s
    }


def corrected(outcome: Outcome, wrong: Collection[int], back: Collection[int], later: Collection[int] = ()) -> Outcome:
    """Make an outcome final, with the opposite for the quotes on which the chain differs.

    Args:
        outcome: The outcome so far.
        wrong: Quotes that it has as paid and that were not, and the other way round.
        back: Quotes that it has as closed and that are open.
        later: Quotes that it has as closed and that were open until their window closed.
    """
    paid = set(outcome.paid)
    missed = {quote_id: said for quote_id, said in outcome.missed.items() if quote_id not in wrong}
    return msgspec.structs.replace(
        outcome,
        paid=tuple(sorted(paid ^ set(wrong))),
        free=tuple(quote_id for quote_id in outcome.free if quote_id not in wrong),
        closed={quote_id: said for quote_id, said in outcome.closed.items() if quote_id not in {*wrong, *back, *later}},
        culprits={quote_id: said for quote_id, said in outcome.culprits.items() if quote_id not in wrong},
        missed=missed
        | {quote_id: _NOT_IN_CHAIN for quote_id in sorted(wrong) if quote_id in paid}
        | dict.fromkeys(sorted(set(later) - set(wrong)), _ENDED_LATER)
        | dict.fromkeys(sorted(set(back) - set(wrong)), _BACK),
        final=True,
    )
