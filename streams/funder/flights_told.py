"""What is told of transactions on their way, in the log and in metrics."""

from __future__ import annotations

import logging
from collections import Counter as Counts
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from models.money import E18, format_e18
from models.symmio.funding_records import share_bps
from streams.funder.flights import Change, State

if TYPE_CHECKING:
    from collections.abc import Collection

    from models.symmio.funding_records import Transaction
    from streams.funder.flights import Flight
    from streams.node.answers import Receipt

_log = logging.getLogger(__name__)

_FINAL = Counter(
    "tidemark_funding_transactions_total", "Transactions by what became of them at last.", ("deployment", "state")
)
_WATCHED = Gauge(
    "tidemark_funding_watched_transactions",
    "Transactions that are not final, by what has become of them so far.",
    ("deployment", "state"),
)
_UNCLEAR = Gauge(
    "tidemark_funding_unclear_transactions",
    "Transactions in the chain of which no endpoint says whether they succeeded.",
    ("deployment",),
)
_COST = Counter("tidemark_funding_cost_wei_total", "What final transactions cost.", ("deployment",))
_CHARGED = Counter(
    "tidemark_funding_charged_total",
    "What mined, final transactions charged, in the collateral, whoever paid it.",
    ("deployment",),
)


def count(deployment: str, flights: Collection[Flight]) -> None:
    """Show what has become of all that are not final."""
    _UNCLEAR.labels(deployment).set(sum(one.is_unclear for one in flights))
    counts = Counts(one.record.state for one in flights)
    for state in State:
        _WATCHED.labels(deployment, state).set(counts[state])


def tell_signed(record: Transaction) -> None:
    """Tell what a transaction may cost, before it is sent."""
    _log.info(
        "transaction signed party_a=%s nonce=%d quotes=%d worst_wei=%s charged=%s share=%s",
        record.party_a, record.nonce, len(record.charges), record.worst_wei, format_e18(int(record.moved_e18)),
        _share(int(record.worst_wei), record),
    )  # fmt: skip


def tell_unclear(record: Transaction, receipt: Receipt) -> None:
    """Tell that no endpoint says what a transaction did."""
    _log.error(
        "transaction mined, its receipt has no status: whether it did anything is unknown, waiting for an endpoint "
        "that says it hash=%s nonce=%d block=%d",
        receipt.hash, record.nonce, receipt.block,
    )  # fmt: skip


def tell(deployment: str, record: Transaction, change: Change) -> None:
    """Tell what a look at the chain changed about a transaction, and count what is final."""
    match change:
        case Change.FINAL:
            _FINAL.labels(deployment, record.state).inc()
            _COST.labels(deployment).inc(int(record.cost_wei or 0))
            if record.state == State.MINED:
                _CHARGED.labels(deployment).inc(int(record.moved_e18) / E18)
            _log.info(
                "transaction final state=%s party_a=%s nonce=%d quotes=%d block=%s cost_wei=%s charged=%s share=%s",
                record.state, record.party_a, record.nonce, len(record.charges), record.block, record.cost_wei,
                format_e18(int(record.moved_e18)), _share(int(record.cost_wei or 0), record),
            )  # fmt: skip
        case Change.LEFT:
            _log.warning(
                "transaction left the chain party_a=%s nonce=%d block=%s",
                record.party_a, record.nonce, record.left_block,
            )  # fmt: skip
        case _:
            _log.info(
                "transaction %s party_a=%s nonce=%d quotes=%d block=%s cost_wei=%s",
                record.state, record.party_a, record.nonce, len(record.charges), record.block, record.cost_wei,
            )  # fmt: skip


def _share(cost_wei: int, record: Transaction) -> str:
    coin_e18 = None if record.coin_e18 is None else int(record.coin_e18)
    share = share_bps(cost_wei, coin_e18, int(record.moved_e18))
    return "unknown" if share is None else f"{share} bps"
