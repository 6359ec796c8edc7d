"""Every event that SYMMIO contracts 0.8.0 to 0.8.4 can emit, how each is treated, and why.

Contracts from 0.8.3 on emit a BalanceChange event for every change of a balance, so a fold of the logs is exact. Where
an event grew a parameter, 0.8.4 emits it twice in one transaction, in its modern and in its legacy form: the legacy
form is then left out. A legacy form without the modern one comes from older contracts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Contract(Enum):
    """Which contract emits an event."""

    DIAMOND = "Diamond"
    MULTI_ACCOUNT = "MultiAccount"


class Treatment(Enum):
    """How an event is treated.

    A FOLDED event changes an account. A SETTING changes how the deployment works. An IGNORED one changes nothing that
    is kept here. An UNSUPPORTED one has an effect that this version cannot fold exactly, so the deployment is unknown
    from there on.
    """

    FOLDED = "folded"
    SETTING = "setting"
    IGNORED = "ignored"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as its contract declares it.

    ``modern`` is empty, except for a legacy form: it names the events whose modern form replaces this one where both
    are in one transaction. ``treatment`` and ``reason`` of a legacy form are for one without the modern one.
    """

    contract: Contract
    declaration: str
    treatment: Treatment
    reason: str
    modern: tuple[str, ...] = ()


# The other legacy forms were replaced by one of the same name.
_MODERN_NAMES = {"ExpireQuote": ("ExpireQuoteOpen", "ExpireQuoteClose")}


def _diamond(treatment: Treatment, reason: str, *declarations: str) -> tuple[Entry, ...]:
    return tuple(Entry(Contract.DIAMOND, declaration, treatment, reason) for declaration in declarations)


def _legacy(treatment: Treatment, reason: str, *declarations: str) -> tuple[Entry, ...]:
    return tuple(
        Entry(Contract.DIAMOND, declaration, treatment, reason, _MODERN_NAMES.get(name, (name,)))
        for declaration in declarations
        for name in (declaration.partition("(")[0],)
    )


def _multi_account(treatment: Treatment, reason: str, *declarations: str) -> tuple[Entry, ...]:
    return tuple(Entry(Contract.MULTI_ACCOUNT, declaration, treatment, reason) for declaration in declarations)


