"""What every surface says of a deployment whose venue is not installed, here or where its accounts are folded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from models.alerts import UNPRICED, with_transitions
from models.codec import decode_row
from models.engine.tables import ALERTS, SUBTOTALS, VALUATIONS
from models.heartbeats import WorkerBeat, worker_key
from streams.replicas.heartbeat_reader import Heartbeats
from streams.settings import TopicSettings
from streams.settings.effective import UnavailableDeployment
from tests.support.api import ADDRESS, api_settings, metric, serving, serving_admin
from tests.support.contract import validate_rest, validate_server_message
from tests.support.eventually import eventually
from tests.support.feed import FakeTables, valuation_body
from tests.support.paper import ANN, played

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import ClientWebSocketResponse
    from aiohttp.test_utils import TestClient

    from streams.settings import Settings

NOW_MS = 1_700_000_000_000
OWN = f"main:{ADDRESS.lower()}"
PARTITIONS = TopicSettings().partitions


def settings() -> Settings:
    """A deployment of SYMMIO, and one of a package that is not installed."""
    own = api_settings("main")
    return own.model_copy(update={"deployments": {**own.deployments, "game": UnavailableDeployment(kind="paper-gone")}})


def tables() -> FakeTables:
    """What was written of Ann while the package was installed, and an account of SYMMIO."""
    made, engine = FakeTables("main"), played(NOW_MS)
    made.valuations.put(OWN, 1, valuation_body(as_of_ms=NOW_MS))
    unpriced = valuation_body(status="unpriced", unpriced=1)
    alarm = with_transitions(ANN.encode(), None, UNPRICED, unpriced, {"at_ms": NOW_MS})
    feeds = {VALUATIONS: made.valuations, SUBTOTALS: made.subtotals, ALERTS: made.alerts}
    for table, feed in feeds.items():
        for key, row in engine.tables.items(table):
            feed.put(key.decode(), 1, decode_row(row).body)
    made.alerts.put(ANN, 2, alarm)
    return made


def beats(*folds: str) -> Heartbeats:
    """The word of workers that fold these deployments."""
    heard = Heartbeats()
    tell(heard, folds)
    return heard


def tell(heard: Heartbeats, folds: tuple[str, ...] | None) -> None:
    for partition in range(PARTITIONS):
        heard.take(worker_key(partition), WorkerBeat("host:1", NOW_MS, NOW_MS, 0, 500, folds=folds), NOW_MS)


async def get(client: TestClient[Any, Any], path: str) -> tuple[int, Any]:
    async with client.get(path) as answer:
        body = await answer.json()
        validate_rest(path, answer.status, body)
        return answer.status, body


async def state(socket: ClientWebSocketResponse, channel: str, key: str) -> dict[str, Any]:
    """What a subscription is shown first."""
    await socket.send_json({"op": "subscribe", "id": 1, "channel": channel, "keys": [key]})
    while True:
        for message in json.loads((await socket.receive(5)).data):
            validate_server_message(message)
            assert message["type"] != "error", message
            if message["type"] == "snapshot":
                found: dict[str, Any] = message["data"]
                return found


async def test_totals_of_a_venue_that_is_not_installed_are_unknown_and_name_the_cause() -> None:
    async with serving(tables(), settings(), clock_ms=lambda: NOW_MS) as client, client.ws_connect("/v1/ws") as socket:
        _, totals = await get(client, "/v1/totals?deployment=game")
        told = await state(socket, "totals", "game")

    assert [{"deployment": "game", "stale_because": ["venue"]}] == totals["items"]
    assert totals["items"] == [told]


async def test_its_accounts_are_shown_as_they_were_and_as_old_wherever_they_are_asked_for() -> None:
    async with serving(tables(), settings(), clock_ms=lambda: NOW_MS) as client, client.ws_connect("/v1/ws") as socket:
        status, account = await get(client, f"/v1/accounts/{ANN}")
        _, listed = await get(client, "/v1/accounts?deployment=game")
        _, held = await get(client, "/v1/positions?symbol_id=BTCUSDT")
        told = await state(socket, "account", ANN)
        _, alerts = await get(client, f"/v1/accounts/{ANN}/alerts")
        alarmed = await state(socket, "alerts", ANN)
        _, own = await get(client, f"/v1/accounts/{OWN}")

    for shown in (account, *listed["items"], told):
        assert ("valued", "1500", 1, ["venue"]) == tuple(
            shown[name] for name in ("status", "upnl", "stale", "stale_because")
        )
    assert [True] == [one["stale"] for one in held["items"]]
    for shown in (alerts, alarmed):
        assert (["unpriced"], ["venue"]) == ([*shown["alarms"]], shown["stale_because"])
    assert (200, True) == (status, account["positions"]["BTCUSDT"]["stale"])
    assert "venue" not in own.get("stale_because", ())


@pytest.mark.parametrize("path", ["game:Bob", "game:ann-7", "game:Bob/positions", "game:Bob/alerts"])
async def test_of_an_account_that_is_in_no_table_the_answer_names_the_deployment_the_kind_and_the_package(
    path: str,
) -> None:
    async with serving(tables(), settings(), clock_ms=lambda: NOW_MS) as client:
        status, problem = await get(client, f"/v1/accounts/{path}")

    assert 503 == status
    for said in ("deployment game", "'paper-gone'", "tidemark.venues"):
        assert said in problem["detail"]


@pytest.mark.parametrize(
    ("configured", "folded", "unfolded"), [("main", (), 1), ("main", ("main",), 0), ("game", ("game",), PARTITIONS)]
)
async def test_the_metric_counts_the_partitions_in_which_nobody_folds_a_deployment(
    configured: str, folded: tuple[str, ...], unfolded: int
) -> None:
    heard = beats("main", "game")
    heard.take(worker_key(0), WorkerBeat("host:1", NOW_MS, NOW_MS, 0, 500, folds=folded), NOW_MS)
    chosen = api_settings("main") if configured == "main" else settings()
    async with (
        serving(tables(), chosen, heartbeats=heard, clock_ms=lambda: NOW_MS) as client,
        serving_admin(client.app) as admin,
    ):
        assert unfolded == await metric(admin, f'tidemark_unfolded_partitions{{deployment="{configured}"}}')


async def test_the_status_and_one_line_of_the_log_name_the_deployment_and_what_to_install(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(tables(), settings(), clock_ms=lambda: NOW_MS) as client:
        _, status = await get(client, "/v1/status")

    (line,) = [one for one in caplog.messages if "game" in one]
    assert status["deployments"]["game"] == {"status": "unknown", "reason": line}
    for said in ("deployment game", "'paper-gone'", "tidemark.venues"):
        assert said in line


@pytest.mark.parametrize(
    ("heard", "is_old"), [(lambda: beats("desk"), True), (lambda: beats("desk", "main"), False), (Heartbeats, False)]
)
async def test_what_its_workers_do_not_fold_is_old_though_it_could_be_shown_here(
    heard: Callable[[], Heartbeats],
    is_old: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    made = tables()
    async with serving(made, api_settings("main"), heartbeats=heard(), clock_ms=lambda: NOW_MS) as client:
        _, account = await get(client, f"/v1/accounts/{OWN}")
        _, totals = await get(client, "/v1/totals?deployment=main")
        status, problem = await get(client, "/v1/accounts/main:0x" + "0" * 40)

    assert is_old is ("venue" in account.get("stale_because", ()))
    assert is_old is ("venue" in totals["items"][0].get("stale_because", ()))
    assert not is_old or (503, True) == (status, "does not fold deployment main" in problem["detail"])


async def test_sockets_hear_when_workers_begin_to_fold_a_deployment() -> None:
    heard = beats()
    async with (
        serving(tables(), api_settings("main"), heartbeats=heard, clock_ms=lambda: NOW_MS) as client,
        client.ws_connect("/v1/ws") as socket,
    ):
        assert ["venue"] == (await state(socket, "account", OWN))["stale_because"]
        tell(heard, ("main",))

        async def is_fresh() -> bool:
            messages = json.loads((await socket.receive(5)).data)
            return any(one["type"] == "delta" and one["data"].get("stale_because", 1) is None for one in messages)

        await eventually(is_fresh)
