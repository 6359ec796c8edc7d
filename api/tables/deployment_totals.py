"""Sums of whole deployments, made by adding up the partitions' subtotals."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from models.codec import NUMBER_MAX
from models.deployment_sums import Sum, accounts_sum, add_up, decode_sum, without_money
from models.engine.tables import SUBTOTALS
from models.subtotals import HEDGER, SYMBOL, UNHEDGED, deployment_of_sum
from streams.process.unreadable_rows import decoded

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from api.tables.feeds import Feeds

View = dict[str, Any]

_Id = tuple[str, str]
"""A sum's kind, and the hedger's address or the symbol id."""


class Totals:
    """Sums of every deployment.

    A row is decoded when its deployment is asked for, and again only after it changed.

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
        """Return a deployment's sums: over all accounts at the top, ``hedgers`` by address, ``symbols`` by symbol id.

        There is only ``deployment`` where no position was ever counted. Parts of the view are shared with later ones
        and must not be changed.

        Raises:
            BadRow: A row does not decode.
        """
        sums = self._deployments.get(deployment)
        if sums is None:
            return {"deployment": deployment}
        sums.read(self._rows.get)
        return {"deployment": deployment, **sums.view()}

    def listen(self, on_change: Callable[[Collection[str]], None]) -> None:
        """Call ``on_change`` with the names of deployments whenever their sums may have changed."""
        self._listeners.append(on_change)

    def _heard(self, keys: Sequence[bytes]) -> None:
        names = self._note(keys)
        for on_change in self._listeners:
            on_change(names)

    def _note(self, keys: Iterable[bytes]) -> set[str]:
        names = set()
        for key in keys:
            name = deployment_of_sum(key)
            sums = self._deployments.get(name)
            if sums is None:
                sums = self._deployments[name] = _Deployment()
            sums.changed.add(key)
            names.add(name)
        return names


class _Deployment:
    """One deployment's subtotals and sums.

    ``_addends`` holds by sum what each partition adds to it; ``_sums`` and ``_views`` hold what they add up to.
    """

    def __init__(self) -> None:
        self.changed: set[bytes] = set()
        self._addends: dict[_Id, dict[bytes, Sum]] = {}
        self._sums: dict[_Id, Sum] = {}
        self._views: dict[_Id, View] = {}

    def read(self, row_of: Callable[[bytes], bytes | None]) -> None:
        stale = set()
        # No key is forgotten until all are read: a sum without an unreadable row would be wrong.
        for key in self.changed:
            kind, _, rest = key.decode().split(":", 2)
            name = rest.rpartition(":")[0]
            addends = self._addends.setdefault((kind, name), {})
            row = row_of(key)
            if row is None:
                addends.pop(key, None)
            else:
                addends[key] = decoded(SUBTOTALS, key, row, partial(decode_sum, kind))
            stale.add((kind, name))
        self.changed.clear()
        for sum_id in stale:
            total = add_up(sum_id[0], self._addends[sum_id].values())
            if total.positions or total.unknown_accounts:
                self._sums[sum_id] = total
                self._views[sum_id] = total.view()
            else:
                self._sums.pop(sum_id, None)
                self._views.pop(sum_id, None)

    def view(self) -> View:
        hedgers, unhedged = (
            [total for (kind, _), total in self._sums.items() if kind == wanted] for wanted in (HEDGER, UNHEDGED)
        )
        total = accounts_sum(hedgers, unhedged)
        view_of = self._view_beside_unknown if total.unknown_accounts else self._views.__getitem__
        return {
            **total.view(),
            "hedgers": {name: view_of((HEDGER, name)) for name in sorted(self._names(HEDGER))},
            "symbols": {name: view_of((SYMBOL, name)) for name in sorted(self._names(SYMBOL), key=_by_number)},
        }

    def _view_beside_unknown(self, sum_id: _Id) -> View:
        """The view of a sum where an account of the deployment is not known at all, which may be in this one too."""
        return without_money(self._sums[sum_id]).view()

    def _names(self, wanted: str) -> Iterable[str]:
        return (name for kind, name in self._views if kind == wanted)


def _by_number(symbol: str) -> tuple[int, str]:
    """Sort numbers as such, before all other texts."""
    return (int(symbol), "") if symbol.isdecimal() else (NUMBER_MAX, symbol)
