"""Position states made of the chain: what a notification would have said of a transaction's logs.

| log | ``last_seen_action`` | status, type |
|---|---|---|
| SendQuote | SendQuote | seen, alert |
| RequestToCancelQuote, RequestToClosePosition, RequestToCancelCloseRequest | the same | seen, alert |
| OpenPosition | FillLimitOrderOpen | success; report where it filled a part, alert where all |
| FillCloseRequest, EmergencyClosePosition, ForceClosePosition | FillLimitOrderClose | as above |
| LiquidatePositionsPartyA, …PartyB, LiquidatePendingPositionsPartyA | LiquidatePosition, each quote | success, alert |
| SendQuote of what a partial fill left, lock, unlock, cancellation, expiry, funding, settlement | none | |

Amounts and prices are those of this log, not of all fills of the quote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.money import format_e18
from models.symmio.abi import CATALOGUE, decode_log
from models.symmio.events import (
    ClosePosition,
    LiquidatePendingPositionsPartyA,
    LiquidatePositionsPartyA,
    LiquidatePositionsPartyB,
    OpenPosition,
    RequestToCancelCloseRequest,
    RequestToCancelQuote,
    RequestToClosePosition,
    SendQuote,
)
from models.symmio.position_states import CHAIN
from models.symmio.state import QuoteStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from models.account_events import Transaction
    from models.chain_records import RawLog
    from models.symmio.state import OrderType, Quote

Body = dict[str, Any]

_NAMES = frozenset(
    {
        "SendQuote",
        "RequestToCancelQuote",
        "RequestToClosePosition",
        "RequestToCancelCloseRequest",
        "OpenPosition",
        "FillCloseRequest",
        "EmergencyClosePosition",
        "ForceClosePosition",
        "LiquidatePositionsPartyA",
        "LiquidatePositionsPartyB",
        "LiquidatePendingPositionsPartyA",
    }
)
# Decoding is what costs: of most transactions only some logs are told of.
_TOPICS = frozenset(topic0 for topic0, abi in CATALOGUE.items() if abi.name in _NAMES)
# What is left of a close request keeps its status.
_FILLED_STATUSES = frozenset({QuoteStatus.OPENED, QuoteStatus.CLOSED})
_SEEN, _SUCCESS = "seen", "success"
_ALERT, _REPORT = "alert", "report"


def states_of(deployment: str, transaction: Transaction, quotes: Mapping[int, Quote]) -> list[Body]:
    """The states that one transaction makes for an account, in the order of its logs.

    Args:
        deployment: Its name is part of their ids.
        transaction: What was folded into the account.
        quotes: The account's quotes after it.
    """
    maker = _Maker(deployment, transaction, quotes)
    return [state for log in transaction.logs if log.topics[0] in _TOPICS for state in maker.states(log)]


class _Maker:
    """Makes the states of one transaction."""

    def __init__(self, deployment: str, transaction: Transaction, quotes: Mapping[int, Quote]) -> None:
        self._deployment = deployment
        self._transaction = transaction
        self._quotes = quotes

    def states(self, log: RawLog) -> Iterator[Body]:
        event = decode_log(log)
        match event:
            case SendQuote() if not self._parent(event.quote_id):
                yield self._state(log, event.quote_id, "SendQuote", _SEEN, order_type=event.order_type)
            case RequestToClosePosition():
                yield self._state(log, event.quote_id, "RequestToClosePosition", _SEEN, order_type=event.order_type)
            case RequestToCancelQuote() | RequestToCancelCloseRequest():
                yield self._state(log, event.quote_id, type(event).__name__, _SEEN)
            case OpenPosition():
                is_part = any(quote.parent_id == event.quote_id for quote in self._quotes.values())
                filled = {"filled_amount_open": event.filled_amount, "avg_price_open": event.opened_price}
                yield self._fill(log, event.quote_id, "FillLimitOrderOpen", filled, is_part=is_part)
            case ClosePosition():
                is_part = event.status not in _FILLED_STATUSES
                filled = {"filled_amount_close": event.filled_amount, "avg_price_close": event.closed_price}
                yield self._fill(log, event.quote_id, "FillLimitOrderClose", filled, is_part=is_part)
            case LiquidatePositionsPartyA() | LiquidatePositionsPartyB() | LiquidatePendingPositionsPartyA():
                for quote_id in event.quote_ids:
                    state = self._state(log, quote_id, "LiquidatePosition", _SUCCESS)
                    yield {**state, "id": f"{state['id']}:{quote_id}"}
            case _:
                pass

    def _parent(self, quote_id: int) -> int:
        quote = self._quotes.get(quote_id)
        return 0 if quote is None else quote.parent_id

    def _fill(self, log: RawLog, quote_id: int, action: str, filled: Mapping[str, int], *, is_part: bool) -> Body:
        state = self._state(log, quote_id, action, _SUCCESS)
        amounts = {name: format_e18(amount) for name, amount in filled.items() if amount}
        return {**state, **amounts, "state_type": _REPORT if is_part else _ALERT}

    def _state(
        self, log: RawLog, quote_id: int, action: str, status: str, *, order_type: OrderType | None = None
    ) -> Body:
        transaction, quote = self._transaction, self._quotes.get(quote_id)
        if order_type is None and quote is not None:
            order_type = quote.order_type
        return {
            "source": CHAIN,
            "id": f"{self._deployment}:{log.tx}:{log.log_index}",
            "version": 0,
            "at": [*transaction.position, log.log_index],
            "block": transaction.block,
            "create_time": transaction.time_s,
            "modify_time": transaction.time_s,
            "quote_id": quote_id,
            "symbol_id": None if quote is None else quote.symbol_id,
            "last_seen_action": action,
            "action_status": status,
            "order_type": None if order_type is None else int(order_type),
            "state_type": _ALERT,
        }
