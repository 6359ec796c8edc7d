"""What each event of a transaction did to an account, by the fold itself, stopped after each event."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never, cast

import msgspec

from models.account_events import AccountCheckpoint, Transaction, Unfoldable
from models.moves import Move
from models.symmio.abi import decode_log
from models.symmio.account import AccountRow
from models.symmio.events import (
    BalanceChange,
    BalanceChangePartyA,
    BalanceChangePartyB,
    ChargeFundingRate,
    ClosePosition,
    FullyLiquidatedPartyA,
    LiquidatePartyA,
    LiquidatePartyB,
    LiquidatePendingPositionsPartyA,
    LiquidatePositionsPartyA,
    LiquidatePositionsPartyB,
    OpenPosition,
    SetSymbolsPrices,
    SettleUpnl,
)
from models.symmio.fold import fold_each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.account_events import OwnRecord
    from models.symmio.events import AccountEvent

LIQUIDATION = "liquidation"
_OF_BALANCE = {
    BalanceChange.ALLOCATE: "transfer",
    BalanceChange.DEALLOCATE: "transfer",
    BalanceChange.PLATFORM_FEE_IN: "fee",
    BalanceChange.PLATFORM_FEE_OUT: "fee",
    BalanceChange.REALIZED_PNL_IN: "realised",
    BalanceChange.REALIZED_PNL_OUT: "realised",
    BalanceChange.CVA_IN: LIQUIDATION,
    BalanceChange.CVA_OUT: LIQUIDATION,
    BalanceChange.LF_IN: LIQUIDATION,
    BalanceChange.LF_OUT: LIQUIDATION,
    BalanceChange.FUNDING_FEE_IN: "funding",
    BalanceChange.FUNDING_FEE_OUT: "funding",
}


def moves_of_record(before: AccountRow | None, record: OwnRecord, after: AccountRow) -> Sequence[Move]:
    """The moves of a record that did not make its account suspect.

    Args:
        before: The account before it, None of a new one.
        record: The record.
        after: The account after it.
    """
    match record:
        case Transaction():
            return _moves(AccountRow() if before is None else before, record, after)
        case AccountCheckpoint():
            return (Move("checkpoint", "", after),)
        case Unfoldable():
            return (Move("suspect", "", after),)
        case _:
            assert_never(record)


def _moves(before: AccountRow, record: Transaction, after: AccountRow) -> Sequence[Move]:
    if after.suspect is not None:
        # It was frozen before, and the transaction was not folded.
        return (Move("suspect", record.tx, after),)
    events = cast("list[AccountEvent]", [decode_log(log) for log in record.logs])
    states = fold_each(before.state, events, record.block)
    was_liquidating = before.state.liquidating
    moves = []
    for log, event, state in zip(record.logs, events, states, strict=True):
        account = msgspec.structs.replace(after, state=state)
        moves.append(Move(_name(event, is_liquidating=was_liquidating), f"{record.tx}/{log.log_index}", account))
        was_liquidating = state.liquidating
    return moves


def _name(event: AccountEvent, *, is_liquidating: bool) -> str:
    match event:
        case BalanceChangePartyA() if not is_liquidating:
            return _OF_BALANCE[event.change]
        case OpenPosition() | ClosePosition():
            return "fill"
        case ChargeFundingRate():
            return "funding"
        case SettleUpnl():
            return "settlement"
        case (
            BalanceChangePartyA()
            | LiquidatePartyA()
            | SetSymbolsPrices()
            | LiquidatePendingPositionsPartyA()
            | LiquidatePositionsPartyA()
            | FullyLiquidatedPartyA()
            | LiquidatePartyB()
            | LiquidatePositionsPartyB()
        ):
            return LIQUIDATION
        case BalanceChangePartyB():
            return "party b"
        case _:
            return "order"
