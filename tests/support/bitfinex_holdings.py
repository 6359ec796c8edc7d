"""An account of the Bitfinex dialect that has something of everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.money import E18
from tests.support.bitfinex import SYMBOL_SETTINGS, Scene
from tests.support.ledger import holdings, order, position, wallet

if TYPE_CHECKING:
    from models.ledger.ledger_state import Holdings

HELD = holdings(
    wallet("100"),
    wallet("5", "BTC", "exchange"),
    position("0.2", "153.71"),
    order(9, "1", "10", type_="EXCHANGE LIMIT"),
)


def fill(made: Scene, held: Holdings = HELD) -> None:
    made.ledger.refer("symbol:tBTCUSD", SYMBOL_SETTINGS)
    made.ledger.mark("tBTCUSD", 15_362 * E18 // 100)
    made.ledger.show(held)
