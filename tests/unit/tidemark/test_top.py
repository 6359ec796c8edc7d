from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.support.api import serving
from tests.support.feed import FakeTables, e18, last_complete, unpriced_body, valuation_body
from tidemark.top import NoAnswer, money, show_once

ACCOUNTS = ["0x" + digit * 40 for digit in "abc"]


def tables() -> FakeTables:
    made = FakeTables("main")
    made.valuations.put(f"main:{ACCOUNTS[0]}", 1, valuation_body(notional=e18("1234567.891")))
    made.valuations.put(f"main:{ACCOUNTS[1]}", 1, unpriced_body(last_complete=last_complete()))
    made.valuations.put(f"main:{ACCOUNTS[2]}", 1, unpriced_body(last_complete=None))
    return made


async def lines(made: FakeTables, sort: str = "notional") -> list[str]:
    said = io.StringIO()
    async with serving(made) as client:
        await show_once(Console(file=said, width=120), str(client.make_url("/")), sort, None)
    return said.getvalue().splitlines()


async def test_accounts_are_shown_with_what_is_known_of_them_and_unknown_is_said() -> None:
    shown = {account: line.split() for line in await lines(tables()) for account in "abc" if f"0x{account}" in line}

    assert ["▼", "-12.50", "1,234,567.89", "10.75", "%"] == shown["a"][2:]
    assert ["▲", "+3.00", "900.00", "unknown", "◐", "unpriced"] == shown["b"][2:]
    assert ["unknown", "unknown", "unknown", "◐", "unpriced"] == shown["c"][2:]


async def test_the_column_that_orders_is_marked() -> None:
    assert any("to liquidation ↑" in line for line in await lines(tables(), "distance"))


async def test_tables_that_are_behind_are_said_to_be() -> None:
    made = tables()
    made.marks.lag_records, made.marks.newest_ms = 1, 1
    (headline, *_) = await lines(made)
    assert "not ready" in headline


async def test_what_is_silent_is_named() -> None:
    made = tables()
    made.marks.answered_ms = 1
    (headline, *_) = await lines(made)
    assert "stale: no word of broker" in headline


async def test_where_nobody_answers_the_message_says_what_to_do() -> None:
    with pytest.raises(NoAnswer, match=r"expected an api to answer http://127\.0\.0\.1:1/v1/status, .*give --url"):
        await show_once(Console(file=io.StringIO()), "http://127.0.0.1:1", "notional", None)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("0", "0.00"), ("-0.019", "▼ -0.01"), ("1234.999", "▲ +1,234.99"), (None, "unknown"), ("0.000", "0.00")],
)
def test_money_is_cut_with_sign_and_shape(text: str | None, shown: str) -> None:
    assert shown == money(text, signed=True).plain
