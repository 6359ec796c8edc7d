"""Sums over the accounts of one partition: what a hedger gains, and how much of a symbol is open.

They are sums of the rows that stand, and stay exact as these change: what a row added is taken off when another stands
in its place. A position without a known price is counted as unpriced, and its quantity with it; money that it is
missing from is null, never a partial sum. The same holds for positions of accounts that are suspect or unsupported.
Such an account that gives no positions is counted as an unknown account, in the sum of its deployment's positions
without a counterparty: it may have any, of any market and counterparty.
"""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from models.valuations import SUSPECT, UNSUPPORTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HEDGER = "hedger"
SYMBOL = "symbol"
UNHEDGED = "unhedged"
"""The sum of a deployment's positions without a counterparty; its uPnL is the accounts' own."""

_UNKNOWN = frozenset({SUSPECT, UNSUPPORTED})

_SumId = tuple[str, str, str]
"""Kind, deployment, and id: a hedger's address, or a symbol's number."""


class _Sum:
    """Amounts are 1e18-scaled; ``upnl`` is the hedger's: minus that of its counterparties.

    ``times_s`` counts the addends by the second of their oldest price, so that the oldest stays known when one is taken
    off; by the millisecond there would be as many times as addends.
    """

    __slots__ = (
        "id",
        "long_notional",
        "long_quantity",
        "positions",
        "short_notional",
        "short_quantity",
        "times_s",
        "unknown_accounts",
        "unpriced",
        "upnl",
    )

    def __init__(self, sum_id: _SumId) -> None:
        self.id = sum_id
        self.positions = self.unpriced = self.upnl = self.unknown_accounts = 0
        self.long_quantity = self.short_quantity = self.long_notional = self.short_notional = 0
        self.times_s: dict[int, int] = {}

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
        self._count(time_s, sign)

    def pass_on(self, before_s: int, after_s: int, addends: int) -> None:
        """So many addends that were as of one second are as of another."""
        times_s = self.times_s
        times_s[after_s] = times_s.get(after_s, 0) + addends
        left = times_s[before_s] - addends
        if left:
            times_s[before_s] = left
        else:
            del times_s[before_s]

    def _count(self, time_s: int, addends: int) -> None:
        count = self.times_s.get(time_s, 0) + addends
        if count:
            self.times_s[time_s] = count
        else:
            del self.times_s[time_s]

    def take_in(self, other: _Sum) -> None:
        """Add all addends of another sum."""
        self.positions += other.positions
        self.unpriced += other.unpriced
        self.unknown_accounts += other.unknown_accounts
        self.upnl += other.upnl
        self.long_notional += other.long_notional
        self.short_notional += other.short_notional
        if other.times_s:
            self._count(min(other.times_s), 1)

    def body(self, kind: str) -> dict[str, Any]:
        """Body of a row of the ``subtotals`` table.

        ``as_of_ms`` is the whole second at or before the time of the oldest addend, null where nothing is in the sum.
        ``unknown_accounts`` is absent where there are none.
        """
        head: dict[str, Any] = {
            "positions": self.positions,
            "unpriced": self.unpriced,
            "as_of_ms": min(self.times_s) * 1000 if self.times_s else None,
        }
        if kind in {HEDGER, UNHEDGED}:
            notional, upnl = self.long_notional + self.short_notional, self.upnl if kind == HEDGER else -self.upnl
            if self.unknown_accounts:
                head["unknown_accounts"] = self.unknown_accounts
            return {**head, "upnl": self._money(upnl), "notional": self._money(notional)}
        return {
            **head,
            "long_quantity": str(self.long_quantity),
            "short_quantity": str(self.short_quantity),
            "long_notional": self._money(self.long_notional),
            "short_notional": self._money(self.short_notional),
        }

    def _money(self, value: int) -> str | None:
        return None if self.unpriced or self.unknown_accounts else str(value)


class _Addend:
    """A position as it was counted last: its body, its uPnL and notional, None where unpriced, and its two sums."""

    __slots__ = ("is_long", "notional", "position", "quantity", "sums", "upnl")

    def __init__(self, position: Mapping[str, Any], sums: tuple[_Sum, _Sum]) -> None:
        self.position = position
        self.sums = sums
        self.is_long = position["side"] == "long"
        self.quantity = int(position["quantity"])
        is_priced = position["notional"] is not None
        self.upnl: int | None = int(position["upnl"]) if is_priced else None
        self.notional: int | None = int(position["notional"]) if is_priced else None

    def move(self, position: Mapping[str, Any]) -> None:
        """Take the position as it is worth now, also in its sums; it was priced, and is."""
        upnl, notional = int(position["upnl"]), int(position["notional"])
        gained, grown = upnl - (self.upnl or 0), notional - (self.notional or 0)
        self.position, self.upnl, self.notional = position, upnl, notional
        # Once a position and round, so with no call for each sum.
        hedger, symbol = self.sums
        hedger.upnl -= gained
        symbol.upnl -= gained
        if self.is_long:
            hedger.long_notional += grown
            symbol.long_notional += grown
        else:
            hedger.short_notional += grown
            symbol.short_notional += grown

    @property
    def value(self) -> tuple[int, int] | None:
        """Its uPnL and notional, None where unpriced."""
        return None if self.upnl is None or self.notional is None else (self.upnl, self.notional)


class Counted:
    """What an account's valuation adds to the sums; ``Subtotals`` makes it, and keeps nothing else of an account.

    It takes some 300 bytes a position beside the positions' bodies, which are those of the valuation.
    """

    __slots__ = ("addends", "is_unknown", "sums", "time_s")

    def __init__(self, addends: list[_Addend], time_s: int, *, is_unknown: bool) -> None:
        self.addends = addends
        self.time_s = time_s
        self.is_unknown = is_unknown
        """Whether not even the account's positions are known."""
        self.sums = Counter(one for addend in addends for one in addend.sums)
        """How many addends each sum has of the account."""


