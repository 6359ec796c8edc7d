"""Baskets found by their address, also where rows of two owners name one."""

from __future__ import annotations

from typing import Any

import pytest

from api.dialects.flash.basket_index import BasketIndex
from models.codec import encode_row
from models.statements import Statement, encode_statement


class _Feed:
    rows: dict[bytes, bytes] = {}  # noqa: RUF012 - it has none

    def listen_rows(self, on_row: Any) -> None:  # noqa: ANN401
        self.say = on_row


def _row(pubkey: str | None) -> bytes:
    basket = None if pubkey is None else {"pubkey": pubkey}
    return encode_row(1, 1, encode_statement(Statement((0, -1), {"basket": basket, "ledger": None}, ())))


def test_a_basket_that_two_owners_rows_name_is_the_later_ones_and_ends_no_listener() -> None:
    feed: Any = _Feed()
    index = BasketIndex("flash", feed)
    feed.say(b"flash:a", _row("P"))
    feed.say(b"flash:b", _row("P"))
    feed.say(b"flash:a", _row(None))
    assert index.owner_of("P") == "b"
    feed.say(b"flash:b", _row("Q"))
    assert (index.owner_of("P"), index.owner_of("Q")) == (None, "b")


@pytest.mark.parametrize("basket", [{}, ["x"], "x", 5])
def test_a_row_whose_basket_has_no_address_leaves_the_index_as_it_is_and_ends_no_listener(basket: object) -> None:
    feed: Any = _Feed()
    index = BasketIndex("flash", feed)
    feed.say(b"flash:a", _row("P"))
    feed.say(b"flash:a", encode_row(1, 2, encode_statement(Statement((0, -1), {"basket": basket, "ledger": None}, ()))))

    assert "a" == index.owner_of("P")
