"""Sums over the accounts of one partition: what a hedger gains, and how much of a symbol is open.

They stay exact as accounts change: what an account contributed before is taken off when it contributes anew.
A position without a known price is counted as unpriced, and its quantity with it; money that it is missing from is
null, never a partial sum. The same holds for positions of accounts that are suspect or unsupported.
"""

from __future__ import annotations

from collections import Counter
from operator import add, sub
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HEDGER = "hedger"
SYMBOL = "symbol"


class Amounts(NamedTuple):
    """Amounts of a sum or of an addend, 1e18-scaled; ``upnl`` is the hedger's: minus that of its counterparties."""

    positions: int = 0
    unpriced: int = 0
    upnl: int = 0
    long_quantity: int = 0
    short_quantity: int = 0
    long_notional: int = 0
    short_notional: int = 0

    def plus(self, other: Amounts) -> Amounts:
        """Both together."""
        return Amounts(*map(add, self, other))

    def minus(self, other: Amounts) -> Amounts:
        """This without the other."""
        return Amounts(*map(sub, self, other))


class Contribution(NamedTuple):
    """What one account adds to one sum; ``as_of_ms`` is the time of the oldest price in it."""

    as_of_ms: int
    amounts: Amounts


def contributions(body: Mapping[str, Any]) -> dict[str, Contribution]:
    """What an account adds to the sums, by ``hedger:<address>`` and ``symbol:<id>``.

    Args:
        body: Body of a ``valuations`` row.
    """
    amounts: dict[str, Amounts] = {}
    for position in body["positions"]:
        part = _amounts(position)
        for name in (f"{HEDGER}:{position['party_b']}", f"{SYMBOL}:{position['symbol']}"):
            amounts[name] = amounts.get(name, Amounts()).plus(part)
    return {name: Contribution(body["as_of_ms"], part) for name, part in amounts.items()}


def _amounts(position: Mapping[str, Any]) -> Amounts:
    quantity = int(position["quantity"])
    is_long, is_priced = position["side"] == "long", position["notional"] is not None
    notional = int(position["notional"]) if is_priced else 0
    return Amounts(
        positions=1,
        unpriced=0 if is_priced else 1,
        upnl=-int(position["upnl"]) if is_priced else 0,
        long_quantity=quantity if is_long else 0,
        short_quantity=0 if is_long else quantity,
        long_notional=notional if is_long else 0,
        short_notional=0 if is_long else notional,
    )


class Subtotal:
    """One sum, and the times of its addends, so that the oldest stays known when one is taken off."""

    def __init__(self) -> None:
        self._amounts = Amounts()
        self._times: Counter[int] = Counter()

    def add(self, part: Contribution) -> None:
        """Take an addend in."""
        self._amounts = self._amounts.plus(part.amounts)
        self._times[part.as_of_ms] += 1

    def subtract(self, part: Contribution) -> None:
        """Take an addend off that was added before."""
        self._amounts = self._amounts.minus(part.amounts)
        self._times[part.as_of_ms] -= 1
        if not self._times[part.as_of_ms]:
            del self._times[part.as_of_ms]

    def body(self, kind: str) -> dict[str, Any]:
        """Body of a row of the ``subtotals`` table; ``as_of_ms`` is null where nothing is in the sum."""
        total = self._amounts

        def money(value: int) -> str | None:
            return None if total.unpriced else str(value)

        head = {
            "positions": total.positions,
            "unpriced": total.unpriced,
            "as_of_ms": min(self._times, default=None),
        }
        if kind == HEDGER:
            return {**head, "upnl": money(total.upnl), "notional": money(total.long_notional + total.short_notional)}
        return {
            **head,
            "long_quantity": str(total.long_quantity),
            "short_quantity": str(total.short_quantity),
            "long_notional": money(total.long_notional),
            "short_notional": money(total.short_notional),
        }


class Subtotals:
    """Every sum of one partition, by (kind and id, deployment)."""

    def __init__(self) -> None:
        self._parts: dict[bytes, tuple[str, dict[str, Contribution]]] = {}
        self._sums: dict[tuple[str, str], Subtotal] = {}
        self._changed: set[tuple[str, str]] = set()

    @property
    def changed(self) -> bool:
        """Whether any sum is another than when it was last taken."""
        return bool(self._changed)

    def put(self, account: bytes, deployment: str, body: Mapping[str, Any]) -> None:
        """Take an account's new valuation in, instead of the one before."""
        before = self._parts.get(account, (deployment, {}))[1]
        after = contributions(body)
        for name in before.keys() | after.keys():
            old, new = before.get(name), after.get(name)
            if old == new:
                continue
            total = self._sums.setdefault((name, deployment), Subtotal())
            if old is not None:
                total.subtract(old)
            if new is not None:
                total.add(new)
            self._changed.add((name, deployment))
        if after:
            self._parts[account] = (deployment, after)
        else:
            self._parts.pop(account, None)

    def take_changed(self, partition: int, standing: set[bytes]) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Yield key and body of each sum that changed, and an empty one for each standing row that has no sum."""
        changed, self._changed = self._changed, set()
        ours = {_key(name, deployment, partition) for name, deployment in self._sums}
        for name, deployment in sorted(changed):
            yield _key(name, deployment, partition), self._sums[name, deployment].body(name.partition(":")[0])
        for key in sorted(standing - ours):
            yield key, Subtotal().body(key.partition(b":")[0].decode())


def _key(name: str, deployment: str, partition: int) -> bytes:
    kind, _, identifier = name.partition(":")
    return f"{kind}:{deployment}:{identifier}:{partition}".encode()
