"""The pure core of the router: which accounts a block's logs concern, transaction by transaction.

Most events name only a quote, so whose a quote is must be known: a block sets it when a quote is sent, and events of
later blocks look it up. What cannot be pinned on one account makes the whole deployment unsupported from its
transaction on: nothing of that transaction, nor of a later one of the block, is routed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, assert_never

from models.account_events import Transaction
from models.errors import BadRecord
from models.symmio.abi import UnknownTopic, abi_of, decode_log
from models.symmio.catalogue import Contract, Treatment
from models.symmio.events import (
    AddAccount,
    BalanceChangePartyA,
    BalanceChangePartyB,
    CancelCloseRequest,
    CancelQuote,
    ChargeFundingRate,
    ClosePosition,
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
    OtherEvent,
    RequestToCancelCloseRequest,
    RequestToCancelQuote,
    RequestToClosePosition,
    SendQuote,
    SetSymbolsPrices,
    SettleUpnl,
    UnlockQuote,
)
from models.symmio.state import QuoteStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from models.chain_records import Block, Position, RawLog
    from models.symmio.events import Event
    from models.symmio.markets import Market

_DIAMOND_CUT = "DiamondCut"
# Each of these comes with a BalanceChange event from contracts 0.8.3 on.
_ALLOCATIONS = frozenset(
    {
        "AllocatePartyA",
        "DeallocatePartyA",
        "AllocateForPartyB",
        "AllocatePartyB",
        "DeallocateForPartyB",
        "TransferAllocation",
        "InternalTransfer",
    }
)


@dataclass(frozen=True, slots=True)
class Unsupported:
    """From the transaction with this index in its block on, the deployment's logs cannot be trusted to this version."""

    tx_index: int
    reason: str


@dataclass(frozen=True, slots=True)
class RoutedBlock:
    """What one block comes to.

    ``transactions`` are (account, transaction) in chain order, one for each account that a transaction concerns;
    ``quotes`` are (quote id, account, symbol id) of quotes sent in the block; ``markets`` what it says of markets, in
    order. ``begun``: an account event of the Diamond stands in this or an earlier block.
    """

    transactions: tuple[tuple[str, Transaction], ...]
    quotes: tuple[tuple[int, str, int], ...]
    markets: tuple[Market, ...]
    unsupported: Unsupported | None
    begun: bool


class _Unroutable(BadRecord):
    """A log cannot be pinned on an account; the message lacks where it stands."""


def route_block(
    block: Block,
    *,
    offset: int,
    diamond: str,
    multi_accounts: frozenset[str],
    account_of: Callable[[int], str | None],
    begun: bool,
) -> RoutedBlock:
    """Group a block's logs by transaction and account.

    Args:
        block: The block; logs of contracts other than these are left out.
        offset: Of the block's record in ``chain-blocks``.
        diamond: Address of the Diamond, in any case.
        multi_accounts: Addresses of the MultiAccount contracts, in any case.
        account_of: Whose a quote is that was sent in an earlier block, None where no account is known for it.
        begun: Whether an account event of the Diamond stands in an earlier block. A DiamondCut before the first one is
            the construction of the Diamond.
    """
    router = _BlockRouter(block, diamond.lower(), frozenset(map(str.lower, multi_accounts)), account_of, begun=begun)
    return router.route(offset)


class _BlockRouter:
    def __init__(
        self,
        block: Block,
        diamond: str,
        multi_accounts: frozenset[str],
        account_of: Callable[[int], str | None],
        *,
        begun: bool,
    ) -> None:
        self._block = block
        self._diamond = diamond
        self._multi_accounts = multi_accounts
        self._account_of = account_of
        self._begun = begun
        self._transactions: list[tuple[str, Transaction]] = []
        self._quotes: dict[int, tuple[str, int]] = {}
        self._markets: list[Market] = []

    def route(self, offset: int) -> RoutedBlock:
        logs = sorted(self._block.logs, key=lambda log: (log.tx_index, log.log_index))
        unsupported = None
        for tx_index, group in groupby(logs, key=lambda log: log.tx_index):
            try:
                self._route((offset, tx_index), list(group))
            except BadRecord as error:
                unsupported = Unsupported(tx_index, f"block {self._block.number}, {error}")
                break
        return RoutedBlock(
            transactions=tuple(self._transactions),
            quotes=tuple((quote_id, account, symbol_id) for quote_id, (account, symbol_id) in self._quotes.items()),
            markets=tuple(self._markets),
            unsupported=unsupported,
            begun=self._begun,
        )

    def _route(self, position: Position, logs: list[RawLog]) -> None:
        transaction = _TransactionRouter(self._whose, begun=self._begun)
        topics = {log.topics[0] for log in logs if log.topics and log.address == self._diamond}
        for log in logs:
            try:
                if log.address == self._diamond:
                    transaction.diamond_log(log, topics)
                elif log.address in self._multi_accounts:
                    transaction.multi_account_log(log)
            except BadRecord as error:
                msg = f"transaction {log.tx}, log {log.log_index}: {error}"
                raise _Unroutable(msg) from error
        try:
            transaction.expect_balances()
        except BadRecord as error:
            msg = f"transaction {logs[0].tx}, logs {logs[0].log_index} to {logs[-1].log_index}: {error}"
            raise _Unroutable(msg) from error
        self._begun = transaction.begun
        self._quotes.update(transaction.quotes)
        self._markets += transaction.markets
        block = self._block
        self._transactions += (
            (account, Transaction(position, block.number, block.time_s, logs[0].tx, tuple(own)))
            for account, own in transaction.logs.items()
        )

    def _whose(self, quote_id: int) -> str | None:
        here = self._quotes.get(quote_id)
        return self._account_of(quote_id) if here is None else here[0]


