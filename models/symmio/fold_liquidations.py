"""The part of the fold that is liquidations: what their events change of an account, as contracts 0.8.3 and 0.8.4 do.

File and line references are to SYMMIO's protocol-core 0.8.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import msgspec

from models.symmio.draft import BadFold
from models.symmio.events import (
    FullyLiquidatedPartyA,
    LiquidatePartyA,
    LiquidatePartyB,
    LiquidatePendingPositionsPartyA,
    LiquidatePositionsPartyA,
    LiquidatePositionsPartyB,
    SetSymbolsPrices,
)
from models.symmio.state import NOTHING, OPEN_STATUSES, PENDING_STATUSES, QuoteStatus

if TYPE_CHECKING:
    from models.symmio.draft import Draft

LOCKED_STATUSES = frozenset({QuoteStatus.LOCKED, QuoteStatus.CANCEL_PENDING})
_replace = msgspec.structs.replace

LiquidationEvent = (
    LiquidatePartyA
    | SetSymbolsPrices
    | LiquidatePendingPositionsPartyA
    | LiquidatePositionsPartyA
    | FullyLiquidatedPartyA
    | LiquidatePartyB
    | LiquidatePositionsPartyB
)


class Liquidations:
    """The liquidations of one transaction being folded.

    Args:
        draft: The state that the transaction changes.
        block: Its block.

    Attributes:
        fees_back: The fees that BalanceChange events gave back while party A is being liquidated.
    """

    def __init__(self, draft: Draft, block: int) -> None:
        self._draft = draft
        self._block = block
        self.fees_back = 0

    def apply(self, event: LiquidationEvent) -> None:
        """Fold one event."""
        match event:
            case LiquidatePartyA():
                self._liquidate_party_a(event)
            case SetSymbolsPrices():
                self._draft.prices = {**self._draft.prices, **dict(event.prices)}
            case LiquidatePendingPositionsPartyA():
                self._liquidate_pending_party_a(event)
            case LiquidatePositionsPartyA():
                self._liquidate_positions_party_a(event)
            case FullyLiquidatedPartyA():
                self._end_liquidation_party_a()
            case LiquidatePartyB():
                self._liquidate_party_b(event)
            case LiquidatePositionsPartyB():
                self._liquidate_positions_party_b(event)
            case _:
                assert_never(event)

    # Liquidation of party A

    def _liquidate_party_a(self, event: LiquidatePartyA) -> None:
        aside = self._draft.balances.allocated - event.allocated
        if self._draft.liquidating or aside < 0 or (aside and not event.deferred):
            msg = (
                f"expected LiquidatePartyA of an account with {event.allocated} allocated, found "
                f"{self._draft.balances.allocated} and {'a' if self._draft.liquidating else 'no'} liquidation under way"
            )
            raise BadFold(msg)
        # A deferred liquidation sets aside what it may not take, without a BalanceChange event
        # (DeferredLiquidationFacetImpl.sol:40).
        self._draft.balances = _replace(self._draft.balances, allocated=event.allocated)
        self._draft.reimbursement += aside
        self._draft.liquidating = True

    def _liquidate_pending_party_a(self, event: LiquidatePendingPositionsPartyA) -> None:
        self._expect_liquidating("LiquidatePendingPositionsPartyA")
        fees = 0
        for quote_id in event.quote_ids:
            quote = self._draft.quote(quote_id, "LiquidatePendingPositionsPartyA", PENDING_STATUSES)
            fees += quote.trading_fee_amount
            if quote.status in LOCKED_STATUSES:
                self._draft.buckets[quote.party_b] = _replace(self._draft.bucket(quote.party_b), pending=NOTHING)
            self._draft.put(quote, status=QuoteStatus.LIQUIDATED_PENDING, terminal_block=self._block)
        if self.fees_back not in (0, fees):
            msg = f"expected {fees} of fees given back for quotes {event.quote_ids}, found {self.fees_back}"
            raise BadFold(msg)
        left = [quote.quote_id for quote in self._draft.quotes.values() if quote.status in PENDING_STATUSES]
        if left:
            msg = f"expected every pending quote to be liquidated, found {left} left out of {event.quote_ids}"
            raise BadFold(msg)
        # 0.8.4 emits BalanceChange events for these fees, 0.8.3 does not; in both they follow from the quotes.
        self._draft.reimbursement += fees
        self.fees_back = 0
        self._draft.balances = _replace(self._draft.balances, pending=NOTHING)

    def _liquidate_positions_party_a(self, event: LiquidatePositionsPartyA) -> None:
        self._expect_liquidating("LiquidatePositionsPartyA")
        for quote_id in event.quote_ids:
            quote = self._draft.quote(quote_id, "LiquidatePositionsPartyA", OPEN_STATUSES)
            self._draft.take_locked_party_b(quote, quote.locked)
            # The prices are not known where a checkpoint joined the account in the middle of its liquidation.
            price = self._draft.prices.get(quote.symbol_id)
            average = quote.avg_closed_price
            if price is not None:
                average = (average * quote.closed_amount + quote.open_amount * price) // quote.quantity
            self._draft.put(
                quote,
                status=QuoteStatus.LIQUIDATED,
                avg_closed_price=average,
                avg_closed_known=quote.avg_closed_known and price is not None,
                closed_amount=quote.quantity,
                terminal_block=self._block,
            )

    def _end_liquidation_party_a(self) -> None:
        """Give back what was set aside (LiquidationFacetImpl.sol:296-313); REALIZED_PNL_OUT took the rest before."""
        self._expect_liquidating("FullyLiquidatedPartyA")
        allocated = self._draft.balances.allocated + self._draft.reimbursement
        self._draft.balances = _replace(self._draft.balances, allocated=allocated, locked=NOTHING)
        self._draft.reimbursement = 0
        self.fees_back = 0
        self._draft.liquidating = False
        self._draft.prices = {}

    # Liquidation of party B

    def _liquidate_party_b(self, event: LiquidatePartyB) -> None:
        """End the bucket; its BalanceChange events come before or after this event (LibLiquidation.sol:23-102)."""
        for quote in list(self._draft.quotes.values()):
            if quote.party_b == event.party_b and quote.status in LOCKED_STATUSES:
                self._draft.take_pending_party_a(quote)
                self._draft.put(quote, status=QuoteStatus.LIQUIDATED_PENDING, terminal_block=self._block)
        bucket = self._draft.bucket(event.party_b)
        self._draft.buckets[event.party_b] = _replace(bucket, locked=NOTHING, pending=NOTHING)

    def _liquidate_positions_party_b(self, event: LiquidatePositionsPartyB) -> None:
        for quote_id in event.quote_ids:
            quote = self._draft.quote(quote_id, "LiquidatePositionsPartyB", OPEN_STATUSES)
            self._draft.take_locked_party_a(quote, quote.locked)
            self._draft.put(
                quote,
                status=QuoteStatus.LIQUIDATED,
                avg_closed_known=False,
                closed_amount=quote.quantity,
                terminal_block=self._block,
            )

    def _expect_liquidating(self, action: str) -> None:
        if not self._draft.liquidating:
            msg = f"expected a liquidation of party A under way at {action}, found none"
            raise BadFold(msg)
