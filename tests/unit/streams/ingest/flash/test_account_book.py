"""Whom the ingest believes that an account is no more."""

from __future__ import annotations

import pytest

from models.flash.chain_accounts import Order
from models.flash.flash_accounts import encode_account
from streams.ingest.flash.account_book import AccountBook, Known, News, Witness, digest_of
from streams.ingest.flash.solana_answers import SeenAccount
from tests.support.flash import OWNER, PROGRAMME, SOL_LONG, basket, basket_of, position

BASKET = encode_account(basket(position(SOL_LONG)))


def _seen(slot: int, data: bytes | None = None) -> SeenAccount:
    return SeenAccount(basket_of(), PROGRAMME, data, slot)


@pytest.fixture
def book() -> AccountBook:
    """A book that has one basket, as of slot 5."""
    made = AccountBook("rollup", PROGRAMME)
    made.restore(basket_of(), Known("Basket", Order(5, 0), digest_of(BASKET), OWNER))
    return made


@pytest.mark.parametrize("is_disowned", [False, True])
def test_of_several_endpoints_one_alone_closes_nothing_however_often_it_says_so(
    book: AccountBook, *, is_disowned: bool
) -> None:
    one, other = Witness("#1", is_only=False), Witness("#2", is_only=False)
    gone = [_seen(slot, BASKET if is_disowned else None) for slot in range(6, 20)]
    if is_disowned:
        gone = [seen._replace(programme="another") for seen in gone]
    assert {book.judge(seen, one) for seen in gone} == {News.DOUBTED}
    # What is heard is no answer, and the same slot is no second look.
    assert book.judge(gone[-1]) is News.DOUBTED
    assert book.judge(gone[0], other) is News.DOUBTED
    assert book.judge(gone[-1], other) is News.NEWER


def test_who_sees_the_account_meanwhile_takes_the_doubt_away(book: AccountBook) -> None:
    one, other = Witness("#1", is_only=False), Witness("#2", is_only=False)
    assert book.judge(_seen(6), one) is News.DOUBTED
    assert book.judge(_seen(7, BASKET), other) is News.OLD
    assert book.judge(_seen(8), other) is News.DOUBTED
    assert book.judge(_seen(9), one) is News.NEWER


def test_an_only_endpoint_closes_an_account_by_two_answers_of_two_slots(book: AccountBook) -> None:
    only = Witness("#1", is_only=True)
    assert [book.judge(_seen(slot), only) for slot in (6, 6, 7)] == [News.DOUBTED, News.DOUBTED, News.NEWER]
