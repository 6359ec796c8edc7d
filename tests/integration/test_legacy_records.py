"""What legacy clients, engines and operators write through one api, as the others see it."""

from __future__ import annotations

import itertools
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp

from models.engine.tables import DEPLOYMENTS, VALUATIONS
from streams.kafka.topics import create_topics, registry
from streams.settings import ApiSettings, Settings, TopicSettings
from tests.support.api import ADDRESS, OTHER_ADDRESS
from tests.support.changelog import changelogs
from tests.support.eventually import eventually
from tests.support.feed import deployment_body, valuation_body
from tests.support.legacy import frame, is_silent_for
from tests.support.pipeline import free_port, worker
from tests.support.positions import engine_record
from tests.support.server import answers, api_process
from tests.support.solver import MULTI_ACCOUNT, deployment

if TYPE_CHECKING:
    from collections.abc import Callable

OWNER = "0x" + "0E" * 20
INGEST_KEY = "a secret of the operator's"
AUTHORIZED = {"Authorization": f"Bearer {INGEST_KEY}"}


async def answer(client: aiohttp.ClientSession, path: str) -> Any:  # noqa: ANN401 - JSON
    async with client.get(path) as response:
        assert 200 == response.status
        return await response.json()


async def post(client: aiohttp.ClientSession, path: str, body: object) -> Any:  # noqa: ANN401 - JSON
    async with client.post(path, json=body, headers=AUTHORIZED) as response:
        assert 200 == response.status
        return await response.json()


async def test_what_is_written_through_one_replica_is_served_by_all(settings: Callable[..., Settings]) -> None:
    one = settings(
        deployments={"main": deployment(whitelist={"mode": "list"}, ingest_key=INGEST_KEY)},
        topics=TopicSettings(partitions=2),
        api=ApiSettings(port=free_port(), admin_port=free_port(), drain_s=0.05),
    )
    two = one.model_copy(update={"api": ApiSettings(port=free_port(), admin_port=free_port(), drain_s=0.05)})
    await create_topics(one.bootstrap, registry(one))
    async with AsyncExitStack() as stack:
        rows = await stack.enter_async_context(changelogs(one))
        process = await stack.enter_async_context(worker(one))
        clients = []
        for each in (one, two):
            await stack.enter_async_context(api_process(each))
            session = aiohttp.ClientSession(f"http://127.0.0.1:{each.api.port}")
            clients.append(await stack.enter_async_context(session))
        first, second = clients
        await eventually(lambda: answers(first, "/readyz", 200), timeout_s=30)
        await eventually(lambda: answers(second, "/readyz", 200), timeout_s=30)
        await process.ready()
        # Under its own term: a worker that hears a row of a later one takes itself to be superseded, and ends.
        await rows.put(DEPLOYMENTS, "main", 1, deployment_body(), term=0)

        await owners_and_their_sub_accounts_come_onto_the_list(first, second, rows)
        await what_an_engine_says_reaches_every_socket_once(first, second)


async def owners_and_their_sub_accounts_come_onto_the_list(
    first: aiohttp.ClientSession,
    second: aiohttp.ClientSession,
    rows: Any,  # noqa: ANN401
) -> None:
    async def is_listed(address: str) -> bool:
        return await answer(second, f"/check_in-whitelist/{address}/{MULTI_ACCOUNT}") is True

    assert not await is_listed(OWNER)
    await post(first, "/ingest/whitelist", {"add": [OWNER]})
    await eventually(lambda: is_listed(OWNER), timeout_s=2)
    body = valuation_body(owner=OWNER.lower(), multi_account=MULTI_ACCOUNT)
    await rows.put(VALUATIONS, f"main:{ADDRESS.lower()}", 1, body, term=0)
    added = await answer(first, f"/add-sub-address-in-whitelist/{ADDRESS}/{MULTI_ACCOUNT}")
    assert {"successful": True, "message": None} == added
    await eventually(lambda: is_listed(ADDRESS), timeout_s=2)


async def is_listened_to(client: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
    """Wait until a socket's list has been taken, which nothing answers: what is said before is not pushed to it."""
    number = itertools.count()

    async def hears() -> bool:
        record = engine_record(id=f"{id(socket)}-{next(number)}", counterparty_address=ADDRESS, quote_id=7, version=1)
        await post(client, "/ingest/position-states", [record])
        return not await is_silent_for(socket, 0.5)

    await eventually(hears)


async def what_an_engine_says_reaches_every_socket_once(
    first: aiohttp.ClientSession, second: aiohttp.ClientSession
) -> None:
    async with (
        first.ws_connect("/ws/position-state-ws3") as one,
        second.ws_connect("/position-state-ws") as two,
    ):
        for socket in (one, two):
            await socket.send_json({"address": [ADDRESS, OTHER_ADDRESS]})
            await is_listened_to(second, socket)
        for socket in (one, two):
            while not await is_silent_for(socket, 0.5):
                pass
        said = [engine_record(id=name, counterparty_address=ADDRESS, version=1) for name in ("a", "b")]
        for _ in range(2):
            assert {"taken": 3} == await post(
                second, "/ingest/position-states", [*said, engine_record(counterparty_address=OTHER_ADDRESS)]
            )
        for socket in (one, two):
            assert ["a", "b"] == [(await frame(socket))["id"] for _ in range(2)]
            assert await is_silent_for(socket, 0.3)
        body = {"address": ADDRESS, "quote_id": "131388"}
        for client in (first, second):
            found = await post(client, "/position-state/0/5", body)
            assert (2, {"a", "b"}) == (found["count"], {one["id"] for one in found["position_state"]})
