"""Sums of whole deployments, added up from the partitions' subtotals; only what changed is read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.codec import decode_row
from models.symmio.subtotals import HEDGER, SYMBOL
from models.symmio.totals import Sum, accounts_sum, add_up, decode_sum

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from api.tables.feeds import Feeds

View = dict[str, Any]

_Id = tuple[str, str]
"""Kind, and the hedger's address or the symbol's number."""


class Totals:
    """Sums of every deployment.

    Rows are decoded when their deployment is asked for, and not again before they change.

    Args:
        feeds: The tables.
    """

    def __init__(self, feeds: Feeds) -> None:
        self._rows = feeds.subtotals.rows
        self._deployments: dict[str, _Deployment] = {}
        self._listeners: list[Callable[[Collection[str]], None]] = []
        self._note(list(self._rows))
        feeds.subtotals.listen(self._heard)

    def of(self, deployment: str) -> View:
        """A deployment's sums, those of its accounts at the top, ``hedgers`` by address and ``symbols`` by number.

        Nothing but ``deployment`` where no position was ever counted. Parts of it are shared with later answers and are
        not to be changed.

        Raises:
            BadRow: A row does not decode.
        """
        sums = self._deployments.get(deployment)
        if sums is None:
            return {"deployment": deployment}
        sums.read(self._rows.get)
        return {"deployment": deployment, **sums.view()}

    def listen(self, on_change: Callable[[Collection[str]], None]) -> None:
        """Call ``on_change`` with the names of the deployments whose sums may be others, from now on."""
        self._listeners.append(on_change)

    def _heard(self, keys: Sequence[bytes]) -> None:
        names = self._note(keys)
        for on_change in self._listeners:
            on_change(names)

    def _note(self, keys: Iterable[bytes]) -> set[str]:
        names = set()
        for key in keys:
            name = key.split(b":", 2)[1].decode()
            sums = self._deployments.get(name)
            if sums is None:
                sums = self._deployments[name] = _Deployment()
            sums.changed.add(key)
            names.add(name)
        return names


class _Deployment:
    """``addends`` holds what each partition adds to a sum, ``sums`` and ``views`` what they add up to."""

    def __init__(self) -> None:
        self.changed: set[bytes] = set()
        self._addends: dict[_Id, dict[bytes, Sum]] = {}
        self._sums: dict[_Id, Sum] = {}
        self._views: dict[_Id, View] = {}

    def read(self, row_of: Callable[[bytes], bytes | None]) -> None:
        stale = set()
        # All stay to be read until all are: a sum without one that cannot be read would be a wrong one.
        for key in self.changed:
            kind, _, name, _ = key.decode().split(":")
            addends = self._addends.setdefault((kind, name), {})
            row = row_of(key)
            if row is None:
                addends.pop(key, None)
            else:
                addends[key] = decode_sum(kind, decode_row(row).body)
            stale.add((kind, name))
        self.changed.clear()
        for sum_id in stale:
            total = add_up(sum_id[0], self._addends[sum_id].values())
            if total.positions:
                self._sums[sum_id] = total
                self._views[sum_id] = total.view()
            else:
                self._sums.pop(sum_id, None)
                self._views.pop(sum_id, None)

    def view(self) -> View:
        hedgers = [total for (kind, _), total in self._sums.items() if kind == HEDGER]
        return {
            **accounts_sum(hedgers).view(),
            "hedgers": {name: self._views[HEDGER, name] for name in sorted(self._names(HEDGER))},
            "symbols": {name: self._views[SYMBOL, name] for name in sorted(self._names(SYMBOL), key=int)},
        }

    def _names(self, wanted: str) -> Iterable[str]:
        return (name for kind, name in self._views if kind == wanted)
