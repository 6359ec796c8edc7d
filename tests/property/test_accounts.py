"""The order of accounts is that of a plain sort, whatever changed between two looks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from api.tables.ranking import Accounts, Entry, Line, Order, Sort
from tests.support.feed import FakeTables, e18, nobody_body, unpriced_body, valuation_body
from tests.support.rest import account_key

if TYPE_CHECKING:
    import pytest

NUMBERS = st.integers(0, 12)
UPNLS = st.none() | st.integers(-3, 3)
OWNERS = [None, "0x" + "a" * 40, "0x" + "b" * 40]
SORTS = [sort for sort in Sort if sort is not Sort.OWNER]
CHANGES = st.lists(st.tuples(NUMBERS, st.sampled_from(["put", "remove", "nobody"]), UPNLS), max_size=25)
LOOKS = st.lists(st.tuples(CHANGES, st.sampled_from(SORTS), st.booleans()), min_size=1, max_size=5)


def body_of(upnl: int | None) -> dict[str, Any]:
    if upnl is None:
        return unpriced_body(last_complete=None)
    money = e18(str(upnl))
    return valuation_body(upnl=money, notional=money, distance_bps=upnl)


def owned_body(number: int, upnl: int | None) -> dict[str, Any]:
    return {**body_of(upnl), "owner": OWNERS[(number + (upnl or 0)) % 3]}


def plain(standing: dict[int, int | None], order: Order) -> list[str]:
    """Keys of the accounts in an order."""

    def figure(number: int) -> int | None:
        return number if order.sort is Sort.ADDRESS else standing[number]

    def place(number: int) -> tuple[bool, int, int]:
        value = figure(number)
        if value is None:
            return True, 0, number
        return False, -value if order.is_descending else value, number

    return [account_key(number) for number in sorted(standing, key=place)]


async def walked(accounts: Accounts, order: Order, start: Entry | None = None, owner: str | None = None) -> list[Entry]:
    def is_wanted(_key: bytes, line: Line) -> bool:
        return owner in {None, line.owner}

    return [entry async for entry, _ in accounts.walk(order, start, is_wanted, owner)]


@settings(max_examples=60, deadline=None)
@given(LOOKS)
def test_a_walk_finds_every_account_that_stands_in_its_order(looks: list[Any]) -> None:
    async def look() -> None:
        tables = FakeTables("main")
        accounts = Accounts(tables.feeds)
        standing: dict[int, int | None] = {}
        for changes, sort, is_descending in looks:
            for number, change, upnl in changes:
                if change == "put":
                    tables.valuations.put(account_key(number), 1, owned_body(number, upnl))
                    standing[number] = upnl
                elif change == "nobody":
                    tables.valuations.put(account_key(number), 1, nobody_body())
                    standing.pop(number, None)
                elif account_key(number).encode() in tables.valuations.rows:
                    tables.valuations.remove(account_key(number))
                    standing.pop(number, None)
            order = Order(sort, is_descending)
            entries = await walked(accounts, order)
            assert plain(standing, order) == [key.decode() for _, _, key in entries]
            for owner in OWNERS[1:]:
                theirs = [entry for entry in entries if accounts._lines[entry[2]].owner == owner]
                assert theirs == await walked(accounts, order, owner=owner)
            for number, entry in enumerate(entries):
                assert entries[number:] == await walked(accounts, order, entry)

    asyncio.run(look())


async def test_rows_are_read_once_a_change_and_only_when_somebody_looks() -> None:
    tables = FakeTables("main")
    accounts = Accounts(tables.feeds)
    for number in range(600):
        tables.valuations.put(account_key(number), 1, body_of(number))
    assert {} == accounts._lines
    order = Order(Sort.UPNL, is_descending=False)
    await walked(accounts, order)
    before = dict(accounts._lines)
    tables.valuations.put(account_key(7), 2, body_of(0))
    await walked(accounts, order)

    assert {account_key(7).encode()} == {key for key, line in accounts._lines.items() if line is not before[key]}


async def test_a_walk_goes_on_undisturbed_by_what_changes_meanwhile() -> None:
    tables = FakeTables("main")
    accounts = Accounts(tables.feeds)
    for number in range(10):
        tables.valuations.put(account_key(number), 1, body_of(number))
    order = Order(Sort.UPNL, is_descending=False)
    seen = []
    async for (_, _, key), _ in accounts.walk(order, None, lambda _key, _line: True):
        seen.append(key.decode())
        if len(seen) == 3:
            tables.valuations.put(account_key(0), 2, body_of(50))
            tables.valuations.remove(account_key(5))
            await walked(accounts, order)

    assert [account_key(number) for number in (0, 1, 2, 3, 4, 6, 7, 8, 9)] == seen


async def test_who_gives_up_while_rows_are_read_leaves_them_to_be_read() -> None:
    tables = FakeTables("main")
    accounts = Accounts(tables.feeds)
    for number in range(600):
        tables.valuations.put(account_key(number), 1, body_of(number))
    order = Order(Sort.UPNL, is_descending=False)
    looking = asyncio.create_task(walked(accounts, order))
    await asyncio.sleep(0)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)

    assert 0 < len(accounts._lines) < 600
    assert 600 == len(await walked(accounts, order))


async def test_an_owner_of_very_many_accounts_finds_them_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.tables.ranking._LINES_BETWEEN_YIELDS", 4)
    tables = FakeTables("main")
    for number in range(12):
        tables.valuations.put(account_key(number), 1, owned_body(number, 0))
        tables.valuations.put(account_key(100 + number), 1, {**body_of(number), "owner": OWNERS[1]})
    entries = await walked(Accounts(tables.feeds), Order(Sort.UPNL, is_descending=True), owner=OWNERS[1])

    assert 16 == len(entries)
    assert sorted(entries) == entries
