"""The contract's own formulae (LibAccount.sol) for what an account can still use and when it can be liquidated.

All amounts are 1e18-scaled ints. uPnL is signed and is that of the party itself: party B's is minus party A's. Results
are signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from models.money import E18
from models.symmio.state import PositionType

if TYPE_CHECKING:
    from models.symmio.holding import OpenPosition
    from models.symmio.state import Balances

# To look a member up in its enum takes as long as to multiply.
_SHORT = PositionType.SHORT


def position_upnl(position: OpenPosition, price: int) -> int:
    """Compute party A's uPnL of a position, truncated toward zero (LibQuote.sol:128).

    ``price`` is 1e18-scaled and positive; the result is positive where party A gains.
    """
    gained = (price - position.opened_price) * position.open_amount
    if position.position_type is _SHORT:
        gained = -gained
    return gained // E18 if gained >= 0 else -(-gained // E18)


def position_notional(position: OpenPosition, price: int) -> int:
    """Compute the value of a position at a price, floored; it is never negative."""
    return position.open_amount * price // E18


def party_a_available_for_quote(balances: Balances, upnl: int) -> int:
    """Compute what party A may lock for new quotes (LibAccount.sol:42)."""
    return party_a_available_balance(balances, upnl) - balances.pending.total_for_party_a


def party_a_available_balance(balances: Balances, upnl: int) -> int:
    """Compute what party A has beyond its locked values; pending ones do not count (LibAccount.sol:71)."""
    return _available(balances, upnl, balances.locked.party_amm)


def party_b_available_for_quote(balances: Balances, upnl: int) -> int:
    """Compute what party B may lock for new quotes of this party A (LibAccount.sol:107)."""
    return party_b_available_balance(balances, upnl) - balances.pending.total_for_party_b


def party_b_available_balance(balances: Balances, upnl: int) -> int:
    """Compute what party B has in this bucket beyond its locked values (LibAccount.sol:140)."""
    return _available(balances, upnl, balances.locked.party_bmm)


def available_for_liquidation(balances: Balances, upnl: int) -> int:
    """Compute what is left before liquidation of party A, or of party B's bucket (LibAccount.sol:94 and 166).

    Where the result is below zero, the party can be liquidated (LiquidationFacetImpl.sol:33).
    """
    return balances.allocated - (balances.locked.cva + balances.locked.lf) + upnl


def _available(balances: Balances, upnl: int, maintenance_margin: int) -> int:
    # A gain adds to the balance; a loss eats the maintenance margin first.
    used = maintenance_margin - upnl if upnl >= 0 else max(-upnl, maintenance_margin)
    return balances.allocated - (balances.locked.cva + balances.locked.lf) - used


class LiquidationType(Enum):
    """How much of what was locked a liquidation of party A uses up (AccountStorage.sol)."""

    NORMAL = "normal"
    LATE = "late"
    OVERDUE = "overdue"


@dataclass(frozen=True, slots=True)
class Liquidation:
    """A liquidation: ``fee`` goes to the liquidators, ``deficit`` is what parties B lose. Neither is negative."""

    liquidation_type: LiquidationType
    fee: int
    deficit: int


def classify_liquidation(balances: Balances, upnl: int) -> Liquidation | None:
    """Classify the liquidation of party A at ``upnl`` (LiquidationFacetImpl.sol:73-87); None where it is solvent."""
    missing = -available_for_liquidation(balances, upnl)
    if missing <= 0:
        return None
    cva, lf = balances.locked.cva, balances.locked.lf
    if missing < lf:
        return Liquidation(LiquidationType.NORMAL, lf - missing, 0)
    if missing <= lf + cva:
        return Liquidation(LiquidationType.LATE, 0, missing - lf)
    return Liquidation(LiquidationType.OVERDUE, 0, missing - lf - cva)
