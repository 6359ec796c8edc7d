"""Fees: enough for a while, raised as nodes require, and never above their ceilings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.funder.fees import Fees, fees_of, floor_of

WIDE = Fees(10**18, 10**18)


def test_fees_stay_enough_while_the_base_fee_doubles() -> None:
    assert Fees(2_300, 300) == fees_of(1_000, 300, WIDE)


def test_fees_are_within_their_ceilings() -> None:
    assert Fees(1_500, 20) == fees_of(1_000, 300, Fees(1_500, 20))
    assert Fees(15, 15) == fees_of(1_000, 300, Fees(15, 20))


@given(max_wei=st.integers(0, 10**15), tip_wei=st.integers(0, 10**15))
def test_raised_fees_are_what_a_node_takes_for_a_replacement(max_wei: int, tip_wei: int) -> None:
    raised = Fees(1, 1).raised_over(Fees(max_wei, tip_wei))
    assert raised.max_wei * 10 >= max_wei * 11
    assert raised.tip_wei * 10 >= tip_wei * 11
    assert Fees(10**16, 10**16) == Fees(10**16, 10**16).raised_over(Fees(max_wei, tip_wei))


@given(max_wei=st.integers(10, 10**15), tip_wei=st.integers(10, 10**15))
def test_what_is_signed_with_room_to_replace_can_be_replaced_within_the_ceilings(max_wei: int, tip_wei: int) -> None:
    most = Fees(max_wei, tip_wei)
    lowered = most.with_room_to_replace()
    assert Fees(0, 0).raised_over(lowered).within(most)
    assert lowered.max_wei * 9 // 8 >= max_wei - 5


@pytest.mark.parametrize(
    ("refusal", "floor_wei"),
    [
        ("transaction gas price below minimum: gas tip cap 1, minimum needed 25000000000", 25_000_000_000),
        ("transaction underpriced: tip needed 25000000000, tip permitted 1", 25_000_000_000),
        ("intrinsic gas too low: gas 1, minimum needed 21000", None),
        ("replacement transaction underpriced", None),
        ("already known", None),
    ],
)
def test_a_pools_floor_is_read_from_what_it_says(refusal: str, floor_wei: int | None) -> None:
    assert floor_wei == floor_of(refusal)
