"""Functions that make an event's own class from its decoded parameters, by the event's name.

A legacy form of an event has fewer parameters than its modern one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.codec import NUMBER_MAX
from models.symmio.events import (
    AddAccount,
    BalanceChange,
    BalanceChangePartyA,
    BalanceChangePartyB,
    CancelCloseRequest,
    CancelQuote,
    ChargeFundingRate,
    ClosePosition,
    Closing,
    EditAccountName,
    ExpireQuoteClose,
    ExpireQuoteOpen,
    FullyLiquidatedPartyA,
    LiquidatePartyA,
    LiquidatePartyB,
    LiquidatePendingPositionsPartyA,
    LiquidatePositionsPartyA,
    LiquidatePositionsPartyB,
    LockQuote,
    MarketSettings,
    OpenPosition,
    RequestToCancelCloseRequest,
    RequestToCancelQuote,
    RequestToClosePosition,
    SendQuote,
    SetSymbolsPrices,
    SettleUpnl,
    UnlockQuote,
)
from models.symmio.markets import Market
from models.symmio.state import Locked, OrderType, PositionType, QuoteStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from models.symmio.events import Event

Parameters = dict[str, Any]

# Rows hold these as JSON numbers and not as texts. Enums are checked by their classes.
_NUMBERS = ("quoteId", "quoteIds", "symbolId", "id", "fundingRateEpochDuration", "fundingRateWindowTime")


def expect_numbers(parameters: Parameters) -> None:
    """Refuse an event whose ids or durations do not fit into a row; no contract has given out such a one.

    Raises:
        ValueError: An id or a duration is beyond 63 bits.
    """
    for name in _NUMBERS:
        value = parameters.get(name, 0)
        largest = value if isinstance(value, int) else max(value, default=0)
        if largest > NUMBER_MAX:
            msg = f"expected {name} of at most 63 bits, found {largest}"
            raise ValueError(msg)


def _pairs(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    return tuple(zip(first, second, strict=True))


def _send_quote(p: Parameters, _: str) -> Event:
    return SendQuote(
        party_a=p["partyA"],
        quote_id=p["quoteId"],
        whitelist=tuple(p["partyBsWhiteList"]),
        symbol_id=p["symbolId"],
        position_type=PositionType(p["positionType"]),
        order_type=OrderType(p["orderType"]),
        price=p["price"],
        market_price=p["marketPrice"],
        quantity=p["quantity"],
        locked=Locked(p["cva"], p["lf"], p["partyAmm"], p["partyBmm"]),
        trading_fee=p["tradingFee"],
        deadline_s=p["deadline"],
    )


def _request_to_close(p: Parameters, _: str) -> Event:
    return RequestToClosePosition(
        party_a=p["partyA"],
        quote_id=p["quoteId"],
        close_price=p["closePrice"],
        quantity_to_close=p["quantityToClose"],
        order_type=OrderType(p["orderType"]),
        deadline_s=p["deadline"],
    )


def _closing(closing: Closing) -> Callable[[Parameters, str], Event]:
    def build(p: Parameters, _: str) -> Event:
        return ClosePosition(
            quote_id=p["quoteId"],
            party_a=p["partyA"],
            party_b=p["partyB"],
            filled_amount=p["filledAmount"],
            closed_price=p["closedPrice"],
            status=QuoteStatus(p["quoteStatus"]),
            closing=closing,
        )

    return build


def _expire_quote(p: Parameters, _: str) -> Event:
    match QuoteStatus(p["quoteStatus"]):
        case QuoteStatus.EXPIRED:
            return ExpireQuoteOpen(p["quoteId"])
        case QuoteStatus.OPENED:
            return ExpireQuoteClose(p["quoteId"])
        case status:
            msg = f"expected status EXPIRED or OPENED, found {status.name}"
            raise ValueError(msg)


def _settle_upnl(p: Parameters, _: str) -> Event:
    # A force close without settlement emits what its sender put into the signature's data, and no prices: that data
    # was neither checked nor used (ForceActionsFacet.sol, settleAndForceClosePosition).
    quote_ids = tuple(quote_id for quote_id, _, _ in p["settlementData"]) if p["updatedPrices"] else ()
    return SettleUpnl(p["partyA"], _pairs(quote_ids, p["updatedPrices"]))


def _add_symbol(p: Parameters, _: str) -> Event:
    return MarketSettings(
        Market(
            symbol_id=p["id"],
            name=p["name"],
            is_valid=True,
            min_acceptable_quote_value=p["minAcceptableQuoteValue"],
            min_acceptable_portion_lf=p["minAcceptablePortionLF"],
            trading_fee=p["tradingFee"],
            max_leverage=p.get("maxLeverage"),
            funding_rate_epoch_duration_s=p.get("fundingRateEpochDuration"),
            funding_rate_window_s=p.get("fundingRateWindowTime"),
        )
    )


def _funding_state(p: Parameters, _: str) -> Event:
    return MarketSettings(
        Market(
            symbol_id=p["id"],
            funding_rate_epoch_duration_s=p["fundingRateEpochDuration"],
            funding_rate_window_s=p["fundingRateWindowTime"],
        )
    )


def _acceptable_values(p: Parameters, _: str) -> Event:
    return MarketSettings(
        Market(
            symbol_id=p["symbolId"],
            min_acceptable_quote_value=p["minAcceptableQuoteValue"],
            min_acceptable_portion_lf=p["minAcceptablePortionLF"],
        )
    )


BUILDERS: Mapping[str, Callable[[Parameters, str], Event]] = {
    "BalanceChangePartyA": lambda p, _: BalanceChangePartyA(p["partyA"], p["amount"], BalanceChange(p["_type"])),
    "BalanceChangePartyB": lambda p, _: BalanceChangePartyB(
        p["partyB"], p["partyA"], p["amount"], BalanceChange(p["_type"])
    ),
    "SendQuote": _send_quote,
    "LockQuote": lambda p, _: LockQuote(p["partyB"], p["quoteId"]),
    "UnlockQuote": lambda p, _: UnlockQuote(p["quoteId"]),
    "RequestToCancelQuote": lambda p, _: RequestToCancelQuote(p["partyA"], p["quoteId"], QuoteStatus(p["quoteStatus"])),
    "AcceptCancelRequest": lambda p, _: CancelQuote(p["quoteId"], forced=False),
    "ForceCancelQuote": lambda p, _: CancelQuote(p["quoteId"], forced=True),
    "ExpireQuote": _expire_quote,
    "ExpireQuoteOpen": lambda p, _: ExpireQuoteOpen(p["quoteId"]),
    "ExpireQuoteClose": lambda p, _: ExpireQuoteClose(p["quoteId"]),
    "OpenPosition": lambda p, _: OpenPosition(
        p["quoteId"], p["partyA"], p["partyB"], p["filledAmount"], p["openedPrice"]
    ),
    "RequestToClosePosition": _request_to_close,
    "RequestToCancelCloseRequest": lambda p, _: RequestToCancelCloseRequest(p["partyA"], p["quoteId"]),
    "AcceptCancelCloseRequest": lambda p, _: CancelCloseRequest(p["quoteId"]),
    "ForceCancelCloseRequest": lambda p, _: CancelCloseRequest(p["quoteId"]),
    "FillCloseRequest": _closing(Closing.FILL),
    "EmergencyClosePosition": _closing(Closing.EMERGENCY),
    "ForceClosePosition": _closing(Closing.FORCE),
    "ChargeFundingRate": lambda p, _: ChargeFundingRate(p["partyA"], _pairs(p["quoteIds"], p["rates"])),
    "SettleUpnl": _settle_upnl,
    "LiquidatePartyA": lambda p, _: LiquidatePartyA(p["partyA"], p["allocatedBalance"], deferred=False),
    "DeferredLiquidatePartyA": lambda p, _: LiquidatePartyA(p["partyA"], p["allocatedBalance"], deferred=True),
    "SetSymbolsPrices": lambda p, _: SetSymbolsPrices(p["partyA"], _pairs(p["symbolIds"], p["prices"])),
    "LiquidatePendingPositionsPartyA": lambda p, _: LiquidatePendingPositionsPartyA(p["partyA"], tuple(p["quoteIds"])),
    "LiquidatePositionsPartyA": lambda p, _: LiquidatePositionsPartyA(p["partyA"], tuple(p["quoteIds"])),
    "FullyLiquidatedPartyA": lambda p, _: FullyLiquidatedPartyA(p["partyA"]),
    "LiquidatePartyB": lambda p, _: LiquidatePartyB(p["partyB"], p["partyA"]),
    "LiquidatePositionsPartyB": lambda p, _: LiquidatePositionsPartyB(p["partyB"], p["partyA"], tuple(p["quoteIds"])),
    "AddSymbol": _add_symbol,
    "SetSymbolValidationState": lambda p, _: MarketSettings(Market(p["id"], is_valid=p["isValid"])),
    "SetSymbolTradingFee": lambda p, _: MarketSettings(Market(p["symbolId"], trading_fee=p["tradingFee"])),
    "SetSymbolMaxLeverage": lambda p, _: MarketSettings(Market(p["symbolId"], max_leverage=p["maxLeverage"])),
    "SetSymbolFundingState": _funding_state,
    "SetSymbolAcceptableValues": _acceptable_values,
    "AddAccount": lambda p, address: AddAccount(p["user"], p["account"], p["name"], address),
    "EditAccountName": lambda p, _: EditAccountName(p["account"], p["newName"]),
}
"""Builders take the parameters and the address of the contract that emitted the log."""
