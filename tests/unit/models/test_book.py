from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from models import book as book_module
from models.book import ExposureBook
from models.book_figures import Market, Shown
from tests.support.exposure_books import ALICE, BOB, BTC, CAROL, ETH, WAYS, book_at_prices, follow_moves_by, open_long

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture(params=WAYS, autouse=True)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every behaviour is that of all ways to follow a move, whichever a book of some size would choose."""
    follow_moves_by(request.param, monkeypatch)


@pytest.fixture
def book() -> ExposureBook:
    return book_at_prices()


def _holders(book: ExposureBook, market: Market) -> list[bytes]:
    """The accounts that a move of a market makes due while all are watched and published without figures."""
    for key in book:
        book.watch(key)
        book.published(key, None)
    due = book.touch(market, 0.0)
    for key in book:
        book.unwatch(key)
    return due


def test_an_account_is_told_when_its_upnl_leaves_the_deadband(book: ExposureBook) -> None:
    open_long(book, ALICE)

    assert [] == book.reprice({BTC: 100.9}, 0.0)
    assert [] == book.reprice({BTC: 99.1}, 0.0)
    assert [ALICE] == book.reprice({BTC: 98.9}, 0.0)


def test_a_short_account_is_told_of_a_rise(book: ExposureBook) -> None:
    open_long(book, ALICE, amount=-1.0)

    assert [] == book.reprice({BTC: 100.9}, 0.0)
    assert [ALICE] == book.reprice({BTC: 101.1}, 0.0)


def test_many_small_moves_add_up(book: ExposureBook) -> None:
    open_long(book, ALICE)

    assert [[], [], [ALICE]] == [book.reprice({BTC: mark}, 0.0) for mark in (100.4, 100.8, 101.2)]


def test_moves_of_one_call_that_cancel_out_are_not_told(book: ExposureBook) -> None:
    book.put(ALICE, {BTC: 1.0, ETH: -10.0}, cost=0.0, margin=1_000.0)
    book.published(ALICE, Shown(1_000.0, 200.0))

    assert [] == book.reprice({BTC: 200.0, ETH: 20.0}, 0.0)


def test_an_account_is_told_once_until_it_is_published(book: ExposureBook) -> None:
    open_long(book, ALICE)
    book.reprice({BTC: 120.0}, 0.0)

    assert [] == book.reprice({BTC: 140.0}, 0.0)
    assert [] == book.overdue(1.0)
    book.published(ALICE, Shown(1_040.0, 140.0))
    assert [] == book.reprice({BTC: 139.0}, 0.0)
    assert [ALICE] == book.reprice({BTC: 138.0}, 0.0)


def test_an_account_that_holds_several_markets_that_move_is_told_once(book: ExposureBook) -> None:
    book.put(ALICE, {BTC: 1.0, ETH: 1.0}, cost=110.0, margin=1_000.0)

    assert [ALICE] == book.reprice({BTC: 120.0, ETH: 12.0}, 0.0)


def test_an_account_that_was_put_is_told_at_its_markets_next_move_however_small(book: ExposureBook) -> None:
    open_long(book, ALICE)
    book.put(ALICE, {BTC: 1.0}, cost=100.0, margin=900.0)

    assert [ALICE] == book.reprice({BTC: 100.001}, 0.0)


def test_a_mark_that_stands_already_moves_nobody(book: ExposureBook) -> None:
    open_long(book, ALICE)
    book.watch(ALICE)

    assert [] == book.reprice({BTC: 100.0}, 0.0)
    assert [] == book.overdue(1.0)


def test_a_market_that_nobody_holds_moves_nobody_and_its_mark_is_remembered(book: ExposureBook) -> None:
    open_long(book, ALICE)

    assert [] == book.reprice({ETH: 20.0}, 0.0)
    book.put(BOB, {ETH: 1.0}, cost=20.0, margin=100.0)
    book.published(BOB, Shown(100.0, 20.0))
    assert [] == book.reprice({ETH: 20.1}, 0.0)


def test_a_watched_account_is_told_of_every_move(book: ExposureBook) -> None:
    open_long(book, ALICE)
    open_long(book, BOB)
    book.watch(ALICE)

    assert [ALICE] == book.reprice({BTC: 100.001}, 0.0)


def test_an_account_can_be_watched_before_it_is_in_the_book(book: ExposureBook) -> None:
    assert not book.watch(ALICE)
    open_long(book, ALICE)

    assert [ALICE] == book.reprice({BTC: 100.001}, 0.0)


def test_an_account_that_gives_everything_up_and_comes_back_is_still_watched(book: ExposureBook) -> None:
    book.watch(ALICE)
    open_long(book, ALICE)
    book.put(ALICE, {}, cost=0.0, margin=0.0)
    open_long(book, BOB)
    open_long(book, ALICE)

    assert [ALICE] == book.reprice({BTC: 100.001}, 0.0)


def test_who_watches_an_account_learns_whether_its_row_is_behind(book: ExposureBook) -> None:
    open_long(book, ALICE)

    assert not book.watch(ALICE)
    book.unwatch(ALICE)
    book.reprice({BTC: 100.001}, 0.0)
    assert book.watch(ALICE)


def test_an_account_that_is_no_longer_watched_has_its_deadband_again(book: ExposureBook) -> None:
    open_long(book, ALICE)
    book.watch(ALICE)
    book.unwatch(ALICE)
    book.unwatch(BOB)

    assert [] == book.reprice({BTC: 100.001}, 0.0)
    assert [ALICE] == book.reprice({BTC: 102.0}, 0.0)


def test_an_account_whose_amounts_cancel_out_moves_though_its_upnl_does_not(book: ExposureBook) -> None:
    for key in (ALICE, BOB):
        book.put(key, {BTC: 0.0}, cost=-5.0, margin=1_000.0)
        book.published(key, Shown(1_005.0, 200.0))
    book.watch(BOB)

    assert [BOB] == book.reprice({BTC: 150.0}, 0.0)
    assert [ALICE] == book.overdue(1.0)


@pytest.mark.parametrize(("amount", "available", "seen", "unseen"), [(1.0, 0.5, 99.4, 99.6), (1.0, -0.5, 100.6, 100.4)])
def test_an_account_that_crosses_its_liquidation_is_told_within_its_deadband(
    book: ExposureBook, amount: float, available: float, seen: float, unseen: float
) -> None:
    book.put(ALICE, {BTC: amount}, cost=amount * 100, margin=available)
    book.published(ALICE, Shown(available, 100.0))

    assert [] == book.reprice({BTC: unseen}, 0.0)
    assert [ALICE] == book.reprice({BTC: seen}, 0.0)


@pytest.mark.parametrize("margin", [-5.0, 5.0])
def test_an_account_far_from_the_edge_is_not_told_whichever_side_it_is_on(book: ExposureBook, margin: float) -> None:
    open_long(book, ALICE, margin=margin)

    assert [] == book.reprice({BTC: 100.9}, 0.0)
    assert [] == book.reprice({BTC: 99.1}, 0.0)


@pytest.mark.parametrize("available", [0.0, -1e-18])
@pytest.mark.parametrize("mark", [3.000000000001, 2.999999999999])
def test_where_floats_cannot_tell_the_side_an_account_is_told_on_both(
    book: ExposureBook, available: float, mark: float
) -> None:
    # 0.1 x 3 is 0.30000000000000004 in floats: they see an account above the edge where integers see it below.
    book.reprice({BTC: 3.0}, 0.0)
    book.put(ALICE, {BTC: 0.1}, cost=0.3, margin=0.0)
    book.published(ALICE, Shown(available, 0.3))

    assert [ALICE] == book.reprice({BTC: mark}, 0.0)


def test_an_account_of_dust_at_its_edge_is_told_for_the_contract_truncates(book: ExposureBook) -> None:
    book.put(ALICE, {BTC: 0.0}, cost=0.0, margin=0.0)
    book.published(ALICE, Shown(0.0, 0.0))

    assert [ALICE] == book.reprice({BTC: 101.0}, 0.0)


def test_a_market_that_becomes_known_or_unknown_makes_all_its_holders_due(book: ExposureBook) -> None:
    sol: Market = ("symmio", 3)
    book.put(ALICE, {sol: 0.0}, cost=0.0, margin=10.0)
    book.published(ALICE, None)

    assert [ALICE] == book.reprice({sol: 3.0}, 0.0)
    book.published(ALICE, Shown(10.0, 6.0))
    assert [] == book.reprice({sol: 4.0}, 0.0)
    assert [ALICE] == book.reprice({sol: 0.0}, 0.0)


def test_an_account_without_figures_is_not_told_of_its_known_markets_but_becomes_overdue(book: ExposureBook) -> None:
    book.put(ALICE, {BTC: 1.0, ("symmio", 3): 1.0}, cost=100.0, margin=10.0)
    book.published(ALICE, None)

    assert [] == book.reprice({BTC: 500.0}, 0.0)
    assert [ALICE] == book.overdue(1.0)


def test_a_touched_market_moves_its_holders_and_tells_those_that_are_watched(book: ExposureBook) -> None:
    open_long(book, ALICE)
    open_long(book, BOB)
    book.put(CAROL, {ETH: 1.0}, cost=10.0, margin=1.0)
    book.published(CAROL, Shown(1.0, 10.0))
    book.watch(ALICE)

    assert [ALICE] == book.touch(BTC, 0.0)
    assert [BOB] == book.overdue(1.0)
    assert [] == book.touch(("symmio", 99), 0.0)


def test_overdue_are_those_that_have_moved_since_before_that_time_or_were_put(book: ExposureBook) -> None:
    open_long(book, ALICE)
    book.put(BOB, {ETH: 1.0}, cost=10.0, margin=1_000.0)
    book.published(BOB, Shown(1_000.0, 10.0))
    book.put(CAROL, {ETH: 1.0}, cost=10.0, margin=1.0)

    assert [CAROL] == book.overdue(-1e9)
    book.reprice({BTC: 100.001}, 2.0)
    book.reprice({BTC: 100.002, ETH: 10.0001}, 5.0)
    assert [] == book.overdue(2.0)
    assert [ALICE] == book.overdue(3.0)
    assert [BOB] == book.overdue(6.0)
    assert [] == book.overdue(6.0)


def test_one_that_moves_after_it_was_published_is_out_of_date_from_then_on(book: ExposureBook) -> None:
    open_long(book, ALICE)
    book.reprice({BTC: 100.001}, 2.0)
    book.published(ALICE, Shown(1_000.001, 100.001))
    book.reprice({BTC: 100.002}, 7.0)

    assert [] == book.overdue(7.0)
    assert [ALICE] == book.overdue(8.0)


def test_an_account_without_exposures_is_overdue_when_put_and_never_moves(book: ExposureBook) -> None:
    book.put(ALICE, {}, cost=0.0, margin=-1.0)

    assert [ALICE] == book.overdue(1.0)
    book.published(ALICE, Shown(-1.0, 0.0))
    open_long(book, BOB)
    assert [BOB] == book.reprice({BTC: 200.0}, 0.0)
    assert [] == book.overdue(9.0)


def test_holders_are_those_that_hold_a_market_now(book: ExposureBook) -> None:
    for key in (ALICE, BOB, CAROL):
        open_long(book, key)
    book.put(ALICE, {ETH: 1.0}, cost=10.0, margin=1.0)
    book.put(BOB, {}, cost=0.0, margin=1.0)

    assert [CAROL] == _holders(book, BTC)
    assert [ALICE] == _holders(book, ETH)
    assert [] == _holders(book, ("symmio", 99))
    assert {ALICE, BOB, CAROL} == book.keys() == {*book}
    assert 3 == len(book)


def test_an_account_put_anew_is_followed_at_its_new_amounts(book: ExposureBook) -> None:
    open_long(book, ALICE)
    open_long(book, ALICE, amount=-2.0)

    assert [] == book.reprice({BTC: 100.9}, 0.0)
    assert [ALICE] == book.reprice({BTC: 101.1}, 0.0)


@pytest.mark.parametrize("markets", [4, 5, 8, 9, 30])
def test_an_account_may_hold_any_number_of_markets_and_give_them_up_again(book: ExposureBook, markets: int) -> None:
    many: list[Market] = [("symmio", number) for number in range(10, 10 + markets)]
    book.reprice(dict.fromkeys(many, 10.0), 0.0)
    open_long(book, BOB)
    book.put(ALICE, dict.fromkeys(many, 1.0), cost=10.0 * markets, margin=1_000.0)
    book.published(ALICE, Shown(1_000.0, 10.0 * markets))

    assert [] == book.reprice(dict.fromkeys(many, 10.09), 0.0)
    assert [] == book.reprice({many[-1]: 10.09 + 0.009 * markets}, 0.0)
    assert [ALICE] == book.reprice({many[-1]: 10.09 + 0.011 * markets}, 0.0)
    assert [[ALICE]] * markets == [_holders(book, market) for market in many]
    open_long(book, ALICE)
    open_long(book, BOB)
    assert [] == book.reprice({**dict.fromkeys(many, 50.0), BTC: 100.9}, 0.0)
    assert {ALICE, BOB} == {*book.reprice({BTC: 101.1}, 0.0)}
    assert [[]] * markets == [_holders(book, market) for market in many]


def test_an_account_of_many_markets_moves_only_with_them_and_not_after_it_was_published(book: ExposureBook) -> None:
    many: list[Market] = [("symmio", number) for number in range(10, 19)]
    book.reprice(dict.fromkeys(many, 10.0), 0.0)
    book.put(ALICE, dict.fromkeys(many, 1.0), cost=90.0, margin=1_000.0)
    book.published(ALICE, Shown(1_000.0, 90.0))
    open_long(book, BOB)

    assert [] == book.reprice({many[8]: 10.1}, 0.0)
    book.published(ALICE, Shown(1_000.1, 90.1))
    assert [] == book.reprice({BTC: 100.1}, 0.0)
    assert [BOB] == book.overdue(9.0)


def test_publishing_an_account_that_is_not_there_is_an_error(book: ExposureBook) -> None:
    with pytest.raises(KeyError):
        book.published(ALICE, None)


def test_rows_and_places_that_become_free_are_used_again(book: ExposureBook) -> None:
    def fill(numbers: range) -> None:
        for number in numbers:
            book.put(b"%d" % number, {(f"{number % 7}", market): 1.0 for market in range(6)}, cost=0.0, margin=0.0)

    for number in range(2_000):
        book.put(b"%d" % number, {}, cost=0.0, margin=0.0)
    fill(range(1_000))
    sizes = len(book._flags), len(book._places._rows)
    for number in range(1_000):
        book.put(b"%d" % number, {}, cost=0.0, margin=0.0)
    fill(range(1_000, 2_000))

    assert sizes == (len(book._flags), len(book._places._rows))


def test_an_account_that_gives_markets_up_gives_its_further_rows_back(book: ExposureBook) -> None:
    book.put(ALICE, {("d", market): 1.0 for market in range(30)}, cost=0.0, margin=0.0)
    free_rows = len(book._free_rows)
    book.put(ALICE, {("d", 0): 1.0}, cost=0.0, margin=0.0)

    assert free_rows + 7 == len(book._free_rows)


def test_a_row_given_back_by_one_account_is_wholly_the_next_ones(book: ExposureBook) -> None:
    book.put(ALICE, dict.fromkeys([("d", market) for market in range(12)], 1.0), cost=0.0, margin=1_000.0)
    open_long(book, ALICE)
    for number in range(3):
        open_long(book, b"%d" % number, amount=2.0)

    assert [] == book.reprice({BTC: 100.9}, 0.0)


def test_an_account_that_takes_the_place_of_one_that_left_is_followed_there(book: ExposureBook) -> None:
    for key in (ALICE, BOB, CAROL):
        open_long(book, key)
    book.put(ALICE, {}, cost=0.0, margin=1_000.0)
    book.put(CAROL, {ETH: 1.0}, cost=10.0, margin=1_000.0)

    assert [BOB] == _holders(book, BTC)


def test_what_shifts_rounded_away_comes_back_after_so_many_of_them(
    book: ExposureBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_module, "_SHIFTS_BEFORE_SWEEP", 2)
    book.put(ALICE, {BTC: 1.0, ETH: 1.0}, cost=0.0, margin=0.0)
    book.reprice({ETH: 1e20}, 0.0)
    book.reprice({ETH: 10.0}, 0.0)
    book.published(ALICE, Shown(110.0, 110.0))

    assert [] == book.reprice({BTC: 100.5}, 0.0)


def test_between_two_sweeps_for_rounding_there_are_as_many_shifts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, "_SHIFTS_BEFORE_SWEEP", 3)
    monkeypatch.setattr(book_module, "_SHIFT_OVERHEAD_ROWS", -(10**9))
    book = ExposureBook(0.01)
    open_long(book, ALICE)
    swept = []
    for at in range(1, 13):
        before = book._shifts
        book.reprice({BTC: 100.0 + at}, 0.0)
        if book._shifts < before:
            swept.append(at)

    assert [4, 8, 12] == swept


def _told(book: ExposureBook, marks: Sequence[float]) -> set[bytes]:
    return {*book.reprice({("d", number): mark for number, mark in enumerate(marks)}, 0.0)}


def test_a_book_of_several_blocks_tells_what_sums_by_hand_tell() -> None:
    chance = random.Random(4)
    marks = [chance.uniform(1, 1_000) for _ in range(60)]
    book = ExposureBook(0.0005)
    _told(book, marks)
    held: dict[bytes, dict[int, float]] = {}
    for number in range(40_000):
        markets = chance.sample(range(60), chance.choice((1, 2, 3, 4, 4, 5, 9)))
        held[b"%d" % number] = {market: chance.uniform(-9, 9) for market in markets}
    for key, amounts in held.items():
        upnl = sum(amount * marks[market] for market, amount in amounts.items())
        notional = sum(abs(amount) * marks[market] for market, amount in amounts.items())
        book.put(key, {("d", market): amount for market, amount in amounts.items()}, cost=upnl, margin=1e9)
        book.published(key, Shown(1e9, notional))
    moved = [mark * chance.uniform(0.999, 1.001) for mark in marks]

    expected = {
        key
        for key, amounts in held.items()
        if abs(sum(amount * (moved[market] - marks[market]) for market, amount in amounts.items()))
        > 0.0005 * sum(abs(amount) * marks[market] for market, amount in amounts.items())
    }
    assert 1_000 < len(expected) < 39_000
    assert expected == _told(book, moved)
    assert held.keys() - expected == {*book.overdue(1.0)}
