"""``POST /ingest/position-states``: who may say what, and what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from pydantic import SecretStr

from models.symmio.engine_states import decode_engine_state
from streams.settings import AuthSettings, TokenKeySettings
from tests.support.api import ADDRESS, FakeRecords, serving
from tests.support.feed import FakeTables
from tests.support.positions import engine_record, engine_state
from tests.support.solver import ELSEWHERE, HERE, solver_settings

if TYPE_CHECKING:
    from streams.settings import Settings

INGEST_KEY = "a secret of the operator's"


def settings(**changes: Any) -> Settings:  # noqa: ANN401
    both = {"ingest_key": INGEST_KEY, **changes}
    return solver_settings(main={**both, **HERE}, other={**both, "ingest_key": "another's"})


async def say(
    body: bytes,
    *,
    path: str = "/ingest/position-states",
    key: str | None = INGEST_KEY,
    **changes: Any,  # noqa: ANN401
) -> tuple[int, Any, list[tuple[str, bytes, bytes | None]]]:
    records = FakeRecords()
    headers = dict(ELSEWHERE) if path.startswith("/other") else {}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    async with (
        serving(FakeTables("main", "other"), settings(**changes), records=records) as client,
        client.post(path, data=body, headers=headers, allow_redirects=False) as response,
    ):
        return response.status, orjson.loads(await response.read()), records.sent


@pytest.mark.parametrize("mount", ["", "/api", "/main", "/main/api"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_state_is_written_under_its_accounts_key(mount: str, slash: str) -> None:
    record = engine_record(counterparty_address=ADDRESS, version=3)
    status, body, sent = await say(orjson.dumps(record), path=f"{mount}/ingest/position-states{slash}")

    assert (200, {"taken": 1}) == (status, body)
    ((topic, key, value),) = sent
    assert ("position-states-in", f"main:{ADDRESS.lower()}".encode()) == (topic, key)
    assert engine_state(counterparty_address=ADDRESS, version=3) == decode_engine_state(value or b"")


async def test_the_key_is_the_deployments_also_where_readers_need_tokens() -> None:
    auth = AuthSettings(mode="tokens", keys={"main": TokenKeySettings(algorithm="HS256", key=SecretStr("x" * 40))})
    closed = settings().model_copy(update={"auth": auth})
    records, state = FakeRecords(), orjson.dumps(engine_record(counterparty_address=ADDRESS))
    async with serving(FakeTables("main", "other"), closed, records=records) as client:
        statuses = []
        for path in ("/main/ingest/position-states", "/main/position-state/0/1"):
            headers = {"Authorization": f"Bearer {INGEST_KEY}"}
            async with client.post(path, data=state, headers=headers) as response:
                statuses.append(response.status)

    assert [200, 401] == statuses
    assert 1 == len(records.sent)


async def test_a_list_is_written_in_its_order_and_again_it_is_written_the_same() -> None:
    body = orjson.dumps([engine_record(id=str(number), version=number) for number in (2, 1, 2)])
    first, again = await say(body), await say(body)

    assert (200, {"taken": 3}) == first[:2]
    assert first == again
    assert ["2", "1", "2"] == [orjson.loads(value or b"")["id"] for _, _, value in first[2]]


async def test_an_empty_list_takes_nothing() -> None:
    assert (200, {"taken": 0}, []) == await say(b"[]")


@pytest.mark.parametrize("key", [None, "", "another's", INGEST_KEY.upper(), "ключ"])
async def test_another_key_writes_nothing(key: str | None) -> None:
    status, body, sent = await say(orjson.dumps(engine_record()), key=key)

    assert (401, 401, []) == (status, body["error_code"], sent)
    assert {"error_code", "error_message", "error_detail"} == body.keys()


async def test_each_deployment_has_a_key_of_its_own() -> None:
    raw = orjson.dumps(engine_record())

    assert 401 == (await say(raw, path="/other/ingest/position-states"))[0]
    status, _, ((_, key, _),) = await say(raw, path="/other/ingest/position-states", key="another's")
    assert (200, True) == (status, key.startswith(b"other:0x"))


async def test_where_no_key_is_set_nothing_is_taken() -> None:
    status, body, sent = await say(orjson.dumps(engine_record()), ingest_key=None)

    assert (403, 403, []) == (status, body["error_code"], sent)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", ["body"]),
        (b"{", ["body"]),
        (b"\xff", ["body"]),
        (orjson.dumps([engine_record()] * 101), ["body"]),
        (b"7", ["body", "0"]),
        (b"null", ["body", "0"]),
        (orjson.dumps([engine_record(), engine_record(counterparty_address="0x12")]), ["body", "1"]),
        (orjson.dumps(engine_record(quote_id=None)), ["body", "0"]),
        (orjson.dumps(engine_record(action_status="done")), ["body", "0"]),
        (orjson.dumps(engine_record(filled_amount_open="-1")), ["body", "0"]),
        (orjson.dumps(engine_record(filled_amount_open=0.5)), ["body", "0"]),
        (orjson.dumps(engine_record(unknown=1)), ["body", "0"]),
        (orjson.dumps(engine_record(id="")), ["body", "0"]),
    ],
)
async def test_of_what_is_not_as_the_schema_says_nothing_is_written_and_it_is_said_where(
    body: bytes, where: list[str]
) -> None:
    status, answer, sent = await say(body)

    assert (422, where, []) == (status, answer["detail"][0]["loc"], sent)
    assert {"loc", "msg", "type"} == answer["detail"][0].keys()


async def test_when_it_cannot_be_written_it_is_said_so() -> None:
    records = FakeRecords()
    records.is_down = True
    async with (
        serving(FakeTables("main"), settings(), records=records) as client,
        client.post(
            "/ingest/position-states",
            data=orjson.dumps(engine_record()),
            headers={"Authorization": f"bearer {INGEST_KEY}"},
        ) as response,
    ):
        body = await response.json()

    assert (503, 503, "2") == (response.status, body["error_code"], response.headers["Retry-After"])
