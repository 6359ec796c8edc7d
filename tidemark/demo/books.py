"""The Diamond's storage, the events that it emits, and the margins that decide what it allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.errors import TidemarkError
from tidemark.demo import events

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tidemark.demo.events import Argument, Event
    from tidemark.demo.ledger import Ledger


class Reverted(TidemarkError):
    """The contract would refuse the action; nothing was stored."""


def require(condition: bool, reason: str) -> None:  # noqa: FBT001 - reads as the contract's own require
    """Refuse the action unless ``condition`` holds."""
    if not condition:
        raise Reverted(reason)


class Books:
    """What the Diamond stores, the events that it emits, and the margins that decide what it allows.

    Args:
        address: The Diamond's address.
        fee_collector: The account that gets the platform's fees.
        ledger: The storage.

    Attributes:
        logs: What the running transaction has emitted.
        now_s: The time of the running block, in Unix s.
        marks: The prices that oracles sign during it, 1e18-scaled, by symbol id.
    """

    def __init__(self, address: str, fee_collector: str, ledger: Ledger) -> None:
        self.address = address
        self.fee_collector = fee_collector
        self.ledger = ledger
        self.logs: list[events.Log] = []
        self.now_s = 0
        self.marks: Mapping[int, int] = {}

    def begin(self, block: int, now_s: int, marks: Mapping[int, int]) -> None:
        """Start a block.

        Args:
            block: Its number.
            now_s: Its time, in Unix s.
            marks: The prices that oracles sign during it, 1e18-scaled, by symbol id.
        """
        self.ledger.begin(block)
        self.now_s = now_s
        self.marks = marks

    def emit(self, event: Event, *arguments: Argument, address: str | None = None) -> None:
        """Emit an event, followed by its legacy form where there is one.

        Args:
            event: The event.
            *arguments: Its parameters, in the event's order.
            address: The contract that emits it; None stands for the Diamond.
        """
        self.logs.append(events.Log(address or self.address, event, arguments))
        if event.legacy is not None:
            legacy = event.legacy
            self.logs.append(events.Log(address or self.address, legacy, arguments[: len(legacy.types)]))

    def upnl(self, open_quotes: Iterable[int]) -> int:
        """Return party A's gain on these quotes at the running marks, in 1e18ths; each quote's gain is truncated."""
        quotes = map(self.ledger.quote, open_quotes)
        return sum(quote.profit(self.marks[quote.symbol_id], quote.open_amount) for quote in quotes)

    def capped_upnl(self, account: str) -> int:
        """Return party A's uPnL as the oracle signs it: from no hedger more than that hedger has allocated."""
        by_hedger: dict[str, int] = {}
        for quote_id in self.ledger.party_as[account].open_quotes:
            quote = self.ledger.quote(quote_id)
            gain = quote.profit(self.marks[quote.symbol_id], quote.open_amount)
            by_hedger[quote.party_b] = by_hedger.get(quote.party_b, 0) + gain
        return sum(min(gain, self.ledger.pairs[hedger, account].allocated) for hedger, gain in by_hedger.items())

    def available_for_quote(self, account: str) -> int:
        """Return the amount that party A may still lock."""
        party, upnl = self.ledger.party_as[account], self.capped_upnl(account)
        used = party.locked.cva + party.locked.lf + party.pending.for_party_a
        margin = party.locked.party_a_mm - upnl if upnl >= 0 else max(-upnl, party.locked.party_a_mm)
        return party.allocated - used - margin

    def available_for_quote_of_party_b(self, hedger: str, account: str) -> int:
        """Return the amount that party B may still lock towards ``account``."""
        pair = self.ledger.pairs[hedger, account]
        upnl = -self.upnl(pair.open_quotes)
        used = pair.locked.cva + pair.locked.lf + pair.pending.for_party_b
        margin = pair.locked.party_b_mm - upnl if upnl >= 0 else max(-upnl, pair.locked.party_b_mm)
        return pair.allocated - used - margin

    def equity(self, account: str) -> int:
        """Return what party A has above its CVA and LF; below 0 it may be liquidated."""
        party = self.ledger.party_as[account]
        return party.allocated - party.locked.cva - party.locked.lf + self.capped_upnl(account)

    def equity_of_party_b(self, hedger: str, account: str) -> int:
        """Return what party B has towards ``account`` above its CVA and LF; below 0 it may be liquidated."""
        pair = self.ledger.pairs[hedger, account]
        return pair.allocated - pair.locked.cva - pair.locked.lf - self.upnl(pair.open_quotes)
