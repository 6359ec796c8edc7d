"""The events of a SYMMIO 0.8.4 Diamond and its MultiAccount that the simulator emits, and their ABI encoding.

A log is kept as its event and arguments, and encoded when a node is asked for it. Where 0.8.4 emits an event in two
forms, the modern one names its ``legacy`` form, whose arguments are the first ones of the modern form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from eth_abi.abi import encode
from eth_hash.auto import keccak

if TYPE_CHECKING:
    from collections.abc import Sequence

Argument = int | bool | str | bytes | tuple[int, ...] | tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """One event's name, topic0 and parameter types; ``indexed`` tells which parameters are topics."""

    name: str
    topic0: str
    types: tuple[str, ...]
    indexed: tuple[bool, ...]
    legacy: Event | None = None


class Log(NamedTuple):
    """A log before it is encoded: emitting contract, event, arguments."""

    address: str
    event: Event
    arguments: tuple[Argument, ...]

    def topics(self) -> list[str]:
        """The topics as lower-case ``0x`` hex."""
        values = zip(self.event.types, self.arguments, self.event.indexed, strict=True)
        return [self.event.topic0, *(f"0x{_word(kind, value).hex()}" for kind, value, indexed in values if indexed)]

    def data(self) -> str:
        """The parameters that are not topics, ABI-encoded, as lower-case ``0x`` hex."""
        fields = zip(self.event.types, self.arguments, self.event.indexed, strict=True)
        return f"0x{encode_arguments([(kind, value) for kind, value, indexed in fields if not indexed]).hex()}"


def encode_arguments(fields: Sequence[tuple[str, Argument]]) -> bytes:
    """ABI-encode (type, value) pairs as a call's or a log's data.

    Types are those of ``_word``, ``string``, ``bytes`` and arrays of the former. The general encoder of eth-abi takes
    some twenty times as long, and a page of logs holds thousands.
    """
    head: list[bytes] = []
    tail: list[bytes] = []
    offset = 32 * len(fields)
    for kind, value in fields:
        match value:
            case tuple():
                part = len(value).to_bytes(32) + b"".join(_word(kind.removesuffix("[]"), item) for item in value)
            case str() if kind == "string":
                part = _counted(value.encode())
            case bytes() if kind == "bytes":
                part = _counted(value)
            case _:
                head.append(_word(kind, value))
                continue
        head.append(offset.to_bytes(32))
        tail.append(part)
        offset += len(part)
    return b"".join(head + tail)


def _counted(raw: bytes) -> bytes:
    return len(raw).to_bytes(32) + raw + bytes(-len(raw) % 32)


def _word(kind: str, value: Argument) -> bytes:
    match value:
        case int():
            return value.to_bytes(32, signed=value < 0)
        case str() if kind == "address":
            return bytes(12) + bytes.fromhex(value[2:])
        case _:
            return encode((kind,), (value,))


def _event(signature: str, legacy: int | None = None) -> Event:
    name, _, rest = signature.rstrip(")").partition("(")
    parameters = [parameter.split() for parameter in rest.split(", ") if parameter]
    types = tuple(parameter[0] for parameter in parameters)
    indexed = tuple("indexed" in parameter for parameter in parameters)
    older = None if legacy is None else Event(name, _topic0(name, types[:legacy]), types[:legacy], indexed[:legacy])
    return Event(name, _topic0(name, types), types, indexed, older)


def _topic0(name: str, types: tuple[str, ...]) -> str:
    return f"0x{keccak(f'{name}({chr(44).join(types)})'.encode()).hex()}"


# Settings
SET_DEFAULT_FEE_COLLECTOR = _event(
    "SetDefaultFeeCollector(address oldDefaultFeeCollector, address newDefaultFeeCollector)"
)
ADD_SYMBOL = _event(
    "AddSymbol(uint256 id, string name, uint256 minAcceptableQuoteValue, uint256 minAcceptablePortionLF, "
    "uint256 tradingFee, uint256 maxLeverage, uint256 fundingRateEpochDuration, uint256 fundingRateWindowTime)"
)
SET_PENDING_QUOTES_VALID_LENGTH = _event(
    "SetPendingQuotesValidLength(uint256 oldPendingQuotesValidLength, uint256 newPendingQuotesValidLength)"
)
REGISTER_PARTY_B = _event("RegisterPartyB(address partyB)")
REGISTER_AFFILIATE = _event("RegisterAffiliate(address affilate)")

# Balances; deposits and withdrawals are in the collateral's own decimals
DEPOSIT = _event("Deposit(address sender, address user, uint256 amount)")
WITHDRAW = _event("Withdraw(address sender, address user, uint256 amount)")
ALLOCATE_PARTY_A = _event("AllocatePartyA(address user, uint256 amount, uint256 newAllocatedBalance)", 2)
DEALLOCATE_PARTY_A = _event("DeallocatePartyA(address user, uint256 amount, uint256 newAllocatedBalance)", 2)
ALLOCATE_FOR_PARTY_B = _event(
    "AllocateForPartyB(address partyB, address partyA, uint256 amount, uint256 newAllocatedBalance)", 3
)
DEALLOCATE_FOR_PARTY_B = _event(
    "DeallocateForPartyB(address partyB, address partyA, uint256 amount, uint256 newAllocatedBalance)", 3
)
BALANCE_CHANGE_PARTY_A = _event("BalanceChangePartyA(address indexed partyA, uint256 amount, uint8 _type)")
BALANCE_CHANGE_PARTY_B = _event(
    "BalanceChangePartyB(address indexed partyB, address indexed partyA, uint256 amount, uint8 _type)"
)

