"""What an account is worth at the marks of now: uPnL, notional, margin left. Unknown is said as unknown, never as zero.

Money is 1e18-scaled ints, signed where a sign makes sense; in a body it is decimal text of those ints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from models.money import E18
from models.prices import UsedMark  # noqa: TC001 - msgspec resolves the annotations at run time
from models.symmio.margin import (
    available_for_liquidation,
    party_a_available_for_quote,
    position_notional,
    position_upnl,
)
from models.symmio.state import PositionType
from models.valuations import NO_ACCOUNT, SUSPECT, UNPRICED, UNSUPPORTED, VALUED, Body, distance_bps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.symmio.holding import Holding, OpenPosition, PendingQuote


class PositionValue(msgspec.Struct, frozen=True):
    """One position at its mark; ``upnl`` and ``notional`` are None where there is no mark."""

    position: OpenPosition
    mark: UsedMark | None
    upnl: int | None
    notional: int | None

    def body(self) -> Body:
        """The position as it stands in a ``valuations`` row."""
        position, mark = self.position, self.mark
        return {
            "quote": position.quote_id,
            "symbol": position.symbol_id,
            "side": _side(position.position_type),
            "party_b": position.party_b,
            "quantity": str(position.open_amount),
            "opened_price": str(position.opened_price),
            "mark": None if mark is None else str(mark.mark_e18),
            "mark_key": None if mark is None else mark.key,
            "mark_offset": None if mark is None else mark.offset,
            "upnl": _text(self.upnl),
            "notional": _text(self.notional),
            "stale": mark is not None and mark.stale,
        }


class Figures(msgspec.Struct, frozen=True):
    """Money that depends on prices; complete or absent.

    ``upnl_capped`` takes no more from a party B than it allocated, as the signed uPnL of a party A does. ``notional``
    is at marks, ``notional_opened`` at opened prices. ``equity`` = allocated + uPnL; ``available_balance`` = equity
    less locked cva and liquidation fee: below zero the account can be liquidated. ``distance_bps``: by how many bps of
    the notional uPnL may fall until then, floored, negative beyond it, None without positions.
    """

    upnl: int
    upnl_capped: int
    notional: int
    notional_opened: int
    equity: int
    available_balance: int
    available_for_quote: int
    distance_bps: int | None

    @property
    def liquidatable(self) -> bool:
        """Whether the contract would let the account be liquidated."""
        return self.available_balance < 0


class Valuation(msgspec.Struct, frozen=True):
    """An account valued; ``figures`` is None where they are unknown, and ``status`` says why."""

    holding: Holding
    term: int
    status: str
    positions: tuple[PositionValue, ...]
    figures: Figures | None

    @property
    def stale(self) -> int:
        """Number of positions whose mark is stale."""
        return sum(1 for position in self.positions if position.mark is not None and position.mark.stale)

    @property
    def unpriced(self) -> int:
        """Number of positions whose market has no mark, where the account is otherwise known."""
        if self.status in (SUSPECT, UNSUPPORTED):
            return 0
        return sum(1 for position in self.positions if position.mark is None)

    @property
    def as_of_ms(self) -> int:
        """Event time of the oldest mark used; where none is, the time of the last block that touched the account."""
        marks = [position.mark.event_ms for position in self.positions if position.mark is not None]
        return min(marks, default=self.holding.time_s * 1000)

    def body(self) -> Body:
        """Body of a row of the ``valuations`` table."""
        holding, figures = self.holding, self.figures
        balances = None if self.status == NO_ACCOUNT else holding.balances
        return {
            "account_order": [self.term, holding.version],
            "position": list(holding.applied),
            "block": holding.block,
            "time_s": holding.time_s,
            "status": self.status,
            "stale": self.stale,
            "unpriced": self.unpriced,
            "upnl": None if figures is None else str(figures.upnl),
            "upnl_capped": None if figures is None else str(figures.upnl_capped),
            "notional": None if figures is None else str(figures.notional),
            "notional_opened": None if figures is None else str(figures.notional_opened),
            "equity": None if figures is None else str(figures.equity),
            "available_balance": None if figures is None else str(figures.available_balance),
            "available_for_quote": None if figures is None else str(figures.available_for_quote),
            "allocated": None if balances is None else str(balances.allocated),
            "locked": None if balances is None else [*map(str, balances.locked)],
            "pending": None if balances is None else [*map(str, balances.pending)],
            "liquidating": holding.liquidating,
            "liquidatable": None if figures is None else figures.liquidatable,
            "distance_bps": None if figures is None else figures.distance_bps,
            "as_of_ms": self.as_of_ms,
            "positions": [position.body() for position in self.positions],
            "pending_quotes": [_pending_body(quote) for quote in holding.pending_quotes],
            "party_b": holding.buckets,
            "owner": holding.owner,
            "multi_account": holding.multi_account,
            "name": holding.name,
            "last_complete": None,
        }


def value_account(
    holding: Holding, term: int, mark_of: Callable[[int], UsedMark | None], *, unsupported: bool
) -> Valuation:
    """Value an account's positions (quotes of status 4, 5 and 6) at the marks of now.

    An account whose every block was rolled back is nobody's: no money is said of it, as of one that never was.

    Args:
        holding: The account.
        term: Term of the account's row; with its version it names what was valued.
        mark_of: The mark of a symbol id, None where it has none.
        unsupported: Whether the account's deployment is unsupported; its accounts are unknown then.
    """
    if unsupported or holding.is_suspect or holding.is_no_account:
        status = UNSUPPORTED if unsupported else SUSPECT if holding.is_suspect else NO_ACCOUNT
        unvalued = tuple(PositionValue(position, None, None, None) for position in holding.positions)
        return Valuation(holding, term, status, unvalued, None)
    positions = tuple(_valued(position, mark_of(position.symbol_id)) for position in holding.positions)
    figures = _figures(holding, positions)
    return Valuation(holding, term, UNPRICED if figures is None else VALUED, positions, figures)


def _valued(position: OpenPosition, mark: UsedMark | None) -> PositionValue:
    if mark is None:
        return PositionValue(position, None, None, None)
    price = mark.mark_e18
    return PositionValue(position, mark, position_upnl(position, price), position_notional(position, price))


def _figures(holding: Holding, valued: Sequence[PositionValue]) -> Figures | None:
    upnl = notional = notional_opened = 0
    by_party_b: dict[str, int] = {}
    for value in valued:
        if value.upnl is None or value.notional is None:
            return None
        position = value.position
        upnl += value.upnl
        notional += value.notional
        notional_opened += position.open_amount * position.opened_price // E18
        by_party_b[position.party_b] = by_party_b.get(position.party_b, 0) + value.upnl
    balances = holding.balances
    available_balance = available_for_liquidation(balances, upnl)
    return Figures(
        upnl=upnl,
        upnl_capped=sum(min(part, holding.allocated_by.get(party_b, 0)) for party_b, part in by_party_b.items()),
        notional=notional,
        notional_opened=notional_opened,
        equity=balances.allocated + upnl,
        available_balance=available_balance,
        available_for_quote=party_a_available_for_quote(balances, upnl),
        distance_bps=distance_bps(available_balance, notional),
    )


def _pending_body(quote: PendingQuote) -> Body:
    return {
        "quote": quote.quote_id,
        "symbol": quote.symbol_id,
        "side": _side(quote.position_type),
        "party_b": quote.party_b,
        "whitelist": quote.whitelist,
        "quantity": str(quote.quantity),
        "price": str(quote.requested_open_price),
    }


def _side(position_type: PositionType) -> str:
    return "long" if position_type is PositionType.LONG else "short"


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)
