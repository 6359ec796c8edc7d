from __future__ import annotations

import asyncio
import io

import aiohttp
import pytest
from pydantic import SecretStr
from rich.console import Console

from streams.settings import AuthSettings, TokenKeySettings
from tests.support.api import api_settings, serving
from tests.support.eventually import eventually
from tests.support.feed import FakeTables, e18, last_complete, unpriced_body, valuation_body
from tests.support.paused_asker import WAIT_S, expect_cancelled
from tidemark.keyboard import Keyboard
from tidemark.top import NoAnswer, Seen, look, money, show, show_once

ACCOUNTS = ["0x" + digit * 40 for digit in "abc"]


def tables() -> FakeTables:
    made = FakeTables("main")
    made.valuations.put(f"main:{ACCOUNTS[0]}", 1, valuation_body(notional=e18("1234567.891")))
    made.valuations.put(f"main:{ACCOUNTS[1]}", 1, unpriced_body(last_complete=last_complete()))
    made.valuations.put(f"main:{ACCOUNTS[2]}", 1, unpriced_body(last_complete=None))
    return made


async def lines(made: FakeTables, sort: str = "notional", *, width: int = 120, is_terminal: bool = False) -> list[str]:
    said = io.StringIO()
    console = Console(file=said, width=width, force_terminal=is_terminal, no_color=True)
    async with serving(made) as client:
        await show_once(console, str(client.make_url("/")), sort, None)
    return said.getvalue().splitlines()


async def test_accounts_are_shown_with_what_is_known_of_them_and_unknown_is_said() -> None:
    shown = {account: line.split() for line in await lines(tables()) for account in "abc" if f"0x{account}" in line}

    assert ["▼", "-12.50", "1,234,567.89", "10.75", "%"] == shown["a"][1:]
    assert ["▲", "+3.00", "900.00", "unknown", "◐", "unpriced"] == shown["b"][1:]
    assert ["unknown", "unknown", "unknown", "◐", "unpriced"] == shown["c"][1:]


@pytest.mark.parametrize("width", [40, 80, 127, 128, 200])
@pytest.mark.parametrize("is_terminal", [False, True])
async def test_an_account_is_shown_as_one_can_paste_it_however_narrow_the_terminal(
    width: int,
    is_terminal: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    shown = await lines(tables(), width=width, is_terminal=is_terminal)

    for account in ACCOUNTS if width >= 80 or not is_terminal else ():
        assert 1 == sum(f"main:{account}" in line for line in shown)
    assert any("▲ +3.00" in line and "unpriced" in line for line in shown) or width == 40


async def test_a_refused_token_is_answered_with_where_to_put_one() -> None:
    auth = AuthSettings(mode="tokens", keys={"main": TokenKeySettings(algorithm="HS256", key=SecretStr("s" * 40))})
    async with serving(tables(), api_settings("main").model_copy(update={"auth": auth})) as client:
        with pytest.raises(NoAnswer, match=r"found 401: .*--token"):
            await show_once(Console(file=io.StringIO()), str(client.make_url("/")), "notional", None)


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


class LooksUntil(Keyboard):
    """Presses q as soon as a text is on the screen."""

    def __init__(self, screen: io.StringIO, text: str) -> None:
        self._screen = screen
        self._text = text

    def pressed(self) -> str:
        return "q" if self._text in self._screen.getvalue() else ""


async def test_totals_follow_the_websocket_between_two_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemark.top._POLL_S", 3_600.0)
    made, screen = tables(), io.StringIO()
    sums = {"positions": 1, "unpriced": 0, "as_of_ms": 1_745_970_777_999, "upnl": e18("1"), "notional": e18("10")}
    key = f"hedger:main:0x{'b' * 40}:0"
    made.subtotals.put(key, 1, sums)
    async with serving(made) as client:
        console = Console(file=screen, width=120, height=40, force_terminal=True)
        showing = asyncio.create_task(
            show(console, str(client.make_url("/")), "notional", None, LooksUntil(screen, "4,321.00"))
        )
        await eventually(lambda: "10.00" in screen.getvalue())
        made.subtotals.put(key, 2, {**sums, "notional": e18("4321")})
        await asyncio.wait_for(showing, 40)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("0", "0.00"), ("-0.019", "▼ -0.01"), ("1234.999", "▲ +1,234.99"), (None, "unknown"), ("0.000", "0.00")],
)
def test_money_is_cut_with_sign_and_shape(text: str | None, shown: str) -> None:
    assert shown == money(text, signed=True).plain


async def test_who_is_cancelled_as_the_wait_for_an_api_ends_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemark.top._WITHIN_S", WAIT_S)
    async with aiohttp.ClientSession() as session:
        await expect_cancelled(lambda url: look(session, Seen(url, "notional"), 1))
