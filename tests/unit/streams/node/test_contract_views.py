from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak

from models.chain_records import QuoteView
from streams.node.contract_views import ContractViews
from streams.node.rpc import BadAnswer, NoContract

A, B, W = "0x" + "aa" * 20, "0x" + "bb" * 20, "0x" + "cc" * 20
LOCKED = "(uint256,uint256,uint256,uint256)"
OF_0_8_3 = (
    f"uint256,address[],uint256,uint8,uint8,uint256,uint256,uint256,uint256,uint256,uint256,{LOCKED},{LOCKED},uint256,"
    "address,address,uint8,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256"
)
QUOTE: tuple[Any, ...] = (
    7, [W], 3, 1, 0, 11, 12, 13, 14, 15, 16, (21, 22, 23, 24), (31, 32, 33, 34), 41, A, B, 4, 51, 52, 53, 6, 61, 62,
    63, 64, 65,
)  # fmt: skip
VIEW = QuoteView(
    quote_id=7, symbol_id=3, position_type=1, order_type=0, status=4, party_b=B, whitelist=(W,),
    requested_open_price="13", market_price="14", opened_price="11", initial_opened_price="12", quantity="15",
    closed_amount="16", avg_closed_price="51", requested_close_price="52", quantity_to_close="53",
    locked=("31", "32", "33", "34"), initial_locked=("21", "22", "23", "24"), trading_fee="65", deadline_s="64",
    parent_id=6, max_funding_rate="41",
)  # fmt: skip
VIEWS = ContractViews("0x" + "d1" * 20, 100)


@pytest.mark.parametrize(("shape", "quote"), [(OF_0_8_3, QUOTE), (f"{OF_0_8_3},address", (*QUOTE, W))])
def test_quotes_of_both_contract_versions_are_read(shape: str, quote: tuple[Any, ...]) -> None:
    _, read_one = VIEWS.quote(7)
    _, read_all = VIEWS.open_positions(A, 0, 10)

    one = read_one("0x" + encode([f"({shape})"], [quote]).hex())
    many = read_all("0x" + encode([f"({shape})[]"], [[quote, quote]]).hex())

    assert (A, VIEW) == one
    assert [one, one] == many


def test_no_positions_are_an_empty_list() -> None:
    _, read = VIEWS.open_positions(A, 0, 10)

    assert [] == read("0x" + encode([f"({OF_0_8_3})[]"], [[]]).hex())


def test_a_call_names_the_contract_the_function_and_the_block() -> None:
    (method, (call, block)), _ = VIEWS.party_b_balances(B, A)

    selector = keccak(b"balanceInfoOfPartyB(address,address)")[:4].hex()
    assert ("eth_call", "0x64") == (method, block)
    assert {"to": "0x" + "d1" * 20, "data": f"0x{selector}{B[2:]:0>64}{A[2:]:0>64}"} == call


def test_an_empty_answer_says_what_to_check() -> None:
    _, read = VIEWS.balances(A)

    with pytest.raises(NoContract, match="check the contract's address"):
        read("0x")


@pytest.mark.parametrize("answer", ["0x12", None, 3, "0xzz", "0x" + "00" * 31])
def test_an_answer_that_does_not_decode_is_a_bad_one(answer: object) -> None:
    _, read = VIEWS.balances(A)

    with pytest.raises(BadAnswer):
        read(answer)


@pytest.mark.parametrize("answer", ["0x" + "00" * 31 + "1f", "0x1f", "0x01F"])
def test_a_word_of_storage_is_read_however_it_is_padded(answer: str) -> None:
    _, read = VIEWS.reimbursement(A)

    assert "31" == read(answer)
    with pytest.raises(NoContract, match="a word of storage"):
        read("0x")


def test_nobody_is_no_owner() -> None:
    _, read = VIEWS.owner_of(B, A)

    assert read("0x" + "00" * 32) is None
    assert W == read("0x" + encode(["address"], [W]).hex())
