"""The simulated exchange says what a ledger's fold takes, and goes on with higher numbers when it begins anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from models.ledger.ledger_settings import decode_settings
from models.ledger.ledger_valuation import value_account
from models.ledger.ledger_venue import LEDGER
from models.watermarks import DeploymentWatermark
from tests.support.ledger import StandingInputs
from tidemark.demo.trading_desk import ACCOUNTS, SYMBOLS, TradingDesk, settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from models.ledger.ledger_account import LedgerAccount
    from models.ledger.ledger_records import LedgerRecord

NOW_MS = 1_700_000_000_000


class Book:
    """What is folded of the exchange's records."""

    def __init__(self) -> None:
        self.accounts: dict[str, LedgerAccount] = {}
        self.offset = 0

    def take(self, said: Iterable[tuple[str, LedgerRecord]]) -> None:
        for account, record in said:
            own = LEDGER.decode(msgspec.json.encode(record), (self.offset, -1))
            before = self.accounts.get(account)
            self.accounts[account] = LEDGER.fold(before, own, DeploymentWatermark())
            assert self.accounts[account] is not before
            self.offset += 1


def run(book: Book, desk: TradingDesk, begin_ms: int, seconds: int) -> None:
    book.take(desk.open(begin_ms))
    for second in range(seconds):
        book.take(desk.step(begin_ms + second * 1_000))


def test_an_hour_of_it_is_folded_and_valued() -> None:
    book = Book()
    run(book, TradingDesk(1, NOW_MS), NOW_MS, 3_600)
    now = StandingInputs({symbol: str(start) for symbol, (_, start, _) in SYMBOLS.items()}, dict(settings()))
    assert book.accounts.keys() == set(ACCOUNTS)
    for account in book.accounts.values():
        body, _ = value_account(account, 1, now, unsupported=False)
        assert body["status"] == "valued"
        assert account.holdings.owner == "demo"
    assert any(account.holdings.positions for account in book.accounts.values())
    assert any(account.holdings.orders for account in book.accounts.values())


def test_one_that_begins_anew_is_not_taken_for_a_gap_or_a_repeat() -> None:
    book = Book()
    run(book, TradingDesk(1, NOW_MS), NOW_MS, 600)
    run(book, TradingDesk(1, NOW_MS + 600_000), NOW_MS + 600_000, 600)
    assert {account.holdings.suspect for account in book.accounts.values()} == {None}


def test_its_settings_are_taken() -> None:
    for name, value in settings():
        assert decode_settings(name, msgspec.json.encode(value)) == value
