"""The Diamond's bookkeeping of markets, and of collateral that is deposited, withdrawn and allocated, in 1e18ths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemark.demo import events
from tidemark.demo.books import Books, require
from tidemark.demo.ledger import ZERO_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemark.demo.ledger import Symbol

COLLATERAL_UNIT = 10**12
"""The collateral's smallest unit in 1e18ths: it has 6 decimals."""

PENDING_QUOTES_LIMIT = 15

_ALLOCATE, _DEALLOCATE = 0, 1


class Balances(Books):
    """The part of the Diamond that moves balances."""

    def set_up(self, hedgers: Sequence[str], affiliates: Sequence[str]) -> None:
        """Admit hedgers and frontends, and say who gets the fees."""
        self.emit(events.SET_DEFAULT_FEE_COLLECTOR, ZERO_ADDRESS, self.fee_collector)
        self.emit(events.SET_PENDING_QUOTES_VALID_LENGTH, 0, PENDING_QUOTES_LIMIT)
        for hedger in hedgers:
            self.emit(events.REGISTER_PARTY_B, hedger)
        for affiliate in affiliates:
            self.emit(events.REGISTER_AFFILIATE, affiliate)

    def add_symbol(self, symbol: Symbol) -> None:
        """List a market."""
        self.ledger.symbols[self.ledger.next_id("symbol")] = symbol
        number, name, _, *values = symbol
        self.emit(events.ADD_SYMBOL, number, name, *values)

    def deposit(self, sender: str, user: str, amount: int) -> None:
        """Bring collateral in.

        Args:
            sender: Who pays.
            user: Whose balance it becomes.
            amount: In 1e18ths, a multiple of ``COLLATERAL_UNIT``, at least 0.
        """
        self.ledger.balances[user] += amount
        self.emit(events.DEPOSIT, sender, user, amount // COLLATERAL_UNIT)

    def withdraw(self, sender: str, user: str, amount: int) -> None:
        """Take collateral out.

        Args:
            sender: Whose balance it is.
            user: Who is paid.
            amount: In 1e18ths, a multiple of ``COLLATERAL_UNIT``, at least 0.

        Raises:
            Reverted: The balance is smaller.
        """
        require(self.ledger.balances[sender] >= amount, "insufficient balance")
        self.ledger.balances[sender] -= amount
        self.emit(events.WITHDRAW, sender, user, amount // COLLATERAL_UNIT)

    def allocate(self, account: str, amount: int) -> None:
        """Move a party A's balance to the amount that it trades with."""
        party = self.ledger.party_as[account]
        require(not party.liquidated, "party A is in liquidation")
        require(self.ledger.balances[account] >= amount, "insufficient balance")
        self.ledger.balances[account] -= amount
        party = party._replace(allocated=party.allocated + amount)
        self.ledger.put_party_a(account, party)
        self.emit(events.ALLOCATE_PARTY_A, account, amount, party.allocated)
        self.emit(events.BALANCE_CHANGE_PARTY_A, account, amount, _ALLOCATE)

    def deallocate(self, account: str, amount: int) -> None:
        """Move a part of the amount that a party A trades with back to its balance."""
        party = self.ledger.party_as[account]
        require(not party.liquidated, "party A is in liquidation")
        require(party.allocated >= amount, "insufficient allocated balance")
        require(self.available_for_quote(account) >= amount, "party A would be liquidatable")
        self.ledger.balances[account] += amount
        party = party._replace(allocated=party.allocated - amount)
        self.ledger.put_party_a(account, party)
        self.emit(events.DEALLOCATE_PARTY_A, account, amount, party.allocated)
        self.emit(events.BALANCE_CHANGE_PARTY_A, account, amount, _DEALLOCATE)

    def allocate_for_party_b(self, hedger: str, account: str, amount: int) -> None:
        """Move a hedger's balance to what backs its side towards one account.

        Args:
            hedger: The hedger, party B.
            account: The account, party A.
            amount: In 1e18ths, at least 0.

        Raises:
            Reverted: The balance is smaller.
        """
        require(self.ledger.balances[hedger] >= amount, "insufficient balance")
        pair = self.ledger.pairs[hedger, account]
        pair = pair._replace(allocated=pair.allocated + amount)
        self.ledger.balances[hedger] -= amount
        self.ledger.pairs[hedger, account] = pair
        self.emit(events.ALLOCATE_FOR_PARTY_B, hedger, account, amount, pair.allocated)
        self.emit(events.BALANCE_CHANGE_PARTY_B, hedger, account, amount, _ALLOCATE)

    def deallocate_for_party_b(self, hedger: str, account: str, amount: int) -> None:
        """Take back what backs a hedger's side towards one account.

        Args:
            hedger: The hedger, party B.
            account: The account, party A.
            amount: In 1e18ths, at least 0.

        Raises:
            Reverted: The side needs it, or the account is in liquidation.
        """
        pair = self.ledger.pairs[hedger, account]
        require(not self.ledger.party_as[account].liquidated, "party A is in liquidation")
        require(pair.allocated >= amount, "insufficient allocated balance")
        require(self.available_for_quote_of_party_b(hedger, account) >= amount, "party B would be liquidatable")
        pair = pair._replace(allocated=pair.allocated - amount)
        self.ledger.balances[hedger] += amount
        self.ledger.pairs[hedger, account] = pair
        self.emit(events.DEALLOCATE_FOR_PARTY_B, hedger, account, amount, pair.allocated)
        self.emit(events.BALANCE_CHANGE_PARTY_B, hedger, account, amount, _DEALLOCATE)
