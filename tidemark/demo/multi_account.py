"""MultiAccount contracts: users' named sub-accounts, and the transactions by which they reach the Diamond."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING

from eth_hash.auto import keccak

from tidemark.demo import events
from tidemark.demo.balances import COLLATERAL_UNIT
from tidemark.demo.ledger import SubAccount

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidemark.demo.contract import Contract


def made_up_address(*parts: object) -> str:
    """Return an address that follows from ``parts``, as lower-case hex."""
    return f"0x{sha256(repr(parts).encode()).hexdigest()[:40]}"


@cache
def selector(signature: str) -> bytes:
    """Return the first four bytes of a call of a function, given its signature."""
    return keccak(signature.encode())[:4]


class MultiAccount:
    """One MultiAccount contract at ``address`` in front of the Diamond ``contract``."""

    def __init__(self, address: str, contract: Contract) -> None:
        self.address = address
        self._contract = contract
        self._ledger = contract.ledger

    def address_of(self, number: int) -> str:
        """Return the address of the ``number``-th sub-account, counted from 1, whether or not it exists yet."""
        return made_up_address(self.address, number)

    def add_account(self, user: str, name: str) -> str:
        """Deploy a sub-account.

        Returns:
            Its address.
        """
        account = self.address_of(self._ledger.next_id(self.address))
        self._ledger.sub_accounts[self.address, user] += (SubAccount(account, name),)
        self._ledger.owners[self.address, account] = user
        self._emit(events.DEPLOY_CONTRACT, user, account)
        self._emit(events.ADD_ACCOUNT, user, account, name)
        return account

    def edit_account_name(self, account: str, name: str) -> None:
        """Rename a sub-account."""
        user = self._ledger.owners[self.address, account]
        self._ledger.sub_accounts[self.address, user] = tuple(
            SubAccount(account, name) if entry.address == account else entry
            for entry in self._ledger.sub_accounts[self.address, user]
        )
        self._emit(events.EDIT_ACCOUNT_NAME, user, account, name)

    def deposit_and_allocate(self, account: str, amount: int) -> None:
        """Bring collateral in for the sub-account to trade with; ``amount`` is a multiple of the collateral's unit."""
        user = self._ledger.owners[self.address, account]
        self._contract.deposit(self.address, account, amount)
        self.call(account, "allocate(uint256)", (amount,), lambda: self._contract.allocate(account, amount))
        self._emit(events.DEPOSIT_FOR_ACCOUNT, user, account, amount // COLLATERAL_UNIT)
        self._emit(events.ALLOCATE_FOR_ACCOUNT, user, account, amount)

    def withdraw(self, account: str, amount: int) -> None:
        """Pay collateral out to the sub-account's owner; ``amount`` is a multiple of the collateral's unit."""
        user = self._ledger.owners[self.address, account]
        self._emit(events.WITHDRAW_FROM_ACCOUNT, user, account, amount // COLLATERAL_UNIT)
        self.call(
            account,
            "withdrawTo(address,uint256)",
            (int(user, 16), amount // COLLATERAL_UNIT),
            lambda: self._contract.withdraw(account, user, amount),
        )

    def call(self, account: str, signature: str, words: tuple[int, ...], action: Callable[[], object]) -> None:
        """Do something on the Diamond as a sub-account.

        Args:
            account: The sub-account.
            signature: The called function's, such as ``allocate(uint256)``.
            words: Those of its arguments that are one ABI word, each from 0 to 2^256 - 1.
            action: Does it.
        """
        action()
        data = selector(signature) + b"".join(word.to_bytes(32) for word in words)
        self._emit(events.CALL, self._ledger.owners[self.address, account], account, data, True, b"")  # noqa: FBT003

    def _emit(self, event: events.Event, *arguments: events.Argument) -> None:
        self._contract.emit(event, *arguments, address=self.address)
