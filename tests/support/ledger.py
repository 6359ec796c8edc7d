"""A ledger as tests write it: records, settings, and the marks and settings of one moment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from models.ledger.ledger_objects import LedgerPosition, Order, Wallet
from models.ledger.ledger_settings import (
    CurrencySettings,
    SymbolSettings,
    Tier,
    currency_reference,
    decode_settings,
    symbol_reference,
)
from models.ledger.ledger_state import Holdings
from models.money import parse_e18
from models.prices import UsedMark
from models.references import UsedReference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.ledger.ledger_settings import LedgerSettings

NOW_MS = 1_700_000_000_000
FEE = "0.002"
FLAT = (Tier(initial="0.2", maintenance="0.15"),)


class StandingInputs:
    """The marks and settings of one moment.

    Args:
        marks: Prices by market.
        settings: By name.
        stale: Markets whose mark is stale.
    """

    def __init__(
        self, marks: Mapping[str, str], settings: Mapping[str, LedgerSettings], stale: Sequence[str] = ()
    ) -> None:
        self.marks = {
            market: UsedMark(f"bitfinex:{market}", parse_e18(price), NOW_MS + at, 10 + at, stale=market in stale)
            for at, (market, price) in enumerate(marks.items())
        }
        self.settings = dict(settings)

    def mark(self, market: int | str) -> UsedMark | None:
        """The mark of a market."""
        return self.marks.get(str(market))

    def reference(self, name: str) -> UsedReference | None:
        """What the settings say under a name; they have passed what every record of them has to."""
        value = self.settings.get(name)
        return None if value is None else UsedReference(decode_settings(name, msgspec.json.encode(value)), 0, 0)


def inputs(
    marks: Mapping[str, str],
    *,
    paths: Mapping[str, Sequence[str]] | None = None,
    fee: str = FEE,
    tiers: tuple[Tier, ...] = FLAT,
    symbols: Sequence[str] = (),
) -> StandingInputs:
    """The inputs of a moment at which every market is also a symbol, valued at its own mark.

    Args:
        marks: Prices by market.
        paths: The way of each currency to USD.
        fee: What closing costs.
        tiers: Of all symbols.
        symbols: More symbols, that have no mark.
    """
    settings: dict[str, LedgerSettings] = {
        symbol_reference(one): SymbolSettings(v=1, price=one, close_fee=fee, tiers=tiers) for one in (*marks, *symbols)
    }
    for currency, path in (paths or {}).items():
        settings[currency_reference(currency)] = CurrencySettings(v=1, path=tuple(path))
    return StandingInputs(marks, settings)


def wallet(
    balance: str, currency: str = "USD", type_: Literal["exchange", "margin", "funding"] = "margin", interest: str = "0"
) -> Wallet:
    """A wallet, by default the margin wallet in USD."""
    return Wallet(type=type_, currency=currency, balance=balance, unsettled_interest=interest)


def position(amount: str, base: str, symbol: str = "tBTCUSD", **more: Any) -> LedgerPosition:  # noqa: ANN401
    """A position, by default of the margin pair tBTCUSD."""
    return LedgerPosition(**{"symbol": symbol, "type": "margin", "id": 7, "amount": amount, "base_price": base, **more})


def order(number: int, amount: str, price: str, symbol: str = "tBTCUSD", type_: str = "LIMIT") -> Order:
    """An order of which nothing is filled."""
    return Order(id=number, symbol=symbol, type=type_, status="ACTIVE", amount=amount, amount_orig=amount, price=price)


def holdings(*kept: Any, **more: Any) -> Holdings:  # noqa: ANN401
    """What an account has, each object on the shelf that it belongs to."""
    shelves: dict[str, list[Any]] = {}
    for one in kept:
        shelves.setdefault(type(one).__name__, []).append(one)
    return Holdings(
        seq=1,
        time_ms=NOW_MS,
        wallets=tuple(shelves.get("Wallet", ())),
        positions=tuple(shelves.get("LedgerPosition", ())),
        orders=tuple(shelves.get("Order", ())),
        offers=tuple(shelves.get("Offer", ())),
        credits=tuple(shelves.get("Credit", ())),
        loans=tuple(shelves.get("Loan", ())),
        **more,
    )


def said(kind: str, seq: int, **what: object) -> dict[str, Any]:
    """A record of ``ledger-events`` as a producer writes it; objects may be given as the models know them."""
    return {
        "v": 1,
        "kind": kind,
        "seq": seq,
        "time_ms": NOW_MS + seq,
        "cause": f"test {seq}",
        **msgspec.to_builtins(what),
    }


def record(kind: str, seq: int, **what: object) -> bytes:
    """The same as bytes."""
    return json.dumps(said(kind, seq, **what)).encode()
