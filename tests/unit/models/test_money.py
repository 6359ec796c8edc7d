"""Money as text: the same digits, whether it is a number or the text of one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.money import format_e18, parse_e18, show_e18


@given(st.integers(-(10**60), 10**60))
def test_an_amount_of_a_row_is_shown_as_its_number_is(amount_e18: int) -> None:
    assert format_e18(amount_e18) == show_e18(str(amount_e18))
    assert amount_e18 == parse_e18(show_e18(str(amount_e18)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("1", "0.000000000000000001"),
        ("-1", "-0.000000000000000001"),
        ("1000000000000000000", "1"),
        ("-12500000000000000000", "-12.5"),
        ("100000000000000000", "0.1"),
        ("0012500000000000000000", "12.5"),
    ],
)
def test_the_point_stands_before_the_last_eighteen_digits(text: str, shown: str) -> None:
    assert shown == show_e18(text)


@pytest.mark.parametrize("text", ["", "-", "1.5", "ten", "1e18", "0x10", "--1", "-ten"])
def test_what_is_no_integer_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        show_e18(text)