ENTRIES: tuple[Entry, ...] = (
    *_diamond(
        Treatment.FOLDED,
        "changes an allocated balance",
        "BalanceChangePartyA(address indexed partyA, uint256 amount, uint8 _type)",
        "BalanceChangePartyB(address indexed partyB, address indexed partyA, uint256 amount, uint8 _type)",
    ),
    *_diamond(
        Treatment.FOLDED,
        "changes a quote and locked or pending values",
        "SendQuote(address partyA, uint256 quoteId, address[] partyBsWhiteList, uint256 symbolId, uint8 positionType, "
        "uint8 orderType, uint256 price, uint256 marketPrice, uint256 quantity, uint256 cva, uint256 lf, "
        "uint256 partyAmm, uint256 partyBmm, uint256 tradingFee, uint256 deadline)",
        "LockQuote(address partyB, uint256 quoteId)",
        "UnlockQuote(address partyB, uint256 quoteId, uint8 quoteStatus)",
        "RequestToCancelQuote(address partyA, address partyB, uint8 quoteStatus, uint256 quoteId)",
        "AcceptCancelRequest(uint256 quoteId, uint8 quoteStatus)",
        "ForceCancelQuote(uint256 quoteId, uint8 quoteStatus)",
        "ExpireQuoteOpen(uint8 quoteStatus, uint256 quoteId)",
        "ExpireQuoteClose(uint8 quoteStatus, uint256 quoteId, uint256 closeId)",
        "OpenPosition(uint256 quoteId, address partyA, address partyB, uint256 filledAmount, uint256 openedPrice)",
        "RequestToClosePosition(address partyA, address partyB, uint256 quoteId, uint256 closePrice, "
        "uint256 quantityToClose, uint8 orderType, uint256 deadline, uint8 quoteStatus, uint256 closeId)",
        "RequestToCancelCloseRequest(address partyA, address partyB, uint256 quoteId, uint8 quoteStatus, "
        "uint256 closeId)",
        "AcceptCancelCloseRequest(uint256 quoteId, uint8 quoteStatus, uint256 closeId)",
        "ForceCancelCloseRequest(uint256 quoteId, uint8 quoteStatus, uint256 closeId)",
        "FillCloseRequest(uint256 quoteId, address partyA, address partyB, uint256 filledAmount, uint256 closedPrice, "
        "uint8 quoteStatus, uint256 closeId)",
        "EmergencyClosePosition(uint256 quoteId, address partyA, address partyB, uint256 filledAmount, "
        "uint256 closedPrice, uint8 quoteStatus, uint256 closeId)",
        "ForceClosePosition(uint256 quoteId, address partyA, address partyB, uint256 filledAmount, "
        "uint256 closedPrice, uint8 quoteStatus, uint256 closeId)",
        "ChargeFundingRate(address partyB, address partyA, uint256[] quoteIds, int256[] rates)",
        "SettleUpnl((uint256 quoteId, uint256 currentPrice, uint8 partyBUpnlIndex)[] settlementData, "
        "uint256[] updatedPrices, address partyA, uint256 newPartyAAllocatedBalance, "
        "uint256[] newPartyBsAllocatedBalances)",
    ),
    *_diamond(
        Treatment.FOLDED,
        "is a step of a liquidation",
        "LiquidatePartyA(address liquidator, address partyA, uint256 allocatedBalance, int256 upnl, "
        "int256 totalUnrealizedLoss, bytes liquidationId)",
        "DeferredLiquidatePartyA(address liquidator, address partyA, uint256 allocatedBalance, int256 upnl, "
        "int256 totalUnrealizedLoss, bytes liquidationId, uint256 liquidationBlockNumber, "
        "uint256 liquidationTimestamp, uint256 liquidationAllocatedBalance)",
        "SetSymbolsPrices(address liquidator, address partyA, uint256[] symbolIds, uint256[] prices, "
        "bytes liquidationId)",
        "LiquidatePendingPositionsPartyA(address liquidator, address partyA, uint256[] quoteIds, "
        "uint256[] liquidatedAmounts, bytes liquidationId)",
        "LiquidatePositionsPartyA(address liquidator, address partyA, uint256[] quoteIds, "
        "uint256[] liquidatedAmounts, uint256[] closeIds, bytes liquidationId)",
        "FullyLiquidatedPartyA(address partyA, bytes liquidationId)",
        "LiquidatePartyB(address liquidator, address partyB, address partyA, uint256 partyBAllocatedBalance, "
        "int256 upnl)",
        "LiquidatePositionsPartyB(address liquidator, address partyB, address partyA, uint256[] quoteIds, "
        "uint256[] liquidatedAmounts, uint256[] closeIds)",
    ),
    *_diamond(
        Treatment.IGNORED,
        "the BalanceChange events of its transaction say the same",
        "AllocatePartyA(address user, uint256 amount, uint256 newAllocatedBalance)",
        "DeallocatePartyA(address user, uint256 amount, uint256 newAllocatedBalance)",
        "AllocateForPartyB(address partyB, address partyA, uint256 amount, uint256 newAllocatedBalance)",
        "AllocatePartyB(address partyB, address partyA, uint256 amount)",
        "DeallocateForPartyB(address partyB, address partyA, uint256 amount, uint256 newAllocatedBalance)",
        "TransferAllocation(uint256 amount, address origin, uint256 originNewAllocatedBalance, address recipient, "
        "uint256 recipientNewAllocatedBalance)",
        "InternalTransfer(address sender, address user, uint256 userNewAllocatedBalance, uint256 amount)",
        "SettlePartyALiquidation(address partyA, address[] partyBs, int256[] amounts, bytes liquidationId)",
    ),
    *_diamond(
        Treatment.IGNORED,
        "tells the course of a liquidation; what it comes to is paid by SettlePartyALiquidation's BalanceChange events",
        "DisputeForLiquidation(address liquidator, address partyA)",
        "DisputeForLiquidation(address liquidator, address partyA, bytes liquidationId)",
        "LiquidationDisputed(address partyA, bytes liquidationId)",
        "ResolveLiquidationDispute(address partyA, address[] partyBs, int256[] amounts, bool disputed, "
        "bytes liquidationId)",
        "FullyLiquidatedPartyB(address partyB, address partyA)",
    ),
    *_diamond(
        Treatment.IGNORED,
        "moves deposits, which are no part of an account's allocated balance",
        "Deposit(address sender, address user, uint256 amount)",
        "DepositForPartyB(address partyB, uint256 amount)",
        "DepositToReserveVault(address sender, address partyB, uint256 amount)",
        "Withdraw(address sender, address user, uint256 amount)",
        "WithdrawFromReserveVault(address partyB, uint256 amount)",
        "TransferToBridge(address user, uint256 amount, address bridgeAddress, uint256 transactionId)",
        "WithdrawReceivedBridgeValue(uint256 transactionId)",
        "WithdrawReceivedBridgeValues(uint256[] transactionIds)",
        "SuspendBridgeTransaction(uint256 transactionId)",
        "RestoreBridgeTransaction(uint256 transactionId, uint256 validAmount)",
    ),
    *_diamond(
        Treatment.IGNORED,
        "is a developer's trace",
        "LogAddress(address value)",
        "LogInt(int256 value)",
        "LogString(string value)",
        "LogUint(uint256 value)",
    ),
    *_diamond(
        Treatment.SETTING,
        "says what a market is",
        "AddSymbol(uint256 id, string name, uint256 minAcceptableQuoteValue, uint256 minAcceptablePortionLF, "
        "uint256 tradingFee)",
        "AddSymbol(uint256 id, string name, uint256 minAcceptableQuoteValue, uint256 minAcceptablePortionLF, "
        "uint256 tradingFee, uint256 maxLeverage, uint256 fundingRateEpochDuration, uint256 fundingRateWindowTime)",
        "SetSymbolValidationState(uint256 id, bool oldState, bool isValid)",
        "SetSymbolTradingFee(uint256 symbolId, uint256 oldTradingFee, uint256 tradingFee)",
        "SetSymbolMaxLeverage(uint256 symbolId, uint256 oldMaxLeverage, uint256 maxLeverage)",
        "SetSymbolFundingState(uint256 id, uint256 fundingRateEpochDuration, uint256 fundingRateWindowTime)",
        "SetSymbolAcceptableValues(uint256 symbolId, uint256 oldMinAcceptableQuoteValue, "
        "uint256 oldMinAcceptablePortionLF, uint256 minAcceptableQuoteValue, uint256 minAcceptablePortionLF)",
    ),
    *_diamond(
        Treatment.SETTING,
        "bounds what parties may do later; every effect of it comes as an event of its own",
        "ActiveEmergencyMode()",
        "DeactiveEmergencyMode()",
        "AddBridge(address bridge)",
        "RemoveBridge(address bridge)",
        "RegisterAffiliate(address affilate)",
        "DeregisterAffiliate(address affilate)",
        "RegisterPartyB(address partyB)",
        "DeregisterPartyB(address partyB, uint256 index)",
        "OwnershipTransferred(address indexed previousOwner, address indexed newOwner)",
        "RoleGranted(bytes32 role, address user)",
        "RoleRevoked(bytes32 role, address user)",
        "PauseAccounting()",
        "PauseGlobal()",
        "PauseInternalTransfer()",
        "PauseLiquidation()",
        "PausePartyAActions()",
        "PausePartyBActions()",
        "UnpauseAccounting()",
        "UnpauseGlobal()",
        "UnpauseInternalTransfer()",
        "UnpauseLiquidation()",
        "UnpausePartyAActions()",
        "UnpausePartyBActions()",
        "SetBalanceLimitPerUser(uint256 balanceLimitPerUser)",
        "SetCollateral(address collateral)",
        "SetDeallocateCooldown(uint256 oldDeallocateCooldown, uint256 newDeallocateCooldown)",
        "SetDeallocateDebounceTime(uint256 oldDeallocateDebounceTime, uint256 newDeallocateDebounceTime)",
        "SetDefaultFeeCollector(address oldDefaultFeeCollector, address newDefaultFeeCollector)",
        "SetFeeCollector(address affiliate, address oldFeeCollector, address newFeeCollector)",
        "SetFeeCollector(address oldFeeCollector, address newFeeCollector)",
        "SetForceCancelCloseCooldown(uint256 oldForceCancelCloseCooldown, uint256 newForceCancelCloseCooldown)",
        "SetForceCancelCooldown(uint256 oldForceCancelCooldown, uint256 newForceCancelCooldown)",
        "SetForceCloseCooldown(uint256 oldForceCloseCooldown, uint256 newForceCloseCooldown)",
        "SetForceCloseCooldowns(uint256 oldForceCloseFirstCooldown, uint256 newForceCloseFirstCooldown, "
        "uint256 oldForceCloseSecondCooldown, uint256 newForceCloseSecondCooldown)",
        "SetForceCloseGapRatio(uint256 oldForceCloseGapRatio, uint256 newForceCloseGapRatio)",
        "SetForceCloseGapRatio(uint256 symbolId, uint256 oldForceCloseGapRatio, uint256 newForceCloseGapRatio)",
        "SetForceCloseMinSigPeriod(uint256 oldCloseMinSigPeriod, uint256 newCloseMinSigPeriod)",
        "SetForceClosePricePenalty(uint256 oldPricePenalty, uint256 newPricePenalty)",
        "SetInvalidBridgedAmountsPool(address oldInvalidBridgedAmountsPool, address newInvalidBridgedAmountsPool)",
        "SetLiquidationTimeout(uint256 oldLiquidationTimeout, uint256 newLiquidationTimeout)",
        "SetLiquidatorShare(uint256 oldLiquidatorShare, uint256 newLiquidatorShare)",
        "SetMuonConfig(uint256 upnlValidTime, uint256 priceValidTime)",
        "SetMuonConfig(uint256 upnlValidTime, uint256 priceValidTime, uint256 priceQuantityValidTime)",
        "SetMuonIds(uint256 muonAppId, address gateway, uint256 x, uint8 parity)",
        "SetPartyBEmergencyStatus(address partyB, bool status)",
        "SetPendingQuotesValidLength(uint256 oldPendingQuotesValidLength, uint256 newPendingQuotesValidLength)",
        "SetSettlementCooldown(uint256 oldSettlementCooldown, uint256 newSettlementCooldown)",
        "SetSuspendedAddress(address user, bool isSuspended)",
        "SetSymbolMaxSlippage(uint256 symbolId, uint256 oldMaxSlippage, uint256 maxSlippage)",
    ),
    *_diamond(
        Treatment.UNSUPPORTED,
        "the contracts changed; join again with --from-state once this version is known to support them",
        "DiamondCut((address facetAddress, uint8 action, bytes4[] functionSelectors)[] _diamondCut, address _init, "
        "bytes _calldata)",
    ),
    *_diamond(
        Treatment.UNSUPPORTED,
        "contracts before 0.8.2 lock other values, take other fees and say no balances; join with --from-state once "
        "they are 0.8.3 or later",
        "SendQuote(address partyA, uint256 quoteId, address[] partyBsWhiteList, uint256 symbolId, uint8 positionType, "
        "uint8 orderType, uint256 price, uint256 marketPrice, uint256 quantity, uint256 cva, uint256 mm, uint256 lf, "
        "uint256 maxInterestRate, uint256 deadline, uint8 quoteStatus)",
        "LockQuote(address partyB, uint256 quoteId, uint8 quoteStatus)",
        "OpenPosition(uint256 quoteId, address partyA, address partyB, uint256 filledAmount, uint256 openedPrice, "
        "uint8 quoteStatus)",
        "LiquidatePartyA(address liquidator, address partyA)",
        "LiquidatePartyB(address liquidator, address partyB, address partyA)",
        "SettlePartyALiquidation(address partyA, address[] partyBs)",
    ),
    *_diamond(
        Treatment.UNSUPPORTED,
        "comes from contracts later than 0.8.4, which emit other events for the same action beside it",
        "LockQuotes(address partyB, uint256[] quoteIds)",
        "OpenPositions(uint256[] quoteIds, address partyA, address partyB, uint256[] filledAmounts, "
        "uint256[] openedPrices)",
        "FillCloseRequests(uint256[] quoteIds, address partyA, address partyB, uint256[] filledAmounts, "
        "uint256[] closedPrices, uint8[] quoteStatuses, uint256[] closeIds)",
    ),
    *_diamond(
        Treatment.UNSUPPORTED,
        "comes from contracts later than 0.8.4: funding accumulates as a debt that uPnL must take off",
        "SetEpochDuration(uint256[] symbolIds, uint256[] durations, address partyB)",
        "SetLongFundingFee(uint256[] symbolIds, int256[] fees, address partyB)",
        "SetShortFundingFee(uint256[] symbolIds, int256[] fees, address partyB)",
        "ChargeAccumulatedFundingFee(address partyA, address partyB, uint256[] quoteIds, address sender)",
    ),
    *_diamond(
        Treatment.UNSUPPORTED,
        "comes from contracts later than 0.8.4, whose other actions are not known to keep these events' meaning",
        "BindToPartyB(address partyA, address partyB)",
        "UnbindFromPartyB(address partyA, address partyB)",
        "DeferredWithdraw(address user, address to, uint256 amount)",
        "ClaimDeferredWithdraw(uint256 id)",
        "CancelDeferredWithdraw(uint256 id)",
    ),
    *_legacy(
        Treatment.FOLDED,
        "older contracts emit it alone, and it says as much as the modern form of what is kept here",
        "AcceptCancelCloseRequest(uint256 quoteId, uint8 quoteStatus)",
        "ForceCancelCloseRequest(uint256 quoteId, uint8 quoteStatus)",
        "RequestToCancelCloseRequest(address partyA, address partyB, uint256 quoteId, uint8 quoteStatus)",
        "RequestToClosePosition(address partyA, address partyB, uint256 quoteId, uint256 closePrice, "
        "uint256 quantityToClose, uint8 orderType, uint256 deadline, uint8 quoteStatus)",
        "FillCloseRequest(uint256 quoteId, address partyA, address partyB, uint256 filledAmount, uint256 closedPrice, "
        "uint8 quoteStatus)",
        "EmergencyClosePosition(uint256 quoteId, address partyA, address partyB, uint256 filledAmount, "
        "uint256 closedPrice, uint8 quoteStatus)",
        "ForceClosePosition(uint256 quoteId, address partyA, address partyB, uint256 filledAmount, "
        "uint256 closedPrice, uint8 quoteStatus)",
        "ExpireQuote(uint8 quoteStatus, uint256 quoteId)",
        "SettleUpnl((uint256 quoteId, uint256 currentPrice, uint8 partyBUpnlIndex)[] settlementData, "
        "uint256[] updatedPrices, address partyA)",
        "LiquidatePartyA(address liquidator, address partyA, uint256 allocatedBalance, int256 upnl, "
        "int256 totalUnrealizedLoss)",
        "SetSymbolsPrices(address liquidator, address partyA, uint256[] symbolIds, uint256[] prices)",
        "LiquidatePositionsPartyA(address liquidator, address partyA, uint256[] quoteIds)",
        "LiquidatePositionsPartyB(address liquidator, address partyB, address partyA, uint256[] quoteIds)",
        "FullyLiquidatedPartyA(address partyA)",
    ),
    *_legacy(
        Treatment.UNSUPPORTED,
        "contracts before 0.8.3 do not say which quotes were liquidated; join with --from-state once they are 0.8.3 or "
        "later",
        "LiquidatePendingPositionsPartyA(address liquidator, address partyA)",
    ),
    *_legacy(
        Treatment.IGNORED,
        "the BalanceChange events of its transaction say the same",
        "AllocatePartyA(address user, uint256 amount)",
        "DeallocatePartyA(address user, uint256 amount)",
        "AllocateForPartyB(address partyB, address partyA, uint256 amount)",
        "DeallocateForPartyB(address partyB, address partyA, uint256 amount)",
        "TransferAllocation(uint256 amount, address origin, address recipient)",
        "SettlePartyALiquidation(address partyA, address[] partyBs, int256[] amounts)",
    ),
    *_legacy(
        Treatment.IGNORED,
        "tells the course of a liquidation; what it comes to is paid by SettlePartyALiquidation's BalanceChange events",
        "LiquidationDisputed(address partyA)",
        "ResolveLiquidationDispute(address partyA, address[] partyBs, int256[] amounts, bool disputed)",
    ),
    *_multi_account(
        Treatment.FOLDED,
        "says whose an account is",
        "AddAccount(address user, address account, string name)",
        "EditAccountName(address user, address account, string newName)",
    ),
    *_multi_account(
        Treatment.IGNORED,
        "what it does to an account the Diamond says by events of its own",
        "AllocateForAccount(address user, address account, uint256 amount)",
        "DepositForAccount(address user, address account, uint256 amount)",
        "WithdrawFromAccount(address user, address account, uint256 amount)",
        "Call(address user, address account, bytes _callData, bool _success, bytes _resultData)",
    ),
    *_multi_account(
        Treatment.IGNORED,
        "is the MultiAccount's own administration",
        "DelegateAccess(address account, address target, bytes4 selector, bool state)",
        "DelegateAccesses(address account, address target, bytes4[] selector, bool state)",
        "DeployContract(address sender, address contractAddress)",
        "Initialized(uint8 version)",
        "Paused(address account)",
        "Unpaused(address account)",
        "ProposeToRevokeAccesses(address account, address target, bytes4[] selector)",
        "RoleAdminChanged(bytes32 indexed role, bytes32 indexed previousAdminRole, bytes32 indexed newAdminRole)",
        "RoleGranted(bytes32 indexed role, address indexed account, address indexed sender)",
        "RoleRevoked(bytes32 indexed role, address indexed account, address indexed sender)",
        "SetAccountImplementation(bytes oldAddress, bytes newAddress)",
        "SetAccountsAdmin(address oldAddress, address newAddress)",
        "SetRevokeCooldown(uint256 oldCooldown, uint256 newCooldown)",
        "SetSymmioAddress(address oldAddress, address newAddress)",
    ),
)
