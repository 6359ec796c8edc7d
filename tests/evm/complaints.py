"""What a judge has to say against the records of an epoch: nothing, where they are true."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.evm.verdict import Terms, verdicts

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from models.symmio.funding_records import FrozenMarket, Outcome, TickRef
    from tests.evm.verdict import Said, Seen

_WITH_REASONS = ("closed", "culprits", "missed")


def complaints_of_terms(judged: Mapping[int, Terms | str], told: Mapping[int, FrozenMarket | str]) -> list[str]:
    """Say which markets have other terms, by other ticks, or are left out for another reason than the judge's.

    Args:
        judged: The terms by the log of ticks, or why there are none, by the market's id.
        told: What is on record.
    """
    found = {symbol_id: one if isinstance(one, str) else _told(one) for symbol_id, one in told.items()}
    wanted = {symbol_id: one if isinstance(one, str) else _judged(one) for symbol_id, one in judged.items()}
    return [
        f"market {symbol_id}: expected {wanted.get(symbol_id)}, found {found.get(symbol_id)}"
        for symbol_id in sorted(wanted.keys() | found.keys())
        if wanted.get(symbol_id) != found.get(symbol_id)
    ]


def complaints_of_outcomes(
    seen: Seen, terms: Mapping[int, Terms | str], outcomes: Collection[Outcome], window: tuple[int, int]
) -> list[str]:
    """Say which quotes were charged otherwise, or have another outcome, than the judge says.

    Args:
        seen: What the chain shows.
        terms: Each market's terms, or why it has none.
        outcomes: What is on record.
        window: When the epoch is charged, from and to, Unix s.
    """
    found = [
        f"a charge at {time_s}, outside of the window {window}"
        for time_s in seen.charged_at_s
        if not window[0] <= time_s <= window[1]
    ]
    recorded = _recorded(outcomes)
    times = Counter(quote_id for outcome in outcomes for quote_id in outcome.quotes)
    told = verdicts(seen, terms, window)
    for quote_id in sorted(seen.held.keys() - told.keys()):
        # It was in a plan if it seemed to be open then, before blocks left the chain.
        name, said = recorded.get(quote_id, ("missed", "is in no plan"))
        if name not in _WITH_REASONS or not said or times[quote_id] > 1:
            found.append(
                f"quote {quote_id}: expected nothing, or a reason, found {name, said}, {times[quote_id]} times"
            )
    for quote_id, verdict in sorted(told.items()):
        rates = [verdict.rate_e18] if verdict.outcome == "paid" else []
        if rates != [*seen.charged.get(quote_id, ())]:
            found.append(f"quote {quote_id}: expected charges at {rates}, found {seen.charged.get(quote_id)}")
        if recorded.get(quote_id) != (verdict.outcome, verdict.reason):
            found.append(f"quote {quote_id}: expected {verdict}, found {recorded.get(quote_id)}")
        if times[quote_id] != 1:
            found.append(f"quote {quote_id}: expected one outcome, found {times[quote_id]}")
    found += [f"quote {quote_id} is not on the chain" for quote_id in sorted(recorded.keys() - seen.held.keys())]
    return found + [f"an outcome of {one.party_a} is not final" for one in outcomes if not one.final]


def _recorded(outcomes: Collection[Outcome]) -> dict[int, tuple[str, str]]:
    found: dict[int, tuple[str, str]] = {}
    for outcome in outcomes:
        found |= dict.fromkeys(outcome.paid, ("paid", ""))
        found |= dict.fromkeys(outcome.free, ("free", ""))
        for name in _WITH_REASONS:
            found |= {quote_id: (name, said) for quote_id, said in getattr(outcome, name).items()}
    return found


def _judged(terms: Terms) -> tuple[object, ...]:
    return _place(terms.mark), _place(terms.rate), terms.mark.mark_e18, terms.long_e18, terms.short_e18


def _told(market: FrozenMarket) -> tuple[object, ...]:
    return _ref(market.mark_tick), _ref(market.rate_tick), int(market.mark), int(market.long), int(market.short)


def _place(said: Said) -> tuple[int, int, int]:
    return said.partition, said.offset, said.event_ms


def _ref(tick: TickRef | None) -> tuple[int, int, int] | None:
    return None if tick is None else (tick.partition, tick.offset, tick.event_ms)