class Subtotals:
    """Every sum of one partition."""

    def __init__(self) -> None:
        self._sums: dict[_SumId, _Sum] = {}
        self._changed: set[_Sum] = set()

    @property
    def changed(self) -> bool:
        """Whether any sum may be another than when it was last taken."""
        return bool(self._changed)

    def counted(self, deployment: str, body: Mapping[str, Any]) -> Counted:
        """What a valuation adds to the sums, which are left as they are.

        Args:
            deployment: The account's deployment.
            body: Body of its row of ``valuations``.
        """
        addends = [_Addend(position, self._sums_of(deployment, position)) for position in body["positions"]]
        return Counted(addends, body["as_of_ms"] // 1000, is_unknown=_is_unknown(body))

    def put(self, deployment: str, before: Counted | None, after: Mapping[str, Any]) -> Counted:
        """Add an account's valuation to the sums, and take off the one that it replaces.

        Args:
            deployment: The account's deployment.
            before: What is in the sums of the account; None where nothing is. It is used up: the next valuation of the
                account replaces what is returned.
            after: Body of the new row.
        """
        if before is not None and self._move(before, after):
            return before
        if before is not None:
            self._add(deployment, before, -1)
        counted = self.counted(deployment, after)
        self._add(deployment, counted, 1)
        return counted

    def _move(self, counted: Counted, after: Mapping[str, Any]) -> bool:
        """Take in by how much the same positions moved; tell whether these are the same, and priced.

        A position whose body is the object that was counted has not moved, and nothing of it is looked at.
        """
        addends, positions = counted.addends, after["positions"]
        if not positions and counted.is_unknown != _is_unknown(after):
            return False
        if len(addends) != len(positions) or not all(map(_is_same, addends, positions)):
            return False
        for addend, position in zip(addends, positions, strict=True):
            if position is not addend.position:
                addend.move(position)
                self._changed.update(addend.sums)
        before_s, after_s = counted.time_s, after["as_of_ms"] // 1000
        if before_s != after_s:
            counted.time_s = after_s
            for one, count in counted.sums.items():
                one.pass_on(before_s, after_s, count)
            self._changed.update(counted.sums)
        return True

    def _add(self, deployment: str, counted: Counted, sign: int) -> None:
        if counted.is_unknown:
            unhedged = self._sum((UNHEDGED, deployment, ""))
            unhedged.unknown_accounts += sign
            self._changed.add(unhedged)
        for addend in counted.addends:
            for one in addend.sums:
                one.add(sign, addend.quantity, addend.value, counted.time_s, is_long=addend.is_long)
            self._changed.update(addend.sums)

    def _sums_of(self, deployment: str, position: Mapping[str, Any]) -> tuple[_Sum, _Sum]:
        """The sums that a position is in; one that nothing is in is not written as long as it did not change."""
        party_b, symbol = position.get("party_b"), str(position["symbol"])
        hedger = (UNHEDGED, deployment, "") if party_b is None else (HEDGER, deployment, party_b)
        return self._sum(hedger), self._sum((SYMBOL, deployment, symbol))

    def _sum(self, sum_id: _SumId) -> _Sum:
        found = self._sums.get(sum_id)
        if found is None:
            found = self._sums[sum_id] = _Sum(sum_id)
        return found

    def of_deployments(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each deployment with the sum over its accounts, as a body of the kind ``UNHEDGED``."""
        totals: dict[str, list[_Sum]] = {}
        for (kind, deployment, _), one in self._sums.items():
            if kind != SYMBOL:
                totals.setdefault(deployment, []).append(one)
        # uPnL is kept as the hedgers', and turned for the sum that is the accounts' own.
        for deployment, sums in totals.items():
            total = _Sum((UNHEDGED, deployment, ""))
            for one in sums:
                total.take_in(one)
            yield deployment, total.body(UNHEDGED)

    def keys(self, partition: int) -> set[bytes]:
        """The keys of all sums."""
        return {_key(sum_id, partition) for sum_id in self._sums}

    def take_changed(self, partition: int, standing: set[bytes]) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Yield key and body of each sum that changed, and an empty one for each standing row that has no sum."""
        changed, self._changed = self._changed, set()
        for one in sorted(changed, key=attrgetter("id")):
            yield _key(one.id, partition), one.body(one.id[0])
        if standing:
            for key in sorted(standing - self.keys(partition)):
                kind = key.partition(b":")[0].decode()
                yield key, _Sum((kind, "", "")).body(kind)


def deployment_of_sum(key: bytes) -> str:
    """The deployment of a sum, by the key of its row."""
    return key.split(b":", 2)[1].decode()


def _key(sum_id: _SumId, partition: int) -> bytes:
    return f"{':'.join(sum_id)}:{partition}".encode()


def _is_unknown(body: Mapping[str, Any]) -> bool:
    """Whether not even an account's positions are known."""
    return not body["positions"] and body["status"] in _UNKNOWN


def _is_same(addend: _Addend, position: Mapping[str, Any]) -> bool:
    """Whether a position is in the same sums as one that was counted, at the same size, and both are priced."""
    before = addend.position
    if addend.notional is None or position["notional"] is None:
        return False
    # Of some venues a position's id is its market, so that it can turn from long to short at the same size.
    return position is before or (
        before["quantity"] == position["quantity"]
        and before["quote"] == position["quote"]
        and before["side"] == position["side"]
        and before["symbol"] == position["symbol"]
        and before.get("party_b") == position.get("party_b")
    )
