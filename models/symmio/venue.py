"""SYMMIO as a venue: quotes of party A accounts, followed through the logs of a Diamond."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from models.account_events import AccountCheckpoint, Transaction, Unfoldable, decode_account_record
from models.book_figures import Shown
from models.codec import decode_order, encode_body
from models.engine.deployment import EngineDeployment, no_prices
from models.ids import finished_quote_key
from models.money import E18
from models.symmio.account import advance, decode_account, doubt, encode_account, encode_finished, settle
from models.symmio.account_views import account_extras
from models.symmio.due_states import DueStates
from models.symmio.exposure import exposure_of
from models.symmio.holding import decode_holding
from models.symmio.moves import moves_of_record
from models.symmio.router import Router
from models.symmio.symmio_bookings import SYMMIO_BOOKING_NAMES, bookings_of_record
from models.symmio.topics import ACCOUNT_EVENTS, CHAIN_BLOCKS, POSITION_STATES_IN
from models.symmio.valuation import AccountValuer
from models.symmio.what_if import charged
from models.venue import Settled, TopicSpec, Valued

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from models.account_events import AccountRecord, OwnRecord, RolledBack
    from models.book_figures import Exposure
    from models.bookings import Booked, Happened
    from models.chain_records import LogOffset
    from models.engine.board import PriceSource
    from models.engine.stored_rows import StoredRows
    from models.moves import Move
    from models.symmio.account import AccountRow
    from models.symmio.deployment import SymmioDeployment
    from models.symmio.holding import Holding
    from models.venue import Inputs
    from models.watermarks import DeploymentWatermark

_DAY_MS = 86_400_000
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")


class Symmio:
    """What ``models.venue.Venue`` asks of a venue."""

    kind = "symmio"
    figures_version = 2
    is_linear = True
    raw = TopicSpec(CHAIN_BLOCKS, "deployment")
    routed = TopicSpec(ACCOUNT_EVENTS, "deployment:account; deployment for what goes to every partition", 30 * _DAY_MS)
    told = TopicSpec(POSITION_STATES_IN, "deployment:account", 90 * _DAY_MS)
    references = None
    booking_names = SYMMIO_BOOKING_NAMES

    def account_id(self, text: str) -> str | None:
        """An address in lower case."""
        address = text.lower()
        return address if _ADDRESS.fullmatch(address) else None

    def routes(self, deployments: Mapping[str, SymmioDeployment], rows: StoredRows) -> Router:
        """The router of ``chain-blocks``."""
        return Router(deployments, rows)

    def notices(self, deployments: Mapping[str, SymmioDeployment], rows: StoredRows) -> DueStates:
        """Position states, of the chain and of solvers' engines."""
        return DueStates({name: deployment.states for name, deployment in deployments.items()}, rows)

    def decode(self, value: bytes, position: LogOffset) -> AccountRecord:  # noqa: ARG002 - the record carries its own
        """Decode a record of ``account-events``."""
        return decode_account_record(value)

    def read(self, row: bytes) -> AccountRow:
        """Read the whole account, with what undoes its last blocks."""
        return decode_account(row)

    def write(self, account: AccountRow) -> bytes:
        """Encode the whole account."""
        return encode_body(encode_account(account))

    def fold(self, before: AccountRow | None, record: OwnRecord, known: DeploymentWatermark) -> AccountRow:
        """Fold a transaction, a checkpoint, or the word that a transaction could not be sent."""
        match record:
            case Transaction() | AccountCheckpoint():
                return advance(before, record, final=known.final, enumerated=known.enumerated)
            case Unfoldable():
                return doubt(before, record.position, record.cause)

    def doubt(self, before: AccountRow | None, position: LogOffset, cause: str) -> AccountRow:
        """Freeze the account at its last good state."""
        return doubt(before, position, cause)

    def undo(self, before: AccountRow, record: RolledBack) -> AccountRow:
        """Go back to the newest block that stays."""
        return advance(before, record)

    def settle(self, key: bytes, before: AccountRow, final: int, position: LogOffset) -> Settled:
        """Take out the quotes that are finished for good."""
        account, finished = settle(before, final, position)
        rows = [(finished_quote_key(key, quote.quote_id), encode_finished(quote, account)) for quote in finished]
        return Settled(account, rows)

    def held(self, account: AccountRow) -> Holding:
        """Balances, positions and pending quotes."""
        return account.holding

    def read_held(self, row: bytes) -> Holding:
        """The same, without what only the fold needs."""
        return decode_holding(row, decode_order(row)[1])

    def reference(self, name: str, value: bytes) -> None:
        """Nothing: values depend on marks alone.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError

    def statement(self, account: AccountRow) -> None:
        """Nothing: a valuation has all that is shown of an account."""

    def events(self, before: AccountRow | None, record: OwnRecord, after: AccountRow) -> tuple[()]:  # noqa: ARG002
        """Nothing: position states tell what happened."""
        return ()

    def moves(self, before: AccountRow | None, record: OwnRecord, after: AccountRow) -> Sequence[Move]:
        """One for each event of a transaction."""
        return moves_of_record(before, record, after)

    def bookings(
        self,
        before: AccountRow | None,
        record: OwnRecord,
        after: AccountRow,
        happened: Happened,  # noqa: ARG002
    ) -> Booked | None:
        """What each event of a transaction did to positions and to the allocated balance."""
        return bookings_of_record(before, record, after)

    def charged(self, account: AccountRow, rate_e18: int) -> AccountRow:
        """A charge on every position, folded as one of the contract is: longs pay where the rate is positive."""
        return charged(account, rate_e18)

    def exposure(self, deployment: str, held: Holding, inputs: Inputs) -> Exposure:  # noqa: ARG002 - it is linear
        """Open amounts by symbol, and what is left before liquidation."""
        return exposure_of(deployment, held)

    def view(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Balances, blocks, names, and what a liquidation would come to."""
        return account_extras(body)

    def value(self, held: Holding, term: int, inputs: Inputs, *, unsupported: bool) -> Valued:
        """Value the positions as the contract does."""
        return self.valuer(held, term).value(inputs, unsupported=unsupported)

    def valuer(self, held: Holding, term: int) -> SymmioValuer:
        """What values only the positions anew whose marks moved."""
        return SymmioValuer(held, term)


class SymmioValuer:
    """An account's valuations, with its figures as the book keeps them.

    Args:
        held: What the account holds.
        term: The term of its row.
    """

    def __init__(self, held: Holding, term: int) -> None:
        self._account = AccountValuer(held, term)

    def value(self, inputs: Inputs, *, unsupported: bool) -> Valued:
        """Value the account.

        Args:
            inputs: The marks in use.
            unsupported: Whether its deployment is unsupported.
        """
        body, figures = self._account.value(inputs.mark, unsupported=unsupported)
        shown = None if figures is None else Shown(figures.available_balance / E18, figures.notional / E18)
        return Valued(body, shown)


SYMMIO = Symmio()


def engine_deployment(
    own: SymmioDeployment, price_sources: Callable[[str], Sequence[PriceSource]] = no_prices
) -> EngineDeployment:
    """What the engine is told of a SYMMIO deployment.

    Args:
        own: What the fold is told of it.
        price_sources: Where the price of a market comes from, by the market's name; by default nowhere.
    """
    return EngineDeployment(SYMMIO, own, price_sources)
