"""What ``/v1/funding/epochs`` and ``/v1/funding/charges`` show of the records of funding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.ids import account_key
from models.instants import ns_text, rfc3339
from models.money import format_e18, show_e18
from models.symmio.funding_records import Frozen, Missed, share_bps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.symmio.funding_records import ChargeCells, Epoch, FrozenMarket, Outcome, Plan, TickRef, Transaction
    from models.views import View

OUTCOMES = {"paid": "paid", "free": "free", "closed": "closed", "culprits": "refused", "missed": "missed"}
"""What a quote's outcome is called, by the member of ``Outcome`` that has it; before there is one it is ``open``."""
OPEN = "open"


def epoch_view(deployment: str, record: Frozen | Missed, sent: Sequence[Transaction]) -> View:
    """Show an epoch: its terms and what charging it cost, or why its window was missed.

    Args:
        deployment: The deployment's name.
        record: What is on record of the epoch.
        sent: The transactions that charge quotes for it.
    """
    epoch = record.epoch
    view = {
        "deployment": deployment,
        "epoch": str(epoch),
        **_begins(epoch),
        "epoch_s": epoch.epoch_s,
        "opens": rfc3339(record.opens_s * 1_000),
        "closes": rfc3339(record.closes_s * 1_000),
        **({"hedger": record.party_b} if record.party_b else {}),
    }
    if isinstance(record, Missed):
        return {**view, "missed": record.reason, "markets": [], "left_out": []}
    return {
        **view,
        "markets": [{"market": symbol_id, **_terms(one)} for symbol_id, one in sorted(record.markets.items())],
        "left_out": [{"market": symbol_id, "reason": said} for symbol_id, said in sorted(record.left_out.items())],
        **({"fees": _fees(epoch, sent)} if sent else {}),
    }


def charge_view(
    deployment: str,
    plan: Plan,
    quote: tuple[int, int],
    *,
    frozen: Frozen,
    outcome: Outcome | None,
    sent: Transaction | None,
) -> View:
    """Show what became of one quote in an epoch.

    Args:
        deployment: The deployment's name.
        plan: The plan of its account.
        quote: Its id and that of its market.
        frozen: The epoch's terms.
        outcome: The outcome of its account, None where there is none yet.
        sent: The newest transaction that charges the quote for the epoch, None where there is none.
    """
    quote_id, symbol_id = quote
    name, reason = outcome_of_quote(outcome, quote_id)
    market = frozen.markets.get(symbol_id)
    cells = None if sent is None else cells_in(sent, plan.epoch, quote_id)
    return {
        "account": account_key(deployment, plan.party_a).decode(),
        "deployment": deployment,
        "epoch": str(plan.epoch),
        **_begins(plan.epoch),
        "quote": quote_id,
        "market": symbol_id,
        **({"hedger": plan.party_b} if plan.party_b else {}),
        "outcome": name,
        "final": outcome is not None and outcome.final,
        **({"reason": reason} if reason else {}),
        **({} if market is None else {"mark": show_e18(market.mark)}),
        **({} if cells is None else {"rate": show_e18(cells.rate), "unclipped_rate": show_e18(cells.wanted)}),
        **({} if sent is None else {"transaction": _transaction(sent)}),
        **({} if sent is None or sent.cost_wei is None else {"cost": format_e18(_cost_wei(sent, charges=1))}),
    }


def outcome_of_quote(outcome: Outcome | None, quote_id: int) -> tuple[str, str]:
    """Find what a quote's outcome is called, and its reason, which is empty where there is none.

    Args:
        outcome: The outcome of its account, None where there is none yet.
        quote_id: Its id.
    """
    if outcome is not None:
        for member, name in OUTCOMES.items():
            found = getattr(outcome, member)
            if quote_id in found:
                return name, found[quote_id] if isinstance(found, dict) else ""
    return OPEN, ""


def cells_in(sent: Transaction, epoch: Epoch, quote_id: int) -> ChargeCells | None:
    """Find the charge of a quote for an epoch in a transaction, None where it has none."""
    return next((cells for cells in sent.charges if (cells.quote_id, cells.epoch) == (quote_id, epoch)), None)


def _fees(epoch: Epoch, sent: Sequence[Transaction]) -> View:
    """What charging an epoch cost, as far as it is known."""
    cost_wei = moved_e18 = worth_e36 = 0
    for one in sent:
        ours = sum(cells.epoch == epoch for cells in one.charges)
        own_wei = _cost_wei(one, charges=ours)
        cost_wei += own_wei
        worth_e36 += own_wei * int(one.coin_e18 or 0)
        if one.state == "mined":
            moved_e18 += int(one.moved_e18) * ours // len(one.charges)
    is_priced = all(one.coin_e18 is not None for one in sent)
    share = share_bps(worth_e36, 1, moved_e18) if is_priced else None
    return {
        "transactions": len(sent),
        "cost": format_e18(cost_wei),
        "charged": format_e18(moved_e18),
        **({} if share is None else {"share_bps": share}),
        "final": all(one.final for one in sent),
    }


def _cost_wei(sent: Transaction, *, charges: int) -> int:
    """What some of its charges cost, as far as it is known: a transaction costs each of them the same."""
    return int(sent.cost_wei or 0) * charges // len(sent.charges)


def _begins(epoch: Epoch) -> dict[str, str]:
    at_ms = epoch.pays_s * 1_000
    return {"begins": rfc3339(at_ms), "begins_ns": ns_text(at_ms)}


def _terms(market: FrozenMarket) -> View:
    return {
        "mark": show_e18(market.mark),
        "venue_rate": show_e18(market.venue_rate),
        "long_rate": show_e18(market.long),
        "short_rate": show_e18(market.short),
        **({} if market.interval_s is None else {"interval_s": market.interval_s}),
        **({} if market.mark_tick is None else {"mark_tick": _tick(market.mark_tick)}),
        **({} if market.rate_tick is None else {"rate_tick": _tick(market.rate_tick)}),
    }


def _tick(tick: TickRef) -> View:
    return {
        "source": tick.key,
        "partition": tick.partition,
        "offset": tick.offset,
        "event": rfc3339(tick.event_ms),
        "event_ns": ns_text(tick.event_ms),
    }


def _transaction(sent: Transaction) -> View:
    return {
        "signer": sent.signer,
        "nonce": sent.nonce,
        "state": sent.state,
        "final": sent.final,
        "hashes": list(sent.hashes),
        "quotes": len(sent.charges),
        **({} if sent.block is None else {"block": sent.block}),
        **({} if sent.cost_wei is None else {"cost": show_e18(sent.cost_wei)}),
    }
