"""``POST /ingest/ledger-events``: who may say what, and what becomes of it."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr, ValidationError

from api.access.gate import OwnKey
from api.app import create_app
from api.dialects.ledger.ledger_dialect import LEDGER
from api.dialects.mounting import Site, dialect_of
from api.http.listening import public_door
from models.ledger.ledger_records import decode_ledger_record
from models.ledger.ledger_venue import LEDGER as VENUE
from models.watermarks import DeploymentWatermark
from streams.process.clock import SystemClock
from streams.settings import BadSettings, Settings, SymmioSettings
from streams.settings.dialects import DialectSettings
from streams.settings.ledger.ledger_deployment import LedgerDeploymentSettings
from tests.support.api import BoundedTestServer, FakeInterest, FakeRecords
from tests.support.feed import FakeTables
from tests.support.ledger import said, wallet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.dialects.mounting import Mounted
    from streams.settings import DeploymentSettings

KEY = "a secret of the operator's"
EXAMPLE = Path(__file__).parents[5] / "examples" / "ledger_producer.py"
PATH = "/ingest/ledger-events"


def ledger(key: str | None = KEY) -> LedgerDeploymentSettings:
    return LedgerDeploymentSettings.model_validate({} if key is None else {"ingest_key": key})


def mounted(records: FakeRecords, deployments: Mapping[str, DeploymentSettings]) -> Mounted:
    nothing: Any = None
    site = Site(
        app=web.Application(), name="ledger", deployments=deployments, settings=Settings(), interest=nothing,
        leases=nothing, connections=nothing, guard=nothing, addresses=nothing, records=records, clock=nothing,
    )  # fmt: skip
    return LEDGER.mount(site, DialectSettings(kind="ledger", deployments=tuple(deployments)))


async def say(
    body: object,
    *,
    path: str = PATH,
    key: str | None = KEY,
    deployments: Mapping[str, DeploymentSettings] | None = None,
    records: FakeRecords | None = None,
) -> tuple[int, Any, list[tuple[str, bytes, bytes | None]]]:
    taking = records or FakeRecords()
    app = web.Application()
    app.add_routes([door.route for door in mounted(taking, deployments or {"desk": ledger()}).doors])
    sent = {} if key is None else {"Authorization": f"Bearer {key}"}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with TestClient(TestServer(app)) as client, client.post(path, data=data, headers=sent) as response:
        answer = await response.read()
        return response.status, json.loads(answer) if answer[:1] == b"{" else answer, taking.sent


def event(seq: int = 1, account: str = "ann", **more: object) -> dict[str, Any]:
    return {"account": account, "event": said("wallet_set", seq, wallet=wallet("1.50")), **more}


@pytest.mark.parametrize("path", [PATH, f"/desk{PATH}"])
async def test_an_event_is_written_under_its_accounts_key_as_it_was_said(path: str) -> None:
    status, body, sent = await say(event(), path=path)
    assert (status, body) == (200, {"taken": 1})
    ((topic, key, value),) = sent
    assert (topic, key) == ("ledger-events", b"desk:ann")
    assert json.loads(value or b"") == event()["event"]
    assert decode_ledger_record(value or b"").seq == 1


async def test_a_list_is_written_in_its_order() -> None:
    events = [event(1), event(1, "bob"), event(2), event(2, "bob")]
    status, body, sent = await say(events)
    assert (status, body) == (200, {"taken": 4})
    assert [(key, json.loads(value or b"")["seq"]) for _, key, value in sent] == [
        (b"desk:ann", 1), (b"desk:bob", 1), (b"desk:ann", 2), (b"desk:bob", 2)
    ]  # fmt: skip


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("another", 401), ("", 401)])
async def test_without_the_key_nothing_is_taken(key: str | None, status: int) -> None:
    found, body, sent = await say(event(), key=key)
    assert (found, sent) == (status, [])
    assert KEY not in json.dumps(body)


async def test_where_no_key_is_configured_nobody_may_write() -> None:
    status, body, sent = await say(event(), deployments={"desk": ledger(None)})
    assert (status, sent) == (403, [])
    assert "deployments.desk.ingest_key is not set" in body["error_message"]


@pytest.mark.parametrize("form", [LedgerDeploymentSettings, SymmioSettings])
def test_an_empty_key_which_would_let_everybody_write_is_refused_at_start(form: type[DeploymentSettings]) -> None:
    whole = {"chain_id": 1, "diamond": "0x" + "d" * 40} if form is SymmioSettings else {}
    with pytest.raises(ValidationError, match=r"ingest_key\n.*at least 1 item"):
        form.model_validate({**whole, "ingest_key": ""})


async def test_of_several_ledgers_each_has_its_own_path_and_key() -> None:
    both = {"desk": ledger(), "other": ledger("another's")}
    assert (await say(event(), deployments=both))[0] == 404
    assert (await say(event(), deployments=both, path=f"/other{PATH}"))[0] == 401
    _, _, sent = await say(event(), deployments=both, path=f"/other{PATH}", key="another's")
    assert [key for _, key, _ in sent] == [b"other:ann"]


async def test_what_cannot_be_folded_is_refused_by_index_and_nothing_is_written() -> None:
    calculated = event(3)
    calculated["event"]["wallet"]["balance_available"] = "1"
    events = [event(1), calculated, event(2), {"account": "ann"}, event(4, "a b"), event(5, more=1), 7]
    status, body, sent = await say(events)
    assert (status, sent, body["error_code"]) == (422, [], 422)
    assert body["error_message"].startswith("expected events that can be folded, found 5 of 7 that cannot")
    faults = {one["index"]: one["message"] for one in body["error_detail"]}
    assert faults.keys() == {1, 3, 4, 5, 6}
    assert faults[1].startswith("expected no balance_available, which is calculated here from marks")
    assert "missing required field `event`" in faults[3]
    assert "found 'a b'" in faults[4]
    assert "unknown field `more`" in faults[5]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[1,", b"null", b"[" * 5_000])
async def test_a_body_that_is_no_json_is_refused(body: bytes) -> None:
    status, answer, sent = await say(body)
    assert (status, sent) == (422, [])
    assert answer["error_message"].startswith("expected ")


async def test_only_so_many_events_come_at_once() -> None:
    assert (await say([event(number + 1) for number in range(100)]))[0] == 200
    status, body, sent = await say([event(number + 1) for number in range(101)])
    assert (status, sent) == (422, [])
    assert "at most 100 events at once, found 101" in body["error_message"]


async def test_while_the_broker_takes_nothing_the_producer_is_told_to_send_again() -> None:
    records = FakeRecords()
    records.is_down = True
    status, body, _ = await say([event(1), event(2)], records=records)
    assert status == 503
    assert body["error_message"] == "0 of 2 events are written for certain: send them all again"


async def test_the_example_of_a_producer_writes_what_can_be_folded() -> None:
    records = FakeRecords()
    app = web.Application()
    app.add_routes([door.route for door in mounted(records, {"desk": ledger()}).doors])
    async with TestServer(app) as server:
        address = f"http://{server.host}:{server.port}"
        producer = await asyncio.create_subprocess_exec(
            sys.executable, EXAMPLE, address, KEY, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await producer.communicate()
    assert (producer.returncode, json.loads(said)) == (0, {"taken": 3})
    account = None
    for at, (_, key, value) in enumerate(records.sent):
        assert key == b"desk:ann"
        account = VENUE.fold(account, VENUE.decode(value or b"", (at, -1)), DeploymentWatermark())
    assert account is not None
    assert account.holdings.suspect is None
    assert [one.amount for one in account.holdings.positions] == ["0.1"]


async def test_it_stands_beside_symmio_s_paths_of_the_same_beginning() -> None:
    records = FakeRecords()
    symmio = SymmioSettings(chain_id=1, diamond="0x" + "d" * 40, ingest_key=SecretStr("symmio's"))
    settings = Settings(kafka="127.0.0.1:9", deployments={"main": symmio, "desk": ledger()})
    app = create_app(settings, FakeTables("main").feeds, FakeInterest(), records=records, clock=SystemClock())
    mine, theirs = {"Authorization": f"Bearer {KEY}"}, {"Authorization": "Bearer symmio's"}
    async with TestClient(BoundedTestServer(app, public_door(app))) as client:
        assert (await client.post(PATH, data=gzip.compress(json.dumps(event()).encode()),
                                  headers={**mine, "Content-Encoding": "gzip"})).status == 200  # fmt: skip
        assert (await client.post(f"/desk{PATH}", json=event(2), headers=mine)).status == 200
        assert (await client.post("/ingest/whitelist", json={"add": []}, headers=theirs)).status == 200
        assert (await client.post("/ingest/whitelist", json={"add": []}, headers=mine)).status == 401
        assert (await client.post(f"/main{PATH}", json=event(), headers=mine)).status == 404
        assert (await client.get(PATH, headers=mine)).status == 405
    assert [key for _, key, _ in records.sent] == [b"desk:ann", b"desk:ann"]


def test_it_is_found_by_its_kind_and_mounted_on_ledgers_alone() -> None:
    assert dialect_of("ledger") is LEDGER
    standing = mounted(FakeRecords(), {"desk": ledger()})
    assert set(standing.path_prefixes) == {PATH, f"/desk{PATH}"}
    assert {type(door.reads) for door in standing.doors} == {OwnKey}
    symmio = SymmioSettings(chain_id=1, diamond="0x" + "d" * 40)
    with pytest.raises(BadSettings, match="expected deployments of kind ledger, found main"):
        mounted(FakeRecords(), {"desk": ledger(), "main": symmio})
