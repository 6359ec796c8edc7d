"""What an account of a plain venue is worth: of each position quantity x (mark - entry), truncated toward zero.

The figures' meanings are those of ``models.valuations``; without positions, ``distance_bps`` is None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.book_figures import Shown
from models.money import E18, divide_toward_zero
from models.valuations import NO_ACCOUNT, SUSPECT, UNPRICED, UNSUPPORTED, VALUED, distance_bps
from models.venue import Valued

if TYPE_CHECKING:
    from models.plain_venue import Holds, PlainAccount, Position
    from models.prices import UsedMark
    from models.venue import Inputs


class PlainValuer:
    """Values one account again and again; a position whose mark is the one of the last time is not worked out anew.

    What was valued before changes no figure: a valuer that was just made gives the same. Bodies share the positions
    that did not move, so nobody may change them.

    Args:
        held: The account.
        holds: What it holds.
        term: The term of its row.
    """

    def __init__(self, held: PlainAccount[Any], holds: Holds, term: int) -> None:
        self._held = held
        self._holds = holds
        self._term = term
        self._positions = [_Priced(position) for position in holds.positions]

    def value(self, inputs: Inputs, *, unsupported: bool) -> Valued:
        """Value the account.

        Args:
            inputs: The marks in use.
            unsupported: Whether its deployment is unsupported, so that its figures are unknown.
        """
        held, holds = self._held, self._holds
        is_unknown = unsupported or held.suspect is not None or held.state is None
        used = []
        for one in self._positions:
            mark = None if is_unknown else inputs.mark(one.position.market)
            one.move(mark)
            if mark is not None:
                used.append(mark)
        is_complete = not is_unknown and len(used) == len(self._positions)
        upnl = sum(one.upnl for one in self._positions)
        notional = sum(one.notional for one in self._positions)
        equity = holds.balance_e18 + upnl
        available = equity - holds.maintenance_e18
        body = {
            "account_order": [self._term, held.version],
            "position": list(held.applied),
            "status": self._status(is_unknown=is_unknown, is_complete=is_complete, unsupported=unsupported),
            "stale": sum(mark.stale for mark in used),
            "unpriced": 0 if is_unknown else len(self._positions) - len(used),
            "upnl": str(upnl) if is_complete else None,
            "notional": str(notional) if is_complete else None,
            "equity": str(equity) if is_complete else None,
            "available_balance": str(available) if is_complete else None,
            "liquidatable": available < 0 if is_complete else None,
            "distance_bps": distance_bps(available, notional) if is_complete else None,
            "as_of_ms": min((mark.event_ms for mark in used), default=holds.time_ms),
            "positions": [one.body for one in self._positions],
            "owner": holds.owner,
            "last_complete": None,
        }
        return Valued(body, Shown(available / E18, notional / E18) if is_complete else None)

    def _status(self, *, is_unknown: bool, is_complete: bool, unsupported: bool) -> str:
        if not is_unknown:
            return VALUED if is_complete else UNPRICED
        if unsupported:
            return UNSUPPORTED
        return SUSPECT if self._held.suspect is not None else NO_ACCOUNT


class _Priced:
    """A position at the mark that it was valued at last; without one its figures are 0, and null in its body."""

    __slots__ = ("_mark", "body", "notional", "position", "upnl")

    def __init__(self, position: Position) -> None:
        self.position = position
        self._mark: UsedMark | None = None
        self.upnl = self.notional = 0
        self.body = self._made()

    def move(self, mark: UsedMark | None) -> None:
        """Value it at a mark, where that is another one than before."""
        if mark is self._mark:
            return
        self._mark, position = mark, self.position
        if mark is None:
            self.upnl = self.notional = 0
        else:
            self.upnl = divide_toward_zero(position.quantity_e18 * (mark.mark_e18 - position.entry_e18), E18)
            self.notional = abs(position.quantity_e18) * mark.mark_e18 // E18
        self.body = self._made()

    def _made(self) -> dict[str, Any]:
        position, mark = self.position, self._mark
        return {
            "quote": position.id,
            "symbol": position.market,
            "side": "long" if position.quantity_e18 > 0 else "short",
            "quantity": str(abs(position.quantity_e18)),
            "opened_price": str(position.entry_e18),
            "mark": None if mark is None else str(mark.mark_e18),
            "mark_key": None if mark is None else mark.key,
            "mark_offset": None if mark is None else mark.offset,
            "upnl": None if mark is None else str(self.upnl),
            "notional": None if mark is None else str(self.notional),
            "stale": mark is not None and mark.stale,
        }