class _TransactionRouter:
    def __init__(self, whose: Callable[[int], str | None], *, begun: bool) -> None:
        self._whose = whose
        self.begun = begun
        self.logs: dict[str, list[RawLog]] = {}
        self.quotes: dict[int, tuple[str, int]] = {}
        self.markets: list[Market] = []
        self._last: Event | None = None
        self._balance_said = False
        self._balance_moved_by: str | None = None

    def diamond_log(self, log: RawLog, topics: set[str]) -> None:
        abi = abi_of(log)
        if abi.entry.contract is not Contract.DIAMOND:
            msg = f"expected an event of the Diamond, found {abi.name} of a MultiAccount"
            raise UnknownTopic(msg)
        if not topics.isdisjoint(abi.duplicate_of):
            return
        event = decode_log(log)
        if abi.entry.treatment is Treatment.UNSUPPORTED and (abi.name != _DIAMOND_CUT or self.begun):
            msg = f"{abi.name}: {abi.entry.reason}"
            raise _Unroutable(msg)
        if self._moves_balance(event):
            self._balance_moved_by = abi.name
        self._balance_said |= isinstance(event, BalanceChangePartyA | BalanceChangePartyB)
        account = self._account(event)
        if account is not None:
            self.begun = True
            self.logs.setdefault(account, []).append(log)
        self._last = event

    def multi_account_log(self, log: RawLog) -> None:
        try:
            abi = abi_of(log)
        except UnknownTopic:
            return
        if abi.entry.contract is not Contract.MULTI_ACCOUNT or abi.entry.treatment is not Treatment.FOLDED:
            return
        event = decode_log(log)
        if isinstance(event, AddAccount | EditAccountName):
            self.logs.setdefault(event.account, []).append(log)

    def expect_balances(self) -> None:
        """Refuse a transaction that moves balances and does not say so.

        Raises:
            _Unroutable: There is no BalanceChange event in it.
        """
        if self._balance_moved_by is not None and not self._balance_said:
            msg = (
                f"expected a BalanceChange event beside {self._balance_moved_by}, found none: contracts before 0.8.3 "
                "do not say balances in logs; join with --from-state at a block from which on they do"
            )
            raise _Unroutable(msg)

    def _moves_balance(self, event: Event) -> bool:
        match event:
            case SendQuote():
                # What a partial fill leaves is sent right after it, and pays no fee again.
                return not isinstance(self._last, OpenPosition)
            case RequestToCancelQuote():
                return event.status is QuoteStatus.CANCELED
            case SettleUpnl():
                return bool(event.prices)
            case CancelQuote() | ExpireQuoteOpen() | ClosePosition() | LiquidatePartyB():
                return True
            case OtherEvent():
                return event.name in _ALLOCATIONS or (
                    event.name == "SettlePartyALiquidation" and bool(event.parameters["partyBs"])
                )
            case _:
                return False

    def _account(self, event: Event) -> str | None:
        match event:
            case BalanceChangePartyA() | BalanceChangePartyB():
                return event.party_a
            case LiquidatePartyA() | SetSymbolsPrices() | FullyLiquidatedPartyA() | LiquidatePartyB():
                return event.party_a
            case SendQuote():
                self.quotes[event.quote_id] = (event.party_a, event.symbol_id)
                return event.party_a
            case CancelQuote():
                return self._canceller(event)
            case LockQuote() | UnlockQuote() | ExpireQuoteOpen() | ExpireQuoteClose() | CancelCloseRequest():
                return self._holder(event.quote_id)
            case (
                RequestToCancelQuote()
                | OpenPosition()
                | RequestToClosePosition()
                | RequestToCancelCloseRequest()
                | ClosePosition()
            ):
                return self._checked(event.party_a, (event.quote_id,))
            case SettleUpnl():
                return self._checked(event.party_a, event.quote_ids) if event.prices else None
            case (
                ChargeFundingRate()
                | LiquidatePendingPositionsPartyA()
                | LiquidatePositionsPartyA()
                | LiquidatePositionsPartyB()
            ):
                return self._checked(event.party_a, event.quote_ids)
            case MarketSettings():
                self.markets.append(event.market)
                return None
            case AddAccount() | EditAccountName() | OtherEvent():
                return None
            case _:
                assert_never(event)

    def _canceller(self, event: CancelQuote) -> str:
        # An accepted cancellation gives a fee back, by a BalanceChange event right before it. Right after OpenPosition
        # it is the rest of a partly filled quote, under an id that no log has named before.
        if isinstance(self._last, OpenPosition) and not event.forced:
            return self._last.party_a
        return self._holder(event.quote_id)

    def _holder(self, quote_id: int) -> str:
        here = self.quotes.get(quote_id)
        account = self._whose(quote_id) if here is None else here[0]
        if account is None:
            msg = f"expected a quote whose account is known, found quote {quote_id}: join with --from-state"
            raise _Unroutable(msg)
        return account

    def _checked(self, party_a: str, quote_ids: Iterable[int]) -> str:
        for quote_id in quote_ids:
            holder = self._holder(quote_id)
            if holder != party_a:
                msg = f"expected quote {quote_id} to be of {holder}, found {party_a}"
                raise _Unroutable(msg)
        return party_a
