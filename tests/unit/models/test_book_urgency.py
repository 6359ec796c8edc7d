"""Which accounts of a book press, and how old the oldest row is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from models.book_figures import Shown
from tests.support.exposure_books import ALICE, BOB, BTC, ETH, WAYS, book_at_prices, follow_moves_by, open_long

if TYPE_CHECKING:
    from models.book import ExposureBook


@pytest.fixture(params=WAYS, autouse=True)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every behaviour is that of all ways to follow a move, whichever a book of some size would choose."""
    follow_moves_by(request.param, monkeypatch)


@pytest.fixture
def book() -> ExposureBook:
    return book_at_prices()


def test_an_account_that_was_told_and_then_crosses_its_liquidation_presses(book: ExposureBook) -> None:
    open_long(book, ALICE, margin=15.0)
    open_long(book, BOB)
    assert {ALICE, BOB} == set(book.reprice({BTC: 98.0}, 0.0))
    assert [] == book.pressing()
    assert [] == book.reprice({BTC: 80.0}, 0.0)

    assert [ALICE] == book.pressing()
    assert (True, False) == (book.is_pressing(ALICE), book.is_pressing(BOB))
    book.published(ALICE, Shown(-5.0, 80.0))
    assert [] == book.pressing()


def test_an_account_that_was_told_and_is_watched_since_presses(book: ExposureBook) -> None:
    open_long(book, ALICE)
    book.reprice({BTC: 90.0}, 0.0)
    book.watch(ALICE)

    assert [ALICE] == book.pressing()
    assert book.is_pressing(ALICE)


def test_an_account_that_was_never_published_does_not_press_unless_it_is_watched(book: ExposureBook) -> None:
    for key in (ALICE, BOB):
        book.put(key, {BTC: 1.0}, cost=100.0, margin=10.0)
    assert {ALICE, BOB} == {*book.reprice({BTC: 80.0}, 0.0)}

    assert (False, []) == (book.is_pressing(ALICE), book.pressing())
    book.watch(ALICE)
    assert ([True, False], [ALICE]) == ([book.is_pressing(ALICE), book.is_pressing(BOB)], book.pressing())


def test_the_oldest_row_is_that_whose_markets_moved_first_since_it_was_published(book: ExposureBook) -> None:
    for key in (ALICE, BOB):
        book.put(key, {ETH if key == ALICE else BTC: 1.0}, cost=0.0, margin=1_000.0)
        assert not book.was_published(key)
        book.published(key, Shown(1_000.0, 100.0))
        assert book.was_published(key)
    assert book.oldest_s() is None
    for at_s, market in ((3.0, BTC), (4.0, ETH), (5.0, BTC)):
        book.reprice({market: 100.0 + at_s}, at_s)

    assert 3.0 == book.oldest_s()
    book.published(BOB, Shown(1_005.0, 105.0))
    assert 4.0 == book.oldest_s()
    assert (105.0, {BTC, ETH}) == (book.mark(BTC), set(book.markets))


def test_who_was_put_is_not_the_oldest_and_was_published_all_the_same(book: ExposureBook) -> None:
    open_long(book, ALICE)
    book.put(ALICE, {BTC: 2.0}, cost=200.0, margin=1_000.0)
    book.reprice({BTC: 101.0}, 3.0)

    assert book.oldest_s() is None
    assert book.was_published(ALICE)


def test_an_account_without_figures_does_not_press_though_it_is_overdue(book: ExposureBook) -> None:
    book.put(ALICE, {("symmio", 9): 1.0}, cost=100.0, margin=10.0)
    book.published(ALICE, None)
    book.touch(("symmio", 9), 0.0)

    assert [ALICE] == book.overdue(1.0)
    assert [] == book.pressing()
    assert not book.is_pressing(ALICE)
