"""Accounts of any venue, out of the columns that all valuations have (``models.valuations``): several shown as one.

Positions of one market are added up. With the opened prices weighted by amount as the base price, and no fee, the price
PL is the sum of the positions' uPnL, which is shown as the row has it. Where long and short are equally large, the
amount is 0 and there is no base price, and PL is what the difference of the opened prices has locked in.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

from api.dialects.bitfinex.account_arrays import (
    DERIVATIVE,
    Calculated,
    PositionFacts,
    WalletFacts,
    balance_array,
    base_margin_array,
    funding_array,
    money,
    position_array,
    symbol_margin_array,
    wallet_array,
)
from api.dialects.bitfinex.heard_frames import Frame
from models.codec import decode_row
from models.errors import BadRow
from models.ids import split_key
from models.money import E18
from models.valuations import NO_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from api.delivery.interest_writer import InterestSink
    from api.dialects.bitfinex.account_book import KeyedListeners, Listener
    from api.dialects.bitfinex.calc_requests import Calculation

_WALLET = "margin"
_ID_BITS = 53
_NO_FUNDING = (0, 0, 0, 0)
_UNKNOWN = dict.fromkeys(("upnl", "equity", "available_balance", "notional"))


class Valuations(NamedTuple):
    """The table ``valuations`` and what its rows are shown with.

    Attributes:
        rows: The rows by key.
        listeners: Are told of each account whose row changed.
        symbol_of: The symbol of a market of a deployment, given by the deployment and the market's id there.
        is_unsupported: Whether figures of a deployment are unknown, since its rows may be from before it changed.
        is_absent: Whether an account of a deployment that is in no table is known not to exist; it might only not have
            been read yet, and then nothing of it is known.
        interest: Hears which accounts are watched.
        currency: The currency of the margin wallet, which all money of the accounts is in.
    """

    rows: Mapping[bytes, bytes]
    listeners: KeyedListeners
    symbol_of: Callable[[str, int | str], str]
    is_unsupported: Callable[[str], bool]
    is_absent: Callable[[str], bool]
    interest: InterestSink
    currency: str


class _Open(NamedTuple):
    """What is open of one symbol: signed amount and cost, uPnL and notional; None where a price is missing."""

    amount_e18: int
    cost_e36: int
    upnl_e18: int | None
    notional_e18: int | None
    mark_e18: int | None

    def plus(self, other: _Open) -> _Open:
        return _Open(
            self.amount_e18 + other.amount_e18,
            self.cost_e36 + other.cost_e36,
            _sum(self.upnl_e18, other.upnl_e18),
            _sum(self.notional_e18, other.notional_e18),
            other.mark_e18,
        )

    @property
    def facts(self) -> tuple[int, int]:
        """What does not depend on prices."""
        return self.amount_e18, self.cost_e36

    @property
    def base_price(self) -> float | None:
        return self.cost_e36 / self.amount_e18 / E18 if self.amount_e18 else None


class _Whole(NamedTuple):
    """All accounts of a book added up; money is None where it is unknown of one of them."""

    positions: Mapping[str, _Open]
    upnl_e18: int | None
    equity_e18: int | None
    available_e18: int | None

    @property
    def balance_e18(self) -> int | None:
        """What is allocated: the worth without uPnL."""
        return None if self.upnl_e18 is None or self.equity_e18 is None else self.equity_e18 - self.upnl_e18


class ValuationBook:
    """The accounts of one login.

    Args:
        name: What ids of positions are made of, with the symbol; the same wherever the accounts are shown.
        accounts: Keys of the accounts.
        valuations: Where their rows stand.
    """

    def __init__(self, name: str, accounts: Collection[bytes], valuations: Valuations) -> None:
        self._name = name
        self._accounts = tuple(accounts)
        self._valuations = valuations
        self._listener: Listener | None = None
        self._shown = _Whole({}, None, None, None)
        self._shown_balance_e18: int | None = None

    @property
    def accounts(self) -> Collection[bytes]:
        """Keys of the accounts."""
        return self._accounts

    def begin(self, listener: Listener) -> Sequence[Frame]:
        """As ``AccountBook`` says."""
        self._listener = listener
        self._watch(self._accounts)
        return self.snapshots()

    def end(self) -> None:
        """As ``AccountBook`` says."""
        self._unwatch(self._accounts)

    def show(self, accounts: Collection[bytes]) -> None:
        """Show other accounts than before, such as all that an owner has by now."""
        before, now = set(self._accounts), set(accounts)
        if before == now:
            return
        self._watch(now - before)
        self._unwatch(before - now)
        self._accounts = tuple(accounts)
        self._tell_changes()

    def snapshots(self) -> Sequence[Frame]:
        """As ``AccountBook`` says."""
        whole = self._shown = self._whole()
        self._shown_balance_e18 = whole.balance_e18
        return [
            Frame("ps", [self._position(symbol, one) for symbol, one in whole.positions.items()]),
            Frame("ws", [self._wallet(whole)] if self._accounts else []),
            *(Frame(type_, []) for type_ in ("os", "fos", "fcs", "fls")),
        ]

    def calculate(self, calculation: Calculation) -> Frame | None:
        """As ``AccountBook`` says."""
        whole, subject = self._whole(), calculation.subject
        match calculation.kind:
            case "margin_base":
                required = _sum(whole.equity_e18, _minus(whole.available_e18))
                figures = (whole.upnl_e18, 0, whole.balance_e18, whole.equity_e18, required)
                return Frame("miu", base_margin_array(figures))
            case "margin_sym":
                # What may be traded is for the contract to say, and no column says it.
                known = subject in whole.positions
                return Frame("miu", symbol_margin_array(subject, (None, None, None, None))) if known else None
            case "funding_sym":
                return Frame("fiu", funding_array(subject, _NO_FUNDING)) if subject.startswith("f") else None
            case "position":
                one = whole.positions.get(subject)
                return None if one is None else Frame("pu", self._position(subject, one, self._of(one, whole)))
            case "wallet":
                is_ours = calculation.wallet == (_WALLET, self._valuations.currency)
                return Frame("wu", self._wallet(whole, whole.available_e18)) if is_ours else None
            case "balance":
                return Frame("bu", balance_array((whole.balance_e18, whole.equity_e18)))
            case kind:
                assert_never(kind)

    def _of(self, one: _Open, whole: _Whole) -> Calculated:
        """Figures of a position at its mark; liquidation is that of the whole, with all other prices as they are."""
        base, mark = one.base_price, one.mark_e18
        perc = liquidation = leverage = None
        # Hedged at a loss, a position may have a base price below 0, of which no move is a percentage.
        if base is not None and base > 0 and mark is not None:
            move = (mark / E18 - base) / base * 100
            perc = move if one.amount_e18 > 0 else -move
        # Of several accounts each has a liquidation price of its own.
        if one.amount_e18 and mark is not None and whole.available_e18 is not None and len(self._accounts) == 1:
            price = (mark - whole.available_e18 * E18 / one.amount_e18) / E18
            liquidation = price if price > 0 else None
        if one.notional_e18 is not None and whole.equity_e18 is not None and whole.equity_e18 > 0:
            leverage = one.notional_e18 / whole.equity_e18
        return Calculated(money(one.upnl_e18), perc, liquidation, leverage)

    def _position(self, symbol: str, one: _Open, calculated: Calculated | None = None) -> list[Any]:
        facts = PositionFacts(symbol, one.amount_e18 / E18, one.base_price, self._id(symbol), DERIVATIVE)
        return position_array(facts, calculated or Calculated())

    def _closed(self, symbol: str, one: _Open) -> list[Any]:
        return position_array(PositionFacts(symbol, 0.0, one.base_price, self._id(symbol), DERIVATIVE, is_closed=True))

    def _wallet(self, whole: _Whole, available_e18: int | None = None) -> list[Any]:
        facts = WalletFacts(_WALLET, self._valuations.currency, money(whole.balance_e18))
        return wallet_array(facts, money(available_e18))

    def _id(self, symbol: str) -> int:
        digest = hashlib.sha256(f"{self._name}:{symbol}".encode()).digest()
        return int.from_bytes(digest[:8]) >> (64 - _ID_BITS)

    def _watch(self, accounts: Collection[bytes]) -> None:
        for key in accounts:
            self._valuations.listeners.add(key, self._on_row)
            self._valuations.interest.watch(key)

    def _unwatch(self, accounts: Collection[bytes]) -> None:
        for key in accounts:
            self._valuations.listeners.remove(key, self._on_row)
            self._valuations.interest.unwatch(key)

    def _on_row(self, _row: bytes) -> None:
        self._tell_changes()

    def _tell_changes(self) -> None:
        if self._listener is None:
            return
        before, now = self._shown, self._whole()
        self._shown = now
        closed = [(symbol, one) for symbol, one in before.positions.items() if symbol not in now.positions]
        frames = [Frame("pc", self._closed(symbol, one)) for symbol, one in closed]
        for symbol, one in now.positions.items():
            former = before.positions.get(symbol)
            if former is None or former.facts != one.facts:
                frames.append(Frame("pn" if former is None else "pu", self._position(symbol, one)))
        balance_e18 = now.balance_e18
        if balance_e18 is not None and balance_e18 != self._shown_balance_e18:
            self._shown_balance_e18 = balance_e18
            frames.append(Frame("wu", self._wallet(now)))
        if frames:
            self._listener.on_frames(frames)

    def _whole(self) -> _Whole:
        positions: dict[str, _Open] = {}
        upnl: int | None = 0
        equity: int | None = 0
        available: int | None = 0
        for key in self._accounts:
            row = self._valuations.rows.get(key)
            body = None if row is None else decode_row(row).body
            deployment = split_key(key)[0]
            if body is None or body.get("status") == NO_ACCOUNT:
                if not self._valuations.is_absent(deployment):
                    upnl = equity = available = None
                continue
            try:
                if self._valuations.is_unsupported(deployment):
                    body = {**body, **_UNKNOWN, "positions": [{**one, **_UNKNOWN} for one in body["positions"]]}
                upnl, equity = _sum(upnl, _int(body["upnl"])), _sum(equity, _int(body["equity"]))
                available = _sum(available, _int(body["available_balance"]))
                for one in body["positions"]:
                    symbol = self._valuations.symbol_of(deployment, one["symbol"])
                    found = _open(one)
                    positions[symbol] = positions[symbol].plus(found) if symbol in positions else found
            except (KeyError, TypeError, ValueError) as error:
                msg = f"expected the body of a valuations row, found {body!r:.200} ({error!r})"
                raise BadRow(msg) from error
        return _Whole(positions, upnl, equity, available)


def _open(position: Mapping[str, Any]) -> _Open:
    quantity_e18 = int(position["quantity"]) * (-1 if position["side"] == "short" else 1)
    return _Open(
        quantity_e18,
        quantity_e18 * int(position["opened_price"]),
        _int(position["upnl"]),
        _int(position["notional"]),
        _int(position["mark"]),
    )


def _int(text: str | None) -> int | None:
    return None if text is None else int(text)


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _minus(one: int | None) -> int | None:
    return None if one is None else -one
