"""Why an account moved, over REST: begun once, asked again until it is known, and bounded."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from api.http.keys import EXPLANATIONS
from api.tables.explanations import (
    AT_ONCE,
    FAILED_KEPT_S,
    KEPT_S,
    STARTS_EVERY_S,
    Explanations,
    Failed,
    Question,
    Refused,
    Running,
    TooBusy,
)
from models.instants import rfc3339
from tests.support.api import serving
from tests.support.eventually import eventually
from tests.support.explaining import EXPLAINED, ON_ITS_WAY, explaining
from tests.support.feed import FakeTables, valuation_body
from tests.support.rest import NOW_MS, account_key, get

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp import web
    from aiohttp.test_utils import TestClient

    from tests.support.rest import Answer

KEY = account_key(1)
SPAN = f"from={rfc3339(NOW_MS - 60_000)}&to={rfc3339(NOW_MS)}"
PATH = f"/v1/accounts/{KEY}/explanation?{SPAN}"


@asynccontextmanager
async def served(explanations: Explanations) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    tables = FakeTables("main")
    tables.valuations.put(KEY, 1, valuation_body())
    async with serving(tables, explanations=explanations, clock_ms=lambda: NOW_MS) as client:
        assert client.app is not None
        assert client.app[EXPLANATIONS] is explanations
        yield client


async def answered(client: TestClient[web.Request, web.Application], path: str = PATH) -> Answer:
    """What is answered in the end."""

    async def is_over() -> bool:
        return (await get(client, path)).status != 202

    await eventually(is_over, 120)
    return await get(client, path)


async def test_an_explanation_is_begun_by_the_first_question_and_told_when_it_is_there(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with served(explaining(ON_ITS_WAY, EXPLAINED, gate=gate)) as client:

        async def is_on_its_way() -> bool:
            answer = await get(client, PATH)
            return (answer.status, answer.body.get("read"), answer.body.get("of")) == (202, 5_000, 9_000)

        await eventually(is_on_its_way, 120)
        gate.touch()
        found = (await answered(client)).body

    assert (KEY, "explained", 3) == (found["account"], found["status"], found["terms"])
    assert ("-2.5", "0") == (found["upnl_change"], found["balance_change"])
    assert [("price", 1, "-2.5"), ("fill", 2, "0")] == [tuple(one.values()) for one in found["upnl"]]
    assert ({"status": "valued", "upnl": "1", "equity": "0.000000000000000005"}, {"status": "unpriced"}) == (
        found["begin"],
        found["end"],
    )
    (term,) = found["largest"]
    told = tuple(term[name] for name in ("kind", "record", "quote_id", "upnl"))
    assert ("price", "price-ticks:0:7", 7, "-2.5") == told
    assert "balance" not in term
    assert ["a price was deleted"] == found["doubts"]


async def test_what_cannot_be_explained_says_why() -> None:
    for status, lines, ends_after_s, why in (
        (422, ('{"refused": "out of retention"}',), 600, "out of retention"),
        (503, ('{"failed": "no broker"}',), 600, "no broker"),
        (503, ('{"read": 1, "of": 2}',), 600, "broke off (code 0)"),
        (503, ("no JSON",), 600, "was not understood"),
        (503, ('{"read": 1, "of": 2}', "never"), 0.0, "expected an answer within"),
    ):
        async with served(explaining(*lines, ends_after_s=ends_after_s, clock_s=lambda: 0.0)) as client:
            answer = await answered(client)

        assert (status, True) == (answer.status, why in answer.body["detail"]), answer.body


@pytest.mark.parametrize(
    ("ending", "kind", "why"),
    [
        ("kill -XCPU $$", Refused, "more of the processor"),
        ("kill -KILL $$", Failed, "memory is short"),
        ("exit 1", Failed, "broke off (code 1)"),
    ],
)
async def test_a_process_that_ends_without_a_last_word_has_the_reason_told_that_it_has(
    ending: str, kind: type[Refused | Failed], why: str
) -> None:
    explanations = Explanations(lambda: 0.0, ("sh", "-c", ending))
    try:

        async def is_over() -> bool:
            return not isinstance(explanations.ask("ann", _question(1)), Running)

        await eventually(is_over, 120)
        found = explanations.ask("ann", _question(1))
        assert isinstance(found, kind)
        assert why in found.reason
    finally:
        await explanations.stop()


async def test_a_users_questions_start_a_process_every_few_seconds_however_many_there_are(tmp_path: Path) -> None:
    now_s, started = [100.0], tmp_path / "started"
    explanations = Explanations(lambda: now_s[0], ("sh", "-c", f"echo $3 >> {started}; exec sleep 600"))

    async def has_started(*until_ms: int) -> bool:
        return started.exists() and started.read_text().split() == [str(one) for one in until_ms]

    try:
        for at in range(20):
            explanations.ask("ann", Question("main", "0x1", 0, at))
            await eventually(lambda: has_started(0), 120)
        now_s[0] += STARTS_EVERY_S
        await eventually(lambda: has_started(0, 19), 120)
    finally:
        await explanations.stop()


async def test_what_failed_is_tried_again_after_some_seconds() -> None:
    now_s = [100.0]
    explanations = explaining('{"failed": "no broker"}', clock_s=lambda: now_s[0])

    async def has_failed() -> bool:
        return explanations.ask("ann", _question(1)) == Failed("no broker")

    try:
        await eventually(has_failed, 120)
        now_s[0] += FAILED_KEPT_S
        assert await has_failed()
        now_s[0] += 1
        assert isinstance(explanations.ask("ann", _question(1)), Running)
    finally:
        await explanations.stop()


async def test_a_span_that_is_none_is_refused_and_an_account_that_is_none_begins_nothing() -> None:
    explanations = explaining()
    async with served(explanations) as client:
        for query in (
            "", f"from={rfc3339(NOW_MS)}", f"from={rfc3339(NOW_MS)}&to={rfc3339(NOW_MS)}",
            f"from={rfc3339(NOW_MS)}&to={rfc3339(NOW_MS + 86_400_000)}",
            f"from={rfc3339(NOW_MS - 32 * 86_400_000)}&to={rfc3339(NOW_MS)}",
        ):  # fmt: skip
            assert 400 == (await get(client, f"/v1/accounts/{KEY}/explanation?{query}")).status, query
        assert 404 == (await get(client, f"/v1/accounts/{account_key(9)}/explanation?{SPAN}")).status
        running = [explanations.ask(f"user {at}", _question(at)) for at in range(AT_ONCE)]

    assert [Running(0, 0)] * AT_ONCE == running


def _question(number: int) -> Question:
    return Question("main", f"0x{number}", 0, 1_000)


async def test_a_user_has_one_at_a_time_and_all_have_so_many(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    explanations = explaining('{"read": 1, "of": 2}', '{"refused": "over"}', gate=gate)
    try:
        for at in range(5):
            assert isinstance(explanations.ask("ann", _question(at)), Running)
        for at in range(1, AT_ONCE):
            assert isinstance(explanations.ask(f"other {at}", _question(10 + at)), Running)
        with pytest.raises(TooBusy, match="ask again"):
            explanations.ask("bob", _question(20))

        async def has_run() -> bool:
            return explanations.ask("ann", _question(4)) == Running(1, 2)

        await eventually(has_run, 120)
        gate.touch()

        async def is_over() -> bool:
            return explanations.ask("ann", _question(4)) == Refused("over")

        await eventually(is_over, 120)
    finally:
        await explanations.stop()


async def test_a_process_whose_question_was_given_up_has_ended_when_all_are_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Process] = []
    start = asyncio.create_subprocess_exec

    async def noted(*command: str, stdout: int, limit: int) -> Process:
        started.append(await start(*command, stdout=stdout, limit=limit))
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    explanations = explaining(ON_ITS_WAY, gate=tmp_path / "gate")
    explanations.ask("ann", _question(0))
    await eventually(lambda: bool(started), 120)
    explanations.ask("ann", _question(1))
    # It is told to end once, and begins to, and then once more.
    await asyncio.sleep(0)
    await explanations.stop()

    assert [True] == [process.returncode is not None for process in started]


async def test_what_was_found_is_kept_for_a_while_and_worked_out_anew_after_that() -> None:
    now_s = [0.0]
    explanations = explaining('{"refused": "over"}', clock_s=lambda: now_s[0])
    try:

        async def is_over() -> bool:
            return explanations.ask("ann", _question(1)) == Refused("over")

        await eventually(is_over, 120)
        now_s[0] += KEPT_S
        assert await is_over()
        now_s[0] += 1
        assert isinstance(explanations.ask("ann", _question(1)), Running)
    finally:
        await explanations.stop()
