"""Sums over the accounts of one partition: what a hedger gains, and how much of a symbol is open.

They are sums of the rows that stand, and stay exact as these change: what a row added is taken off when another stands
in its place. A position without a known price is counted as unpriced, and its quantity with it; money that it is
missing from is null, never a partial sum. The same holds for positions of accounts that are suspect or unsupported.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HEDGER = "hedger"
SYMBOL = "symbol"
UNHEDGED = "unhedged"
"""The sum of a deployment's positions without a counterparty; its uPnL is the accounts' own."""

_SumId = tuple[str, str, str]
"""Kind, deployment, and id: a hedger's address, or a symbol's number."""


class _Sum:
    """Amounts are 1e18-scaled; ``upnl`` is the hedger's: minus that of its counterparties.

    ``times_s`` counts the addends by the second of their oldest price, so that the oldest stays known when one is taken
    off; by the millisecond there would be as many times as addends.
    """

    __slots__ = (
        "long_notional",
        "long_quantity",
        "positions",
        "short_notional",
        "short_quantity",
        "times_s",
        "unpriced",
        "upnl",
    )

    def __init__(self) -> None:
        self.positions = self.unpriced = self.upnl = 0
        self.long_quantity = self.short_quantity = self.long_notional = self.short_notional = 0
        self.times_s: Counter[int] = Counter()

    def add(self, sign: int, quantity: int, value: tuple[int, int] | None, time_s: int, *, is_long: bool) -> None:
        """Take a position in (``sign`` 1) or off (-1); ``value`` is its uPnL and notional, None where unpriced."""
        self.positions += sign
        upnl, notional = (0, 0) if value is None else value
        self.unpriced += sign if value is None else 0
        self.upnl -= sign * upnl
        if is_long:
            self.long_quantity += sign * quantity
            self.long_notional += sign * notional
        else:
            self.short_quantity += sign * quantity
            self.short_notional += sign * notional
        self.times_s[time_s] += sign
        if not self.times_s[time_s]:
            del self.times_s[time_s]

    def move(self, upnl: int, notional: int, times_s: tuple[int, int], *, is_long: bool) -> None:
        """A position that is in, and priced, is worth so much more, and as of the second time instead of the first."""
        self.upnl -= upnl
        if is_long:
            self.long_notional += notional
        else:
            self.short_notional += notional
        before_s, after_s = times_s
        if before_s != after_s:
            self.times_s[after_s] += 1
            self.times_s[before_s] -= 1
            if not self.times_s[before_s]:
                del self.times_s[before_s]

    def take_in(self, other: _Sum) -> None:
        """Add all addends of another sum."""
        self.positions += other.positions
        self.unpriced += other.unpriced
        self.upnl += other.upnl
        self.long_notional += other.long_notional
        self.short_notional += other.short_notional
        if other.times_s:
            self.times_s[min(other.times_s)] += 1

    def body(self, kind: str) -> dict[str, Any]:
        """Body of a row of the ``subtotals`` table.

        ``as_of_ms`` is the whole second at or before the time of the oldest addend, null where nothing is in the sum.
        """
        head = {
            "positions": self.positions,
            "unpriced": self.unpriced,
            "as_of_ms": min(self.times_s) * 1000 if self.times_s else None,
        }
        if kind in {HEDGER, UNHEDGED}:
            notional, upnl = self.long_notional + self.short_notional, self.upnl if kind == HEDGER else -self.upnl
            return {**head, "upnl": self._money(upnl), "notional": self._money(notional)}
        return {
            **head,
            "long_quantity": str(self.long_quantity),
            "short_quantity": str(self.short_quantity),
            "long_notional": self._money(self.long_notional),
            "short_notional": self._money(self.short_notional),
        }

    def _money(self, value: int) -> str | None:
        return None if self.unpriced else str(value)


class Subtotals:
    """Every sum of one partition."""

    def __init__(self) -> None:
        self._sums: dict[_SumId, _Sum] = {}
        self._changed: set[_SumId] = set()

    @property
    def changed(self) -> bool:
        """Whether any sum may be another than when it was last taken."""
        return bool(self._changed)

    def put(self, deployment: str, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> None:
        """Add an account's valuation to the sums, and take off the one that it replaces.

        Args:
            deployment: The account's deployment.
            before: Body of the ``valuations`` row that is in the sums; None where none of the account is.
            after: Body of the new row.
        """
        if before is not None and self._move(deployment, before, after):
            return
        if before is not None:
            self._add(deployment, before, -1)
        self._add(deployment, after, 1)

    def _move(self, deployment: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        """Take in new values of the same positions, in half the time; tell whether these are the same, and priced."""
        olds, news = before["positions"], after["positions"]
        if len(olds) != len(news) or not all(map(_is_moved, olds, news)):
            return False
        times_s = before["as_of_ms"] // 1000, after["as_of_ms"] // 1000
        is_later = times_s[0] != times_s[1]
        for old, new in zip(olds, news, strict=True):
            if old is new and not is_later:
                continue
            upnl, notional = int(new["upnl"]) - int(old["upnl"]), int(new["notional"]) - int(old["notional"])
            is_long = new["side"] == "long"
            for sum_id in _sums_of(deployment, new):
                self._sums[sum_id].move(upnl, notional, times_s, is_long=is_long)
                self._changed.add(sum_id)
        return True

    def _add(self, deployment: str, body: Mapping[str, Any], sign: int) -> None:
        time_s = body["as_of_ms"] // 1000
        for position in body["positions"]:
            is_long, quantity, notional = position["side"] == "long", int(position["quantity"]), position["notional"]
            value = None if notional is None else (int(position["upnl"]), int(notional))
            for sum_id in _sums_of(deployment, position):
                total = self._sums.get(sum_id)
                if total is None:
                    total = self._sums[sum_id] = _Sum()
                total.add(sign, quantity, value, time_s, is_long=is_long)
                self._changed.add(sum_id)

    def of_deployments(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each deployment with the sum over its accounts, as a body of the kind ``UNHEDGED``."""
        totals: dict[str, list[_Sum]] = {}
        for (kind, deployment, _), one in self._sums.items():
            if kind != SYMBOL:
                totals.setdefault(deployment, []).append(one)
        # uPnL is kept as the hedgers', and turned for the sum that is the accounts' own.
        for deployment, sums in totals.items():
            total = _Sum()
            for one in sums:
                total.take_in(one)
            yield deployment, total.body(UNHEDGED)

    def take_changed(self, partition: int, standing: set[bytes]) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Yield key and body of each sum that changed, and an empty one for each standing row that has no sum."""
        changed, self._changed = self._changed, set()
        for sum_id in sorted(changed):
            yield _key(sum_id, partition), self._sums[sum_id].body(sum_id[0])
        if standing:
            ours = {_key(sum_id, partition) for sum_id in self._sums}
            for key in sorted(standing - ours):
                yield key, _Sum().body(key.partition(b":")[0].decode())


def _key(sum_id: _SumId, partition: int) -> bytes:
    return f"{':'.join(sum_id)}:{partition}".encode()


def _sums_of(deployment: str, position: Mapping[str, Any]) -> tuple[_SumId, _SumId]:
    party_b, symbol = position.get("party_b"), str(position["symbol"])
    hedger = (UNHEDGED, deployment, "") if party_b is None else (HEDGER, deployment, party_b)
    return hedger, (SYMBOL, deployment, symbol)


def _is_moved(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    if old["notional"] is None or new["notional"] is None:
        return False
    # Of some venues a position's id is its market, so that it can turn from long to short at the same size.
    return old is new or _summed_by(old) == _summed_by(new)


def _summed_by(position: Mapping[str, Any]) -> tuple[object, ...]:
    """What says which sums a position is in, and on which side; its amounts can move only where none of it changed."""
    return position["quote"], position["quantity"], position["side"], position["symbol"], position.get("party_b")
