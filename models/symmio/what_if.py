"""An account as a charge of funding would leave it, by the fold itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from models.symmio.events import ChargeFundingRate
from models.symmio.fold import fold
from models.symmio.state import PositionType

if TYPE_CHECKING:
    from models.symmio.account import AccountRow


def charged(account: AccountRow, rate_e18: int) -> AccountRow:
    """The account after a charge on every position.

    The contract's rate says what party A pays, whichever side it is on; so shorts are charged the negative one.

    Args:
        account: The account; itself is returned where it has no positions, or is suspect.
        rate_e18: A fraction of opened prices, signed; longs pay where it is positive.

    Raises:
        BadFold: It would leave a position a price below 0.
    """
    quotes = account.state.open_quotes
    if not quotes or account.suspect is not None:
        return account
    rates = tuple(
        (quote.quote_id, rate_e18 if quote.position_type is PositionType.LONG else -rate_e18) for quote in quotes
    )
    state = fold(account.state, (ChargeFundingRate("", rates),), account.block)
    return msgspec.structs.replace(account, state=state, version=account.version + 1)
