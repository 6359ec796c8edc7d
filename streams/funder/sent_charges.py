"""What a signer's transactions in the chain have charged, and which of them have charged nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.funder.flights import State

if TYPE_CHECKING:
    from collections.abc import Collection

    from models.symmio.funding_records import Epoch, Transaction

# Epochs are told of for good long before.
_REMEMBERED_S = 3 * 86_400


class SentCharges:
    """The charges of the last days that are in the chain, as far as is known."""

    def __init__(self) -> None:
        self._landed: dict[int, Transaction] = {}

    def note(self, record: Transaction) -> None:
        """Take in a transaction as its newest record has it."""
        self._landed.pop(record.nonce, None)
        if record.state in (State.MINED, State.REVERTED, State.CANCELLED) and record.charges:
            since_s = record.closes_s - _REMEMBERED_S
            self._landed = {nonce: one for nonce, one in self._landed.items() if one.closes_s >= since_s}
            self._landed[record.nonce] = record

    def has_charged(self, epoch: Epoch, quote_id: int) -> bool:
        """Whether a transaction in the chain charged a quote for an epoch."""
        return any(
            (cells.epoch, cells.quote_id) == (epoch, quote_id)
            for record in self._landed.values()
            if record.state == State.MINED
            for cells in record.charges
        )

    def reverts(self, party_a: str, epochs: Collection[Epoch]) -> list[Transaction]:
        """Find the transactions in the chain that were to charge an account for any of some epochs and reverted.

        Args:
            party_a: Address of the account.
            epochs: The epochs.

        Returns:
            Their newest records, in the order of nonces.
        """
        return [one for one in self._of(party_a, epochs) if one.state == State.REVERTED]

    def failures(self, party_a: str, epochs: Collection[Epoch]) -> int:
        """Count the transactions that were to charge an account for any of some epochs and reverted or were taken back.

        Args:
            party_a: Address of the account.
            epochs: The epochs.
        """
        return sum(one.state != State.MINED for one in self._of(party_a, epochs))

    def _of(self, party_a: str, epochs: Collection[Epoch]) -> list[Transaction]:
        return [
            record
            for _, record in sorted(self._landed.items())
            if record.party_a == party_a and any(cells.epoch in epochs for cells in record.charges)
        ]
