"""What an account is worth at the marks of now: uPnL, notional, margin left. Unknown is said as unknown, never as zero.

Money is 1e18-scaled ints, signed where a sign makes sense; in a body it is decimal text of those ints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from models.money import E18
from models.symmio.account_columns import bucket_body
from models.symmio.margin import (
    available_for_liquidation,
    party_a_available_for_quote,
    position_notional,
    position_upnl,
)
from models.symmio.state import Balances, PositionType
from models.valuations import (
    LIQUIDATABLE_HEDGERS,
    NO_ACCOUNT,
    SUSPECT,
    UNPRICED,
    UNSUPPORTED,
    VALUED,
    Body,
    distance_bps,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.prices import UsedMark
    from models.symmio.holding import Holding, OpenPosition, PendingQuote

_NO_BUCKET = Balances()


class Figures(msgspec.Struct, frozen=True):
    """Money that depends on prices; complete or absent.

    ``upnl_capped`` takes no more from a party B than it allocated, as the signed uPnL of a party A does. ``notional``
    is at marks, ``notional_opened`` at opened prices. ``equity`` = allocated + uPnL; ``available_balance`` = equity
    less locked cva and liquidation fee: below zero the account can be liquidated. ``distance_bps``: by how many bps of
    the notional uPnL may fall until then, floored, negative beyond it, None without positions.
    ``liquidatable_hedgers`` are the parties B that the contract would let be liquidated toward the account.
    """

    upnl: int
    upnl_capped: int
    notional: int
    notional_opened: int
    equity: int
    available_balance: int
    available_for_quote: int
    distance_bps: int | None
    liquidatable_hedgers: tuple[str, ...]

    @property
    def liquidatable(self) -> bool:
        """Whether the contract would let the account be liquidated."""
        return self.available_balance < 0


class Valuation(NamedTuple):
    """An account valued: the body of its row of ``valuations``, and its figures, None where they are unknown."""

    body: Body
    figures: Figures | None


class AccountValuer:
    """Values one account again and again; a position whose mark is the one of the last time is not worked out anew.

    What was valued before changes no figure: a valuer that was just made gives the same. Bodies share the positions
    that did not move, so nobody may change them.

    Args:
        holding: The account.
        term: Term of the account's row; with its version it names what was valued.
    """

    def __init__(self, holding: Holding, term: int) -> None:
        self._holding = holding
        # Positions of one party B share what it takes no more than, so their uPnL is summed up apart.
        parties = list(dict.fromkeys(position.party_b for position in holding.positions))
        self._priced = [_Priced(position, parties.index(position.party_b)) for position in holding.positions]
        buckets = [holding.buckets.get(party_b, _NO_BUCKET) for party_b in parties]
        self._caps = [bucket.allocated for bucket in buckets]
        # Sums over the positions that have a mark, and of uPnL by party B; a position that moves changes them.
        self._upnl = self._notional = 0
        self._upnl_by = [0] * len(parties)
        self._notional_opened = sum(
            position.open_amount * position.opened_price // E18 for position in holding.positions
        )
        self._notional_opened_text = str(self._notional_opened)
        self._unvalued = _unvalued(holding, term)
        self._is_unknown = holding.is_suspect or holding.is_no_account
        # Both grow with uPnL as they are.
        self._equity_at_zero = holding.balances.allocated
        self._available_at_zero = available_for_liquidation(holding.balances, 0)
        # A party's own uPnL is that of the account with its sign turned: beyond this it can be liquidated.
        self._limits = sorted(
            (party_b, at, available_for_liquidation(bucket, 0))
            for at, (party_b, bucket) in enumerate(zip(parties, buckets, strict=True))
        )

    def value(self, mark_of: Callable[[int], UsedMark | None], *, unsupported: bool) -> Valuation:
        """Value the positions (quotes of status 4, 5 and 6) at the marks of now.

        An account whose every block was rolled back is nobody's: no money is said of it, as of one that never was.

        Args:
            mark_of: The mark of a symbol id, None where it has none.
            unsupported: Whether the account's deployment is unsupported; its accounts are unknown then.
        """
        holding, body = self._holding, self._unvalued.copy()
        if unsupported or self._is_unknown:
            body["positions"] = [_position_body(priced.position) for priced in self._priced]
            body["status"] = UNSUPPORTED if unsupported else SUSPECT if holding.is_suspect else NO_ACCOUNT
            if body["status"] == NO_ACCOUNT:
                body["allocated"] = body["locked"] = body["pending"] = None
            return Valuation(body, None)
        positions, stale, unpriced, as_of_ms = [], 0, 0, None
        for priced in self._priced:
            mark = mark_of(priced.symbol_id)
            if mark is not priced.mark:
                self._move(priced, mark)
            positions.append(priced.body)
            if mark is None:
                unpriced += 1
                continue
            stale += mark.stale
            if as_of_ms is None or mark.event_ms < as_of_ms:
                as_of_ms = mark.event_ms
        body["stale"] = stale
        body["as_of_ms"] = holding.time_s * 1000 if as_of_ms is None else as_of_ms
        body["positions"] = positions
        if unpriced:
            body["status"], body["unpriced"] = UNPRICED, unpriced
            return Valuation(body, None)
        figures = self._figures()
        upnl = body["upnl"] = str(figures.upnl)
        # Of most accounts every party B has allocated enough.
        body["upnl_capped"] = upnl if figures.upnl_capped == figures.upnl else str(figures.upnl_capped)
        body["notional"] = str(figures.notional)
        body["notional_opened"] = self._notional_opened_text
        body["equity"] = str(figures.equity)
        body["available_balance"] = str(figures.available_balance)
        body["available_for_quote"] = str(figures.available_for_quote)
        body["liquidatable"] = figures.liquidatable
        body["distance_bps"] = figures.distance_bps
        if figures.liquidatable_hedgers:
            body[LIQUIDATABLE_HEDGERS] = list(figures.liquidatable_hedgers)
        return Valuation(body, figures)

    def _move(self, priced: _Priced, mark: UsedMark | None) -> None:
        """Value a position at another mark; its body becomes another one, and the one before stays as it is."""
        upnl, notional = priced.upnl, priced.notional
        priced.mark = mark
        if mark is None:
            priced.upnl = priced.notional = 0
            priced.body = _position_body(priced.position)
        else:
            price = mark.mark_e18
            priced.upnl = position_upnl(priced.position, price)
            priced.notional = position_notional(priced.position, price)
            body = priced.body = priced.body.copy()
            body["mark"] = str(price)
            body["mark_key"] = mark.key
            body["mark_offset"] = mark.offset
            body["upnl"] = str(priced.upnl)
            body["notional"] = str(priced.notional)
            body["stale"] = mark.stale
        gained = priced.upnl - upnl
        self._notional += priced.notional - notional
        self._upnl += gained
        self._upnl_by[priced.party] += gained

    def _figures(self) -> Figures:
        upnl, upnl_by, notional = self._upnl, self._upnl_by, self._notional
        available_balance = self._available_at_zero + upnl
        return Figures(
            upnl,
            sum(map(min, upnl_by, self._caps)),
            notional,
            self._notional_opened,
            self._equity_at_zero + upnl,
            available_balance,
            party_a_available_for_quote(self._holding.balances, upnl),
            distance_bps(available_balance, notional),
            tuple([party_b for party_b, at, limit in self._limits if upnl_by[at] > limit]),
        )


class _Priced:
    """A position at the mark that it was valued at last; ``upnl`` and ``notional`` are 0 where there is none.

    ``party`` is the number of its party B among those of the account.
    """

    __slots__ = ("body", "mark", "notional", "party", "position", "symbol_id", "upnl")

    def __init__(self, position: OpenPosition, party: int) -> None:
        self.position = position
        self.party = party
        self.symbol_id = position.symbol_id
        self.mark: UsedMark | None = None
        self.upnl = self.notional = 0
        self.body = _position_body(position)


def value_account(
    holding: Holding, term: int, mark_of: Callable[[int], UsedMark | None], *, unsupported: bool
) -> Valuation:
    """Value an account once, as ``AccountValuer`` does.

    Args:
        holding: The account.
        term: Term of the account's row.
        mark_of: The mark of a symbol id, None where it has none.
        unsupported: Whether the account's deployment is unsupported.
    """
    return AccountValuer(holding, term).value(mark_of, unsupported=unsupported)


def _unvalued(holding: Holding, term: int) -> Body:
    """The body of the account's row, before anything is known of its positions' worth."""
    balances = holding.balances
    return {
        "account_order": [term, holding.version],
        "position": list(holding.applied),
        "block": holding.block,
        "time_s": holding.time_s,
        "status": VALUED,
        "stale": 0,
        "unpriced": 0,
        "upnl": None,
        "upnl_capped": None,
        "notional": None,
        "notional_opened": None,
        "equity": None,
        "available_balance": None,
        "available_for_quote": None,
        "allocated": str(balances.allocated),
        "locked": [*map(str, balances.locked)],
        "pending": [*map(str, balances.pending)],
        "liquidating": holding.liquidating,
        "liquidatable": None,
        "distance_bps": None,
        # The time of the last block that touched the account, until a mark is older.
        "as_of_ms": holding.time_s * 1000,
        "positions": [],
        "pending_quotes": [_pending_body(quote) for quote in holding.pending_quotes],
        "party_b": {party_b: bucket_body(bucket) for party_b, bucket in holding.buckets.items()},
        "owner": holding.owner,
        "multi_account": holding.multi_account,
        "name": holding.name,
        "last_complete": None,
    }


def _position_body(position: OpenPosition) -> Body:
    """A position as it stands in a ``valuations`` row while it has no mark."""
    return {
        "quote": position.quote_id,
        "symbol": position.symbol_id,
        "side": _side(position.position_type),
        "party_b": position.party_b,
        "quantity": str(position.open_amount),
        "opened_price": str(position.opened_price),
        "mark": None,
        "mark_key": None,
        "mark_offset": None,
        "upnl": None,
        "notional": None,
        "stale": False,
    }


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
