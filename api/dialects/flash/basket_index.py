"""Which owner has the basket at an address, and how many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.engine.tables import STATEMENTS
from models.errors import BadRow
from models.statements import decode_statement
from streams.process.unreadable_rows import note_unreadable

if TYPE_CHECKING:
    from api.tables.feeds import RowFeed


class BasketIndex:
    """Follows the table ``statements``.

    Args:
        deployment: The deployment whose baskets are found.
        statements: The table.
    """

    def __init__(self, deployment: str, statements: RowFeed) -> None:
        self._prefix = f"{deployment}:".encode()
        self._owner_of: dict[str, str] = {}
        self._basket_of: dict[str, str] = {}
        self._ledgers: set[str] = set()
        for key, row in statements.rows.items():
            self._heard(key, row)
        statements.listen_rows(self._heard)

    @property
    def baskets(self) -> int:
        """How many baskets there are."""
        return len(self._basket_of)

    @property
    def ledgers(self) -> int:
        """How many owners' deposits are known."""
        return len(self._ledgers)

    def owner_of(self, basket: str) -> str | None:
        """The owner of the basket at an address, None where there is none."""
        return self._owner_of.get(basket)

    def _heard(self, key: bytes, row: bytes) -> None:
        if not key.startswith(self._prefix):
            return
        owner = key.removeprefix(self._prefix).decode()
        try:
            body = decode_statement(row).body
            basket, ledger = body["basket"], body["ledger"]
            pubkey = None if basket is None else str(basket["pubkey"])
        except (BadRow, KeyError, TypeError) as error:
            note_unreadable(STATEMENTS, key, row, BadRow(str(error)))
            return
        before = self._basket_of.get(owner)
        if before is not None and before != pubkey:
            del self._basket_of[owner]
            if self._owner_of.get(before) == owner:
                # Another owner's row may have named it since.
                del self._owner_of[before]
        if pubkey is not None and before != pubkey:
            self._basket_of[owner], self._owner_of[pubkey] = pubkey, owner
        if ledger is None:
            self._ledgers.discard(owner)
        else:
            self._ledgers.add(owner)
