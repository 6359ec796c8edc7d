"""Flash Trade as a venue: an owner's basket is an account, and its positions are valued as the venue's SDK does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.flash.chain_accounts import FLASH_ACCOUNTS, FLASH_REFERENCES
from models.flash.flash_account import KIND, NEW, doubted, read_account, statement_of, take, write_account
from models.flash.flash_exposure import exposure_of
from models.flash.flash_references import decode_reference
from models.flash.flash_valuation import FlashValuer, flash_extras, value_account
from models.flash.solana_keys import key_of
from models.plain_venue import Own
from models.venue import Settled, TopicSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.account_events import RolledBack
    from models.book_figures import Exposure
    from models.chain_records import LogOffset
    from models.engine.stored_rows import StoredRows
    from models.flash.flash_account import FlashAccount
    from models.flash.flash_references import FlashReference
    from models.venue import Inputs, Valued
    from models.watermarks import DeploymentWatermark


class Flash:
    """What ``models.venue.Venue`` asks of a venue."""

    kind = KIND
    figures_version = 1
    is_linear = False
    raw = TopicSpec(FLASH_ACCOUNTS, "deployment:account")
    routed = None
    told = None
    references = TopicSpec(FLASH_REFERENCES, "deployment:name")

    def account_id(self, text: str) -> str | None:
        """An account is its owner's public key, which is base58 of exactly 32 bytes."""
        return None if key_of(text) is None else text

    def routes(self, deployments: Mapping[str, Any], rows: StoredRows) -> Any:  # noqa: ANN401
        """Nothing: records are folded directly.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError

    def notices(self, deployments: Mapping[str, Any], rows: StoredRows) -> None:
        """Nothing is told to holders beside the account and its statement."""

    def reference(self, name: str, value: bytes) -> FlashReference:
        """Read a record of ``flash-references``.

        Raises:
            BadRecord: It cannot be read.
        """
        return decode_reference(name, value)

    def decode(self, value: bytes, position: LogOffset) -> Own:
        """Keep the record as it is: one that cannot be read makes its account suspect, which only the fold can say."""
        return Own(position, value)

    def read(self, row: bytes) -> FlashAccount:
        """Read an account out of its row."""
        return read_account(row)

    def write(self, account: FlashAccount) -> bytes:
        """Encode an account's row."""
        return write_account(account)

    def fold(self, before: FlashAccount | None, record: Own, known: DeploymentWatermark) -> FlashAccount:
        """Fold a record; one at or below ``applied`` was folded before."""
        del known  # No record waits for finality.
        if before is not None and record.position <= before.applied:
            return before
        return take(NEW if before is None else before, record)

    def doubt(self, before: FlashAccount | None, position: LogOffset, cause: str) -> FlashAccount:
        """Freeze the account until a newer state of its basket comes."""
        known = NEW if before is None else before
        return known if position <= known.applied else doubted(known, position, cause)

    def undo(self, before: FlashAccount, record: RolledBack) -> FlashAccount:  # noqa: ARG002
        """No record is taken back: what is newer replaces what was."""
        return before

    def settle(self, key: bytes, before: FlashAccount, final: int, position: LogOffset) -> Settled:  # noqa: ARG002
        """Nothing waits for finality."""
        return Settled(before)

    def held(self, account: FlashAccount) -> FlashAccount:
        """The whole account."""
        return account

    def read_held(self, row: bytes) -> FlashAccount:
        """The whole account."""
        return read_account(row)

    def exposure(self, deployment: str, held: FlashAccount, inputs: Inputs) -> Exposure:
        """The line of what is left before the nearest liquidation."""
        return exposure_of(deployment, held, inputs)

    def statement(self, account: FlashAccount) -> Mapping[str, Any]:
        """The bytes of the basket and of the ledger, as the chains have them."""
        return statement_of(account)

    def events(self, before: FlashAccount | None, record: Own, after: FlashAccount) -> Sequence[Mapping[str, Any]]:  # noqa: ARG002
        """None: the venue says states, and no trades."""
        return ()

    def view(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The venue's own uPnL, and the slot of the basket."""
        return flash_extras(body)

    def valuer(self, held: FlashAccount, term: int) -> FlashValuer:
        """What values the basket again and again: fees of all its positions accrue once a second."""
        return FlashValuer(held, term)

    def value(self, held: FlashAccount, term: int, inputs: Inputs, *, unsupported: bool) -> Valued:
        """Value the positions at the marks in use, in USD."""
        return value_account(held, term, inputs, unsupported=unsupported)


FLASH = Flash()
