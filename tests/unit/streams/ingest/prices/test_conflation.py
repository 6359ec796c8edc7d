from __future__ import annotations

from models.prices import BookTick
from streams.ingest.prices.conflation import BookConflation


def tick(symbol: str, bid: str) -> BookTick:
    return BookTick("v-book", symbol, 1, 1, bid, bid)


def test_the_first_tick_goes_at_once_and_the_newest_of_the_rest_follows_after_100_ms() -> None:
    books = BookConflation()

    assert tick("X", "1") == books.offer(tick("X", "1"), 1_000)
    assert books.offer(tick("X", "2"), 1_050) is None
    assert books.offer(tick("X", "3"), 1_099) is None
    assert [] == books.due(1_099)
    assert [tick("X", "3")] == books.due(1_100)
    assert [] == books.due(1_200)


def test_symbols_do_not_hold_each_other_back() -> None:
    books = BookConflation()
    books.offer(tick("X", "1"), 1_000)

    assert tick("Y", "1") == books.offer(tick("Y", "1"), 1_001)


def test_a_tick_that_goes_at_once_replaces_the_one_held() -> None:
    books = BookConflation()
    books.offer(tick("X", "1"), 1_000)
    books.offer(tick("X", "2"), 1_010)

    assert tick("X", "3") == books.offer(tick("X", "3"), 1_100)
    assert [] == books.due(1_300)
