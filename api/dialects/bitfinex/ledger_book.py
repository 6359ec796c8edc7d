"""An account of a ledger: its statement as the workers wrote it, and figures at the marks and settings of now."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple, assert_never

import msgspec

from api.dialects.bitfinex.account_arrays import (
    Calculated,
    balance_array,
    base_margin_array,
    funding_array,
    money,
    symbol_margin_array,
)
from api.dialects.bitfinex.heard_frames import Frame
from api.dialects.bitfinex.ledger_arrays import frame_of, ledger_position, ledger_snapshots, ledger_wallet
from models.errors import BadRow
from models.ids import split_key
from models.ledger import ledger_figures
from models.ledger.ledger_state import Holdings, read_statement
from models.statements import decode_statement

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from api.dialects.bitfinex.account_book import KeyedListeners, Listener
    from api.dialects.bitfinex.calc_requests import Calculation
    from models.ledger.priced_account import PricedAccount
    from models.statements import Event

_log = logging.getLogger(__name__)


class Statements(NamedTuple):
    """The table ``statements``.

    Attributes:
        rows: Its rows by key.
        listeners: Are told of each row as it comes.
        is_absent: Whether an account of a deployment that is in no table is known not to exist.
        read: What the newest row of each account that is shown says, with that row.
    """

    rows: Mapping[bytes, bytes]
    listeners: KeyedListeners
    is_absent: Callable[[str], bool]
    read: dict[bytes, tuple[bytes, Holdings]]


class LedgerBook:
    """One account.

    Args:
        key: Its key.
        statements: Where its statement stands.
        priced_now: Prices what it has at the marks and settings of now.
    """

    def __init__(
        self, key: bytes, statements: Statements, priced_now: Callable[[bytes, Holdings, Calculation], PricedAccount]
    ) -> None:
        self._key = key
        self._statements = statements
        self._priced_now = priced_now
        self._listener: Listener | None = None
        # The number of the newest happening that was told, or that the snapshots show.
        self._told = 0

    @property
    def accounts(self) -> Collection[bytes]:
        """The account's key."""
        return (self._key,)

    def begin(self, listener: Listener) -> Sequence[Frame]:
        """As ``AccountBook`` says."""
        self._listener = listener
        self._statements.listeners.add(self._key, self._on_row)
        return self.snapshots()

    def end(self) -> None:
        """As ``AccountBook`` says."""
        self._statements.listeners.remove(self._key, self._on_row)
        # Who shows the account still reads its row again.
        self._statements.read.pop(self._key, None)

    def snapshots(self) -> Sequence[Frame]:
        """As ``AccountBook`` says."""
        # What cannot be read is not told: it stays to be told of until it can.
        snapshots, row = ledger_snapshots(self._holdings()), self._statements.rows.get(self._key)
        if row is not None:
            self._told = decode_statement(row).last_number
        return snapshots

    def calculate(self, calculation: Calculation) -> Frame | None:
        """As ``AccountBook`` says."""
        return frame_of_calculation(self._priced_now(self._key, self._holdings(), calculation), calculation)

    def _holdings(self) -> Holdings:
        row = self._statements.rows.get(self._key)
        if row is None:
            is_absent = self._statements.is_absent(split_key(self._key)[0])
            return Holdings() if is_absent else Holdings(suspect="expected a statement, found none in the table yet")
        read = self._statements.read.get(self._key)
        if read is None or read[0] is not row:
            read = self._statements.read[self._key] = row, holdings_of(row)
        return read[1]

    def _on_row(self, row: bytes) -> None:
        if self._listener is None:
            return
        statement = decode_statement(row)
        if statement.last_number <= self._told:
            return
        new = statement.events_after(self._told)
        frames = None if new is None else _frames_of(new)
        if frames is None:
            self._listener.on_gap()
            return
        self._told = statement.last_number
        self._listener.on_frames(frames)


def _frames_of(events: Sequence[Event]) -> list[Frame] | None:
    """The frames of what happened; None where one cannot be made, so that snapshots have to show what came of it."""
    try:
        frames = [frame_of(event.body) for event in events]
    except (KeyError, msgspec.ValidationError) as error:
        _log.warning("happenings of a ledger's account cannot be read, new snapshots are sent: %r", error)
        return None
    return [frame for frame in frames if frame is not None]


def holdings_of(row: bytes) -> Holdings:
    """Read the row of a statement.

    Raises:
        BadRow: It is no statement of a ledger's account.
    """
    try:
        return read_statement(decode_statement(row).body)
    except msgspec.ValidationError as error:
        msg = f"expected the statement of a ledger's account, found {row!r:.200} ({error!r})"
        raise BadRow(msg) from error


def frame_of_calculation(account: PricedAccount, calculation: Calculation) -> Frame | None:
    """The frame that a calculation is answered with; None where there is nothing to be calculated.

    Args:
        account: The account, at the marks and settings of the moment.
        calculation: What is asked.
    """
    subject = calculation.subject
    match calculation.kind:
        case "margin_base":
            return Frame("miu", base_margin_array(ledger_figures.base_margin(account)))
        case "margin_sym":
            symbol = ledger_figures.symbol_margin(account, subject)
            return None if symbol is None else Frame("miu", symbol_margin_array(subject, symbol))
        case "funding_sym":
            if not subject.startswith("f"):
                return None
            return Frame("fiu", funding_array(subject, ledger_figures.funding_figures(account.holdings, subject)))
        case "position":
            return _position(account, subject)
        case "wallet":
            wallet = account.holdings.wallet(*calculation.wallet)
            if wallet is None:
                return None
            available = ledger_figures.available_balance_e18(account, wallet.type, wallet.currency)
            return Frame("wu", ledger_wallet(wallet, money(available)))
        case "balance":
            return Frame("bu", balance_array(ledger_figures.assets(account)))
        case kind:
            assert_never(kind)


def _position(account: PricedAccount, symbol: str) -> Frame | None:
    position = account.holdings.position(symbol)
    figures = ledger_figures.position_figures(account, symbol)
    if position is None or figures is None:
        return None
    calculated = Calculated(
        figures.pl,
        figures.pl_perc,
        money(figures.price_liq_e18),
        money(figures.leverage_e18),
        money(figures.collateral_e18),
        money(figures.collateral_min_e18),
    )
    return Frame("pu", ledger_position(position, calculated))