# Quotes and positions
SEND_QUOTE = _event(
    "SendQuote(address partyA, uint256 quoteId, address[] partyBsWhiteList, uint256 symbolId, uint8 positionType, "
    "uint8 orderType, uint256 price, uint256 marketPrice, uint256 quantity, uint256 cva, uint256 lf, "
    "uint256 partyAmm, uint256 partyBmm, uint256 tradingFee, uint256 deadline)"
)
LOCK_QUOTE = _event("LockQuote(address partyB, uint256 quoteId)")
UNLOCK_QUOTE = _event("UnlockQuote(address partyB, uint256 quoteId, uint8 quoteStatus)")
REQUEST_TO_CANCEL_QUOTE = _event(
    "RequestToCancelQuote(address partyA, address partyB, uint8 quoteStatus, uint256 quoteId)"
)
ACCEPT_CANCEL_REQUEST = _event("AcceptCancelRequest(uint256 quoteId, uint8 quoteStatus)")
EXPIRE_QUOTE = _event("ExpireQuote(uint8 quoteStatus, uint256 quoteId)")
EXPIRE_QUOTE_OPEN = _event("ExpireQuoteOpen(uint8 quoteStatus, uint256 quoteId)")
EXPIRE_QUOTE_CLOSE = _event("ExpireQuoteClose(uint8 quoteStatus, uint256 quoteId, uint256 closeId)")
OPEN_POSITION = _event(
    "OpenPosition(uint256 quoteId, address partyA, address partyB, uint256 filledAmount, uint256 openedPrice)"
)
REQUEST_TO_CLOSE_POSITION = _event(
    "RequestToClosePosition(address partyA, address partyB, uint256 quoteId, uint256 closePrice, "
    "uint256 quantityToClose, uint8 orderType, uint256 deadline, uint8 quoteStatus, uint256 closeId)",
    8,
)
REQUEST_TO_CANCEL_CLOSE_REQUEST = _event(
    "RequestToCancelCloseRequest(address partyA, address partyB, uint256 quoteId, uint8 quoteStatus, uint256 closeId)",
    4,
)
ACCEPT_CANCEL_CLOSE_REQUEST = _event("AcceptCancelCloseRequest(uint256 quoteId, uint8 quoteStatus, uint256 closeId)", 2)
FILL_CLOSE_REQUEST = _event(
    "FillCloseRequest(uint256 quoteId, address partyA, address partyB, uint256 filledAmount, uint256 closedPrice, "
    "uint8 quoteStatus, uint256 closeId)",
    6,
)
CHARGE_FUNDING_RATE = _event("ChargeFundingRate(address partyB, address partyA, uint256[] quoteIds, int256[] rates)")

# Liquidation of a party A
LIQUIDATE_PARTY_A = _event(
    "LiquidatePartyA(address liquidator, address partyA, uint256 allocatedBalance, int256 upnl, "
    "int256 totalUnrealizedLoss, bytes liquidationId)",
    5,
)
SET_SYMBOLS_PRICES = _event(
    "SetSymbolsPrices(address liquidator, address partyA, uint256[] symbolIds, uint256[] prices, bytes liquidationId)",
    4,
)
LIQUIDATE_PENDING_POSITIONS_PARTY_A = _event(
    "LiquidatePendingPositionsPartyA(address liquidator, address partyA, uint256[] quoteIds, "
    "uint256[] liquidatedAmounts, bytes liquidationId)",
    2,
)
LIQUIDATE_POSITIONS_PARTY_A = _event(
    "LiquidatePositionsPartyA(address liquidator, address partyA, uint256[] quoteIds, uint256[] liquidatedAmounts, "
    "uint256[] closeIds, bytes liquidationId)",
    3,
)
SETTLE_PARTY_A_LIQUIDATION = _event(
    "SettlePartyALiquidation(address partyA, address[] partyBs, int256[] amounts, bytes liquidationId)", 3
)
FULLY_LIQUIDATED_PARTY_A = _event("FullyLiquidatedPartyA(address partyA, bytes liquidationId)", 1)

# MultiAccount
DEPLOY_CONTRACT = _event("DeployContract(address sender, address contractAddress)")
ADD_ACCOUNT = _event("AddAccount(address user, address account, string name)")
EDIT_ACCOUNT_NAME = _event("EditAccountName(address user, address account, string newName)")
DEPOSIT_FOR_ACCOUNT = _event("DepositForAccount(address user, address account, uint256 amount)")
ALLOCATE_FOR_ACCOUNT = _event("AllocateForAccount(address user, address account, uint256 amount)")
WITHDRAW_FROM_ACCOUNT = _event("WithdrawFromAccount(address user, address account, uint256 amount)")
CALL = _event("Call(address user, address account, bytes _callData, bool _success, bytes _resultData)")
