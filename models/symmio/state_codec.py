"""States, quotes and undo as JSON bodies of rows. Integers that may pass 53 bits are decimal texts; keys are sorted.

Equal states encode to equal bytes, whatever events led to them.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, cast

from models.symmio.state import AccountState, Balances, Locked, OrderType, PositionType, Quote, QuoteStatus
from models.symmio.undo import Undo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Body = dict[str, Any]

# Contracts choose these, far below 53 bits. A sender chooses a deadline, which may be any uint256.
_SMALL = frozenset({"quote_id", "symbol_id", "parent_id", "terminal_block"})


def encode_balances(balances: Balances) -> list[Any]:
    """Encode balances as a list: allocated, locked values, pending values."""
    return [str(balances.allocated), [*map(str, balances.locked)], [*map(str, balances.pending)]]


def decode_balances(body: list[Any]) -> Balances:
    """Read what ``encode_balances`` wrote."""
    allocated, locked, pending = body
    return Balances(int(allocated), _locked(locked), _locked(pending))


def encode_quote(quote: Quote) -> Body:
    """Encode a quote by field name."""
    return {name: _cell(name, getattr(quote, name)) for name in Quote.__struct_fields__}


def decode_quote(body: Mapping[str, Any]) -> Quote:
    """Read what ``encode_quote`` wrote."""
    return Quote(**_quote_cells(body))


def encode_state(state: AccountState) -> Body:
    """Encode a state by field name; buckets and quotes are sorted by their keys."""
    return {
        **{name: _cell(name, getattr(state, name)) for name in _ACCOUNT_CELLS},
        "party_b": {party_b: encode_balances(state.party_b[party_b]) for party_b in sorted(state.party_b)},
        "quotes": [encode_quote(state.quotes[quote_id]) for quote_id in sorted(state.quotes)],
    }


def decode_state(body: Mapping[str, Any]) -> AccountState:
    """Read what ``encode_state`` wrote."""
    quotes = map(decode_quote, body["quotes"])
    return AccountState(
        **_account_cells({name: body[name] for name in _ACCOUNT_CELLS}),
        party_b={party_b: decode_balances(bucket) for party_b, bucket in body["party_b"].items()},
        quotes={quote.quote_id: quote for quote in quotes},
    )


def encode_undo(undo: Undo) -> Body:
    """Encode an undo without its empty parts."""
    body: Body = {}
    if undo.account:
        body["account"] = {name: _cell(name, value) for name, value in undo.account.items()}
    if undo.party_b:
        body["party_b"] = {
            party_b: None if bucket is None else encode_balances(bucket) for party_b, bucket in undo.party_b.items()
        }
    if undo.quotes:
        body["quotes"] = {
            str(quote_id): {name: _cell(name, value) for name, value in undo.quotes[quote_id].items()}
            for quote_id in sorted(undo.quotes)
        }
    if undo.removed:
        body["removed"] = [encode_quote(undo.removed[quote_id]) for quote_id in sorted(undo.removed)]
    if undo.added:
        body["added"] = undo.added
    return body


def decode_undo(body: Mapping[str, Any]) -> Undo:
    """Read what ``encode_undo`` wrote."""
    removed = map(decode_quote, body.get("removed", ()))
    return Undo(
        account=_account_cells(body.get("account", {})),
        party_b={
            party_b: None if bucket is None else decode_balances(bucket)
            for party_b, bucket in body.get("party_b", {}).items()
        },
        quotes={int(quote_id): _quote_cells(cells) for quote_id, cells in body.get("quotes", {}).items()},
        removed={quote.quote_id: quote for quote in removed},
        added=tuple(body.get("added", ())),
    )


def _cell(name: str, value: object) -> object:
    match value:
        case bool() | None | str():
            return value
        case IntEnum():
            return int(value)
        case int():
            return value if name in _SMALL else str(value)
        case Balances():
            return encode_balances(value)
        case Locked():
            return [*map(str, value)]
        case dict():
            return {str(key): str(value[key]) for key in sorted(value)}
        case _:
            return list(cast("tuple[str, ...]", value))


def _quote_cells(body: Mapping[str, Any]) -> Body:
    return {name: _QUOTE_CELLS[name](value) for name, value in body.items()}


def _account_cells(body: Mapping[str, Any]) -> Body:
    return {name: _ACCOUNT_CELLS[name](value) for name, value in body.items()}


def _locked(body: list[str]) -> Locked:
    return Locked(*map(int, body))


def _as_is(body: object) -> object:
    return body


def _optional_int(body: str | None) -> int | None:
    return None if body is None else int(body)


def _prices(body: Mapping[str, str]) -> dict[int, int]:
    return {int(symbol_id): int(price) for symbol_id, price in body.items()}


_QUOTE_CELLS: dict[str, Callable[[Any], object]] = dict.fromkeys(Quote.__struct_fields__, int) | {
    **dict.fromkeys((*_SMALL, "party_b", "avg_closed_known"), _as_is),
    "position_type": PositionType,
    "order_type": OrderType,
    "status": QuoteStatus,
    "whitelist": tuple,
    "locked": _locked,
    "initial_locked": _locked,
    "max_funding_rate": _optional_int,
}
_ACCOUNT_CELLS: dict[str, Callable[[Any], object]] = {
    "owner": _as_is,
    "multi_account": _as_is,
    "name": _as_is,
    "balances": decode_balances,
    "reimbursement": int,
    "liquidating": _as_is,
    "liquidation_prices": _prices,
}
