"""What an account shows beside its valuation, over REST."""

from __future__ import annotations

from models.statements import EVENTS_KEPT, encode_statement, next_statement
from tests.support.api import serving
from tests.support.feed import FakeTables, valuation_body
from tests.support.rest import account_key, get

KEY = account_key(1)
PATH = f"/v1/accounts/{KEY}/statement"


def filled(events: int) -> FakeTables:
    """An account with one wallet, to which so many things happened, one a record."""
    tables = FakeTables("main")
    tables.valuations.put(KEY, 1, valuation_body())
    statement = None
    for at in range(events):
        statement = next_statement(
            statement, (at - 1, -1), (at, -1), {"wallets": {"main": at}}, [((at, -1), {"at": at})]
        )
    if statement is not None:
        tables.statements.put(KEY, events, encode_statement(statement))
    return tables


async def test_a_statement_is_shown_with_its_numbered_events_and_not_sent_again() -> None:
    async with serving(filled(2)) as client:
        answer = await get(client, PATH)
        again = await get(client, PATH, {"If-None-Match": answer.headers["ETag"]})
        later = await get(client, f"{PATH}?after=1")

    assert {"main": 1} == answer.body["statement"]["wallets"]
    assert [{"number": 1, "event": {"at": 0}}, {"number": 2, "event": {"at": 1}}] == answer.body["events"]
    assert (2, 304) == (answer.body["last_event"], again.status)
    assert [{"number": 2, "event": {"at": 1}}] == later.body["events"]


async def test_who_asks_for_events_that_are_not_there_any_more_is_told_so() -> None:
    async with serving(filled(EVENTS_KEPT + 5)) as client:
        answer = await get(client, f"{PATH}?after=2")
        newest = await get(client, f"{PATH}?after={EVENTS_KEPT + 5}")

    assert (True, []) == (answer.body["events_missed"], answer.body["events"])
    assert [] == newest.body["events"]
    assert "events_missed" not in newest.body


async def test_an_account_without_a_statement_has_an_empty_one_and_one_that_does_not_exist_has_none() -> None:
    async with serving(filled(0)) as client:
        answer = await get(client, PATH)
        nobody = await get(client, f"/v1/accounts/{account_key(5)}/statement")

    assert ({}, [], 0) == tuple(answer.body[name] for name in ("statement", "events", "last_event"))
    assert 404 == nobody.status


async def test_a_row_that_cannot_be_read_is_a_problem() -> None:
    tables = filled(0)
    tables.statements.put(KEY, 1, {"statement": {}})
    async with serving(tables) as client:
        assert 503 == (await get(client, PATH)).status
