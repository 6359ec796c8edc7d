"""A ledger as a venue: an exchange says of each account what it has, and its positions are valued at marks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.ledger.ledger_account import KIND, NEW, doubted, read_account, take, write_account
from models.ledger.ledger_bookings import LEDGER_BOOKING_NAMES, bookings_of_happenings
from models.ledger.ledger_exposure import exposure_of
from models.ledger.ledger_settings import decode_settings
from models.ledger.ledger_state import statement_of
from models.ledger.ledger_valuation import LedgerValuer, ledger_extras, value_account
from models.plain_venue import Own
from models.venue import Settled, TopicSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.account_events import RolledBack
    from models.book_figures import Exposure
    from models.bookings import Booked
    from models.chain_records import LogOffset
    from models.engine.stored_rows import StoredRows
    from models.ledger.ledger_account import LedgerAccount, Taken
    from models.ledger.ledger_changes import Happening
    from models.ledger.ledger_settings import LedgerSettings
    from models.venue import Inputs, Valued
    from models.watermarks import DeploymentWatermark

LEDGER_EVENTS = "ledger-events"
LEDGER_SETTINGS = "ledger-settings"


class Ledger:
    """What ``models.venue.Venue`` asks of a venue."""

    kind = KIND
    figures_version = 1
    is_linear = False
    raw = TopicSpec(LEDGER_EVENTS, "deployment:account")
    routed = None
    told = None
    references = TopicSpec(LEDGER_SETTINGS, "deployment:name")
    booking_names = LEDGER_BOOKING_NAMES

    def __init__(self) -> None:
        # Who folds a record asks at once what happened by it, which is known from folding it.
        self._last: tuple[LedgerAccount, Own, Taken] | None = None

    def account_id(self, text: str) -> str | None:
        """Every text that can be an id is spelt as it is."""
        return text

    def routes(self, deployments: Mapping[str, Any], rows: StoredRows) -> Any:  # noqa: ANN401
        """Nothing: records are folded directly.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError

    def notices(self, deployments: Mapping[str, Any], rows: StoredRows) -> None:
        """Nothing is told to holders beside the account and its statement."""

    def reference(self, name: str, value: bytes) -> LedgerSettings:
        """Read a record of ``ledger-settings``.

        Raises:
            BadRecord: It cannot be read, or contradicts itself.
        """
        return decode_settings(name, value)

    def decode(self, value: bytes, position: LogOffset) -> Own:
        """Keep the record as it is: one that cannot be read makes its account suspect, which only the fold can say."""
        return Own(position, value)

    def read(self, row: bytes) -> LedgerAccount:
        """Read an account out of its row."""
        return read_account(row)

    def write(self, account: LedgerAccount) -> bytes:
        """Encode an account's row."""
        return write_account(account)

    def fold(self, before: LedgerAccount | None, record: Own, known: DeploymentWatermark) -> LedgerAccount:
        """Fold a record; one at or below ``applied`` was folded before."""
        del known  # No record waits for finality.
        if before is not None and record.position <= before.applied:
            return before
        return self._taken(NEW if before is None else before, record).account

    def doubt(self, before: LedgerAccount | None, position: LogOffset, cause: str) -> LedgerAccount:
        """Freeze the account until a snapshot says what it has."""
        known = NEW if before is None else before
        return known if position <= known.applied else doubted(known, position, cause)

    def undo(self, before: LedgerAccount, record: RolledBack) -> LedgerAccount:  # noqa: ARG002
        """No record of a ledger is taken back."""
        return before

    def settle(self, key: bytes, before: LedgerAccount, final: int, position: LogOffset) -> Settled:  # noqa: ARG002
        """Nothing waits for finality."""
        return Settled(before)

    def held(self, account: LedgerAccount) -> LedgerAccount:
        """The whole account."""
        return account

    def read_held(self, row: bytes) -> LedgerAccount:
        """The whole account."""
        return read_account(row)

    def exposure(self, deployment: str, held: LedgerAccount, inputs: Inputs) -> Exposure:
        """The tangent of what is left before liquidation, lowered by what it bends."""
        return exposure_of(deployment, held.holdings, inputs)

    def statement(self, account: LedgerAccount) -> Mapping[str, Any]:
        """What the account has, as its venue says it."""
        return statement_of(account.holdings)

    def events(self, before: LedgerAccount | None, record: Own, after: LedgerAccount) -> Sequence[Happening]:
        """What happened by folding a record, in the order of the records that were folded with it."""
        return () if after is before else self._taken(NEW if before is None else before, record).happenings

    def bookings(
        self, before: LedgerAccount | None, record: Own, after: LedgerAccount, happened: Sequence[Happening]
    ) -> Booked | None:
        """What of that opened or closed positions, and changed what is in wallets."""
        return bookings_of_happenings((NEW if before is None else before).holdings, record, after, happened)

    def view(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The venue's own uPnL, and how far the ledger is folded."""
        return ledger_extras(body)

    def value(self, held: LedgerAccount, term: int, inputs: Inputs, *, unsupported: bool) -> Valued:
        """Value the positions at the marks in use, in USD."""
        return value_account(held, term, inputs, unsupported=unsupported)

    def valuer(self, held: LedgerAccount, term: int) -> LedgerValuer:
        """What values the account again and again, and works out only what moved."""
        return LedgerValuer(held, term)

    def _taken(self, before: LedgerAccount, record: Own) -> Taken:
        last = self._last
        if last is None or last[0] is not before or last[1] is not record:
            last = self._last = before, record, take(before, record)
        return last[2]


LEDGER = Ledger()
