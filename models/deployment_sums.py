"""A deployment's sums over all partitions: one for each hedger, one for each symbol, and one of all accounts.

They add up bodies of ``subtotals`` rows. An amount that is unknown in one of them is unknown in the sum and absent from
the view: a partial sum is never shown. An account whose positions are not known makes every amount of money of its
deployment unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from models.body_reader import body_reader, columns_reader, no_row
from models.column_types import Amount, Unquoted  # noqa: TC001 - msgspec resolves the annotations at run time
from models.instants import ns_text, rfc3339
from models.money import format_e18
from models.row_bodies import SubtotalBody
from models.subtotals import HEDGER, SYMBOL, UNHEDGED

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

View = dict[str, Any]

AMOUNTS: Mapping[str, tuple[str, ...]] = {
    HEDGER: ("upnl", "notional"),
    UNHEDGED: ("upnl", "notional"),
    SYMBOL: ("long_quantity", "short_quantity", "long_notional", "short_notional"),
}
"""The names of the 1e18-scaled amounts in a body, by kind of sum."""

_QUANTITIES = frozenset({"long_quantity", "short_quantity"})


@dataclass(frozen=True, slots=True)
class Sum:
    """A sum, or an addend of one.

    ``amounts_e18`` holds None where an amount is unknown; ``as_of_ms`` is None where nothing is in the sum.
    ``unknown_accounts`` are those of which not even the positions are known: any may be in any sum of the deployment.
    """

    positions: int
    unpriced: int
    amounts_e18: Mapping[str, int | None]
    as_of_ms: int | None
    unknown_accounts: int = 0

    def view(self) -> View:
        """Make the view of the sum; an unknown amount is absent, and so is a number of unknown accounts that is 0."""
        money = {name: format_e18(value) for name, value in self.amounts_e18.items() if value is not None}
        view: View = {"positions": self.positions, "unpriced": self.unpriced, **money}
        if self.unknown_accounts:
            view["unknown_accounts"] = self.unknown_accounts
        if self.as_of_ms is not None:
            view |= {"as_of": rfc3339(self.as_of_ms), "as_of_ns": ns_text(self.as_of_ms)}
        return view


class _Columns(msgspec.Struct):
    positions: Unquoted[int]
    unpriced: Unquoted[int]
    as_of_ms: Unquoted[int | None]


class _OfAccounts(_Columns):
    upnl: Amount | None
    notional: Amount | None
    unknown_accounts: Unquoted[int] = 0


class _OfMarket(_Columns):
    long_quantity: Amount
    short_quantity: Amount
    long_notional: Amount | None
    short_notional: Amount | None


_read_of_accounts = columns_reader("subtotals", _OfAccounts)
_read_of_market = columns_reader("subtotals", _OfMarket)
_read_texts = body_reader("subtotals", SubtotalBody)


def decode_sum(kind: str, row: bytes) -> Sum:
    """Read a row of ``subtotals``.

    Args:
        kind: ``HEDGER``, ``UNHEDGED`` or ``SYMBOL``.
        row: The row.

    Raises:
        BadRow: It is none of this kind.
    """
    columns = _read_of_market(row) if kind == SYMBOL else _read_of_accounts(row)
    amounts = {name: getattr(columns, name) for name in AMOUNTS[kind]}
    unknown = [name for name, amount in amounts.items() if amount is None]
    if unknown:
        # A text that says null is taken for null. Unknown amounts are rare enough to read such a row twice.
        texts = _read_texts(row)
        if any(getattr(texts, name) is not None for name in unknown):
            raise no_row(row, "subtotals", ValueError("null is no amount"))
    unknown_accounts = columns.unknown_accounts if isinstance(columns, _OfAccounts) else 0
    return Sum(columns.positions, columns.unpriced, amounts, columns.as_of_ms, unknown_accounts)


def add_up(kind: str, sums: Collection[Sum]) -> Sum:
    """Add up sums of one kind; the result is as of the oldest addend."""
    return Sum(
        positions=sum(one.positions for one in sums),
        unpriced=sum(one.unpriced for one in sums),
        amounts_e18={name: _added([one.amounts_e18[name] for one in sums]) for name in AMOUNTS[kind]},
        as_of_ms=min((one.as_of_ms for one in sums if one.as_of_ms is not None), default=None),
        unknown_accounts=sum(one.unknown_accounts for one in sums),
    )


def accounts_sum(hedgers: Collection[Sum], unhedged: Collection[Sum]) -> Sum:
    """Compute the sum of all accounts.

    Args:
        hedgers: The sums of all hedgers, whose uPnL is minus that of the accounts.
        unhedged: The sum of the positions that have none; none or one.
    """
    return add_up(UNHEDGED, (_turned(add_up(HEDGER, hedgers)), *unhedged))


def without_money(known: Sum) -> Sum:
    """A sum of the positions that are known, where others may be missing: its money is unknown."""
    amounts = {name: amount if name in _QUANTITIES else None for name, amount in known.amounts_e18.items()}
    return replace(known, amounts_e18=amounts)


def _turned(hedgers: Sum) -> Sum:
    upnl_e18 = hedgers.amounts_e18["upnl"]
    amounts = {**hedgers.amounts_e18, "upnl": None if upnl_e18 is None else -upnl_e18}
    return replace(hedgers, amounts_e18=amounts)


def _added(amounts_e18: Collection[int | None]) -> int | None:
    total_e18 = 0
    for amount_e18 in amounts_e18:
        if amount_e18 is None:
            return None
        total_e18 += amount_e18
    return total_e18
