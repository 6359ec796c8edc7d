"""An account's exposure as the columnar book keeps it: floats in whole units, good enough to choose which to value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.book_figures import Exposure
from models.money import E18
from models.symmio.state import PositionType

if TYPE_CHECKING:
    from models.book_figures import Market
    from models.symmio.holding import Holding

_E36 = E18 * E18


def exposure_of(deployment: str, holding: Holding) -> Exposure:
    """Compute an account's exposure; it is empty where the figures are unknown whatever prices do."""
    if holding.is_suspect or holding.is_no_account:
        return Exposure({}, 0.0, 0.0)
    signed: dict[Market, float] = {}
    cost = 0
    for position in holding.positions:
        amount = position.open_amount
        if position.position_type is PositionType.SHORT:
            amount = -amount
        market = deployment, position.symbol_id
        signed[market] = signed.get(market, 0.0) + amount / E18
        cost += amount * position.opened_price
    balances = holding.balances
    return Exposure(signed, cost / _E36, (balances.allocated - balances.locked.cva - balances.locked.lf) / E18)
