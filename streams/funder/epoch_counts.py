"""What the metrics say of epochs: what has become of their quotes, whom nobody accounts for, and what is not final."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Gauge

from models.symmio.funding_records import KINDS

if TYPE_CHECKING:
    from collections.abc import Collection

    from streams.funder.rounds import Round

_NEWEST = Gauge(
    "tidemark_funding_epoch_quotes",
    "Quotes of the newest epoch by what has become of their funding so far.",
    ("deployment", "party_b", "outcome"),
)
_UNACCOUNTED = Gauge(
    "tidemark_funding_unaccounted_accounts",
    "Accounts whose quotes do not have exactly one outcome each, though the window has closed.",
    ("deployment", "party_b"),
)
_NOT_FINAL_SINCE = Gauge(
    "tidemark_funding_not_final_since_seconds",
    "When the window of the oldest epoch closes of which outcomes are not final yet, Unix s; 0 where all are.",
    ("deployment", "party_b"),
)
_OPEN = "open"


def count(name: str, party_b: str, rounds: Collection[Round], now_s: int) -> None:
    """Set the gauges of a hedger.

    Args:
        name: The deployment's name.
        party_b: Address of the hedger.
        rounds: Its epochs that are not final; where there are none the gauges of quotes and accounts stay.
        now_s: The chain's time, Unix s.
    """
    count_not_final(name, party_b, rounds)
    if not rounds:
        return
    newest = max(rounds, key=lambda one: one.frozen.epoch.pays_s)
    told = [outcome.counts for outcome in newest.outcomes.values()]
    for kind in KINDS:
        _NEWEST.labels(name, party_b, kind).set(sum(counts[kind] for counts in told))
    quotes = sum(len(plan.quotes) for plan in newest.plans.values())
    _NEWEST.labels(name, party_b, _OPEN).set(quotes - sum(sum(counts.values()) for counts in told))
    _UNACCOUNTED.labels(name, party_b).set(
        sum(
            party_a not in one.outcomes
            or sorted(quote_id for quote_id, _ in plan.quotes) != one.outcomes[party_a].quotes
            for one in rounds
            for party_a, plan in one.plans.items()
            if now_s > one.frozen.closes_s
        )
    )


def count_not_final(name: str, party_b: str, rounds: Collection[Round]) -> None:
    """Set the gauge of what is not final to an instant, which grows older also while nobody can be asked.

    Args:
        name: The deployment's name.
        party_b: Address of the hedger.
        rounds: Its epochs that are not final.
    """
    _NOT_FINAL_SINCE.labels(name, party_b).set(min((one.frozen.closes_s for one in rounds), default=0))
