"""What differs between an account as its row has it and as the contract's views answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from models.symmio.state import OPEN_STATUSES, PENDING_STATUSES, Balances

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.symmio.state import AccountState, Quote

_LIVE = OPEN_STATUSES | PENDING_STATUSES
_ACCOUNT_CELLS = ("liquidating", "reimbursement")
# Left out: what logs do not tell (maximum funding rate, parent), and the whitelist, which nothing is computed from.
_QUOTE_CELLS = (
    "symbol_id",
    "position_type",
    "order_type",
    "status",
    "party_b",
    "requested_open_price",
    "market_price",
    "opened_price",
    "initial_opened_price",
    "quantity",
    "closed_amount",
    "requested_close_price",
    "quantity_to_close",
    "locked",
    "initial_locked",
    "trading_fee",
    "deadline_s",
)


class Difference(NamedTuple):
    """One value that is not what the contract says; amounts are 1e18-scaled integers, as texts."""

    account: str
    name: str
    ours: str
    node: str


def differences(account: str, ours: AccountState, node: AccountState) -> list[Difference]:
    """Compare balances, buckets with every party B, and every live quote; return what differs, by name."""
    found: list[Difference] = []

    def compare(name: str, our: object, nodes: object) -> None:
        if our != nodes:
            found.append(Difference(account, name, _text(our), _text(nodes)))

    for cell in _ACCOUNT_CELLS:
        compare(cell, getattr(ours, cell), getattr(node, cell))
    for (name, our), (_, nodes) in zip(_cells(ours.balances), _cells(node.balances), strict=True):
        compare(name, our, nodes)
    for party_b in sorted(ours.party_b.keys() | node.party_b.keys()):
        our_bucket, nodes_bucket = (state.party_b.get(party_b, Balances()) for state in (ours, node))
        for (name, our), (_, nodes) in zip(_cells(our_bucket), _cells(nodes_bucket), strict=True):
            compare(f"party_b {party_b} {name}", our, nodes)
    our_quotes, nodes_quotes = _live(ours), _live(node)
    for quote_id in sorted(our_quotes.keys() | nodes_quotes.keys()):
        our_quote, nodes_quote = our_quotes.get(quote_id), nodes_quotes.get(quote_id)
        if our_quote is None or nodes_quote is None:
            compare(f"quote {quote_id}", _presence(our_quote), _presence(nodes_quote))
            continue
        for cell in _QUOTE_CELLS:
            compare(f"quote {quote_id} {cell}", getattr(our_quote, cell), getattr(nodes_quote, cell))
        if our_quote.avg_closed_known:
            compare(f"quote {quote_id} avg_closed_price", our_quote.avg_closed_price, nodes_quote.avg_closed_price)
    return found


def _cells(balances: Balances) -> Iterator[tuple[str, int]]:
    yield "allocated", balances.allocated
    for kind, locked in (("locked", balances.locked), ("pending", balances.pending)):
        for name, value in locked._asdict().items():
            yield f"{kind} {name}", value


def _live(state: AccountState) -> dict[int, Quote]:
    return {quote_id: quote for quote_id, quote in state.quotes.items() if quote.status in _LIVE}


def _presence(quote: Quote | None) -> str:
    return "not live" if quote is None else f"live, {quote.status.name}"


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
