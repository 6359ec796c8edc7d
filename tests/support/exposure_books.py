"""A book of exposures in two markets, and accounts in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models import book as book_module
from models.book import ExposureBook
from models.book_figures import Market, Shown

if TYPE_CHECKING:
    import pytest

BTC: Market = ("symmio", 1)
ETH: Market = ("symmio", 2)
ALICE, BOB, CAROL = b"symmio:0xa", b"symmio:0xb", b"symmio:0xc"
# How a book follows a move: one holder of the market after the other, all of them at once, or all accounts summed anew.
WAYS = ("nudges", "shifts", "sweeps")


def follow_moves_by(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have books follow moves in one way, whatever their size."""
    monkeypatch.setattr(book_module, "_NUDGE_HOLDERS", 10**9 if way == "nudges" else -1)
    monkeypatch.setattr(book_module, "_SHIFT_OVERHEAD_ROWS", 10**9 if way == "sweeps" else -(10**9))


def book_at_prices() -> ExposureBook:
    """Make a book with BTC at 100, ETH at 10, and a deadband of 1 %."""
    empty = ExposureBook(0.01)
    empty.reprice({BTC: 100.0, ETH: 10.0}, 0.0)
    return empty


def open_long(book: ExposureBook, key: bytes, amount: float = 1.0, margin: float = 1_000.0) -> None:
    """Put and publish an account that opened ``amount`` BTC at 100, the price of now; below zero it is short."""
    book.put(key, {BTC: amount}, cost=amount * 100, margin=margin)
    book.published(key, Shown(margin, abs(amount) * 100))
