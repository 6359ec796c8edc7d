"""What happens at a simulated exchange: a few accounts with money in USD and BTC that open, change and close positions.

It says of each what a ledger's record says (docs/ledger.md), and knows no more of prices than where they begin.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from models.ledger.ledger_objects import LedgerPosition, Order, Wallet
from models.ledger.ledger_records import (
    LedgerRecord,
    OrderClosed,
    OrderSet,
    PositionClosed,
    PositionSet,
    Snapshot,
    WalletSet,
)
from models.ledger.ledger_settings import (
    CurrencySettings,
    LedgerSettings,
    SymbolSettings,
    Tier,
    currency_reference,
    symbol_reference,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ACCOUNTS = tuple(f"trader-{number}" for number in range(1, 7))
# Each symbol with the market of the simulated venue that it is priced by, where that begins, and a usual amount.
SYMBOLS: Mapping[str, tuple[str, float, float]] = {
    "tBTCUSD": ("BTCUSDT", 96_450.0, 0.2),
    "tETHUSD": ("ETHUSDT", 3_310.0, 5.0),
    "tSOLUSD": ("SOLUSDT", 187.5, 80.0),
}
_TIERS = (
    Tier(initial="0.2", maintenance="0.15", up_to="100000"),
    Tier(initial="0.3", maintenance="0.2"),
)
# Of ten changes, so many close a position that is open, and so many concern an order.
_CLOSES, _ORDERS = 3, 3


def settings() -> Iterator[tuple[str, LedgerSettings]]:
    """What values the accounts, by the names that records of ``ledger-settings`` have."""
    yield currency_reference("BTC"), CurrencySettings(v=1, path=("tBTCUSD",))
    for symbol in SYMBOLS:
        yield symbol_reference(symbol), SymbolSettings(v=1, price=symbol, close_fee="0.002", tiers=_TIERS)


class TradingDesk:
    """The accounts of the exchange.

    Args:
        seed: What happens.
        now_ms: When it begins, Unix ms. Numbers of records follow from it, so that they are above those of a desk that
            ran before; a desk has fewer than a thousand records of an account a second.
    """

    def __init__(self, seed: int, now_ms: int) -> None:
        self._random = Random(f"{seed}:desk")
        self._seq = dict.fromkeys(ACCOUNTS, now_ms)
        self._usd = {account: self._random.uniform(8_000, 40_000) for account in ACCOUNTS}
        self._positions: dict[str, dict[str, LedgerPosition]] = {account: {} for account in ACCOUNTS}
        self._orders: dict[str, dict[str, Order]] = {account: {} for account in ACCOUNTS}

    def open(self, now_ms: int) -> Iterator[tuple[str, LedgerRecord]]:
        """Say of every account all that it has."""
        for account in ACCOUNTS:
            btc = Wallet(type="margin", currency="BTC", balance=f"{self._random.uniform(0, 0.2):.4f}")
            head = self._head(account, now_ms, "opening")
            yield account, Snapshot(owner="demo", wallets=(btc, self._money(account)), **head)

    def step(self, now_ms: int) -> Iterator[tuple[str, LedgerRecord]]:
        """Let one of the accounts do something."""
        account = self._random.choice(ACCOUNTS)
        symbol = self._random.choice(list(SYMBOLS))
        chance = self._random.randrange(10)
        held = self._positions[account].get(symbol)
        if held is not None and chance < _CLOSES:
            yield from self._close(account, held, now_ms)
        elif chance >= 10 - _ORDERS:
            yield account, self._order(account, symbol, now_ms)
        else:
            yield account, self._trade(account, symbol, now_ms)

    def _trade(self, account: str, symbol: str, now_ms: int) -> LedgerRecord:
        _, start, usual = SYMBOLS[symbol]
        amount = self._random.choice((-1, 1)) * usual * self._random.uniform(0.2, 1)
        head = self._head(account, now_ms, "trade")
        position = LedgerPosition(
            symbol=symbol,
            type="margin",
            id=head["seq"],
            amount=f"{amount:.4f}",
            base_price=f"{start * self._random.uniform(0.98, 1.02):.2f}",
            created_ms=now_ms,
            updated_ms=now_ms,
        )
        self._positions[account][symbol] = position
        return PositionSet(position=position, **head)

    def _close(self, account: str, held: LedgerPosition, now_ms: int) -> Iterator[tuple[str, LedgerRecord]]:
        del self._positions[account][held.symbol]
        closed = LedgerPosition(
            symbol=held.symbol, type="margin", id=held.id, amount="0", base_price=held.base_price, updated_ms=now_ms
        )
        yield account, PositionClosed(position=closed, **self._head(account, now_ms, "trade"))
        self._usd[account] = max(5_000.0, self._usd[account] + self._random.gauss(0, 200))
        yield account, WalletSet(wallet=self._money(account), **self._head(account, now_ms, "trade"))

    def _order(self, account: str, symbol: str, now_ms: int) -> LedgerRecord:
        standing = self._orders[account].pop(symbol, None)
        head = self._head(account, now_ms, "order")
        if standing is not None:
            cancelled = Order(
                id=standing.id, symbol=symbol, type="LIMIT", status="CANCELED", amount=standing.amount,
                amount_orig=standing.amount, price=standing.price, updated_ms=now_ms,
            )  # fmt: skip
            return OrderClosed(order=cancelled, **head)
        _, start, usual = SYMBOLS[symbol]
        amount = f"{usual * self._random.choice((-0.1, 0.1)):.4f}"
        order = Order(
            id=head["seq"], symbol=symbol, type="LIMIT", status="ACTIVE", amount=amount, amount_orig=amount,
            price=f"{start * self._random.uniform(0.9, 1.1):.2f}", created_ms=now_ms,
        )  # fmt: skip
        self._orders[account][symbol] = order
        return OrderSet(order=order, **head)

    def _money(self, account: str) -> Wallet:
        return Wallet(type="margin", currency="USD", balance=f"{self._usd[account]:.2f}")

    def _head(self, account: str, now_ms: int, cause: str) -> dict[str, Any]:
        self._seq[account] += 1
        return {"v": 1, "seq": self._seq[account], "time_ms": now_ms, "cause": cause}
