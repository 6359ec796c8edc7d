"""A replica over a replay: it shows the past in every dialect, and what is said to it reaches nobody else."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import jwt
import pytest
from aiohttp import WSMsgType
from aiohttp.test_utils import TestClient
from pydantic import SecretStr

from api.delivery.dialect import TOKEN_EXPIRED
from api.dialects.bitfinex.api_keys import ApiKey, write_keys
from api.dialects.bitfinex.bitfinex_settings import BitfinexSettings
from api.dialects.native.protocol import Close
from api.http.listening import public_door
from api.replay.replay_replica import ReplayReplica
from models.instants import rfc3339
from models.money import parse_e18
from streams.process.clock import SystemClock
from streams.replay.replay_clock import ReplayClock
from streams.replay.replayed_log import ReplayWindow, replaying
from streams.settings import AuthSettings, Settings, TokenKeySettings
from streams.settings.symmio.symmio_settings import SymmioSettings
from tests.support.api import BoundedTestServer
from tests.support.bitfinex import KEY, SECRET, Socket
from tests.support.clocks import WallClock
from tests.support.ledger import position, record
from tests.support.told_ledger import ANN, PERP, Desk, desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp import web

    from streams.process.clock import Clock
    from streams.replay.replayed_log import ReplayedLog

_INGEST_KEY = "a key of more than thirty-two characters"
_TOKEN_SECRET = "a secret of more than 32 bytes, as it should be"


class Past:
    """A replay of a ledger that is served."""

    def __init__(self, client: TestClient[web.Request, web.Application], replay: ReplayedLog) -> None:
        self.client = client
        self._replay = replay
        self._replica: ReplayReplica | None = None

    def of(self, replica: ReplayReplica) -> Past:
        self._replica = replica
        return self

    async def goes_to(self, at_ms: int) -> None:
        assert self._replica is not None
        self._replica.take(await self._replay.advance(at_ms))


async def test_nothing_is_explained_from_the_cluster_of_now() -> None:
    world = desk()
    async with past(world, world.now_ms, world.settings) as served:
        span = f"from={rfc3339(world.now_ms - 1_000)}&to={rfc3339(world.now_ms)}"
        async with served.client.get(f"/v1/accounts/desk:{ANN}/explanation?{span}") as response:
            assert 503 == response.status, await response.text()
            assert "a replay of the past" in (await response.json())["detail"]


def with_tokens(settings: Settings) -> Settings:
    keys = {"main": TokenKeySettings.model_validate({"algorithm": "HS256", "key": _TOKEN_SECRET})}
    return settings.model_copy(update={"auth": AuthSettings(mode="tokens", keys=keys)})


def until(ends_s: int) -> dict[str, str]:
    """A token for one account that ends then, in Unix s."""
    claims = {"sub": "desk-1", "accounts": [f"desk:{ANN}"], "exp": ends_s}
    return {"Authorization": f"Bearer {jwt.encode(claims, _TOKEN_SECRET)}"}


@asynccontextmanager
async def past(world: Desk, since_ms: int, settings: Settings, machine: Clock | None = None) -> AsyncIterator[Past]:
    clock = ReplayClock(since_ms)
    replica = ReplayReplica(settings, clock, machine or SystemClock())
    window = ReplayWindow(since_ms, world.now_ms)
    async with replaying(
        world.log(), settings, window, clock, told=replica.topics, on_record=lambda _: None
    ) as replay:  # fmt: skip
        replica.take(await replay.begin())
        async with TestClient(BoundedTestServer(replica.app, public_door(replica.app))) as client:
            yield Past(client, replay).of(replica)


def with_bitfinex(world: Desk, directory: Path) -> Settings:
    keys = directory / "keys.json"
    write_keys(keys, {KEY: ApiKey(SECRET, "alice", (f"desk:{ANN}",))})
    section = BitfinexSettings.model_validate({"kind": "bitfinex", "deployments": ("desk",), "keys": keys})
    return world.settings.model_copy(update={"dialects": {"bitfinex": section}})


async def test_a_ledgers_account_is_shown_to_a_bitfinex_client_as_it_was_and_goes_on(tmp_path: Path) -> None:
    world = desk()
    first, since_ms = world.row(ANN), world.now_ms
    world.tick(PERP, "130")
    priced, priced_ms = world.row(ANN), world.now_ms
    world.say(ANN, record("position_set", 4, position=position("0.2", "105", PERP, type="derivative")))
    async with past(world, since_ms, with_bitfinex(world, tmp_path)) as served:
        for body, at_ms in ((first, since_ms), (priced, priced_ms)):
            await served.goes_to(at_ms)
            async with served.client.get(f"/v1/accounts/desk:{ANN}") as response:
                assert rfc3339(at_ms) == response.headers["Tidemark-Replay-Of"]
                shown = await response.json()
            assert (int(body["equity"]), "valued") == (parse_e18(shown["equity"]), shown["status"])
        async with served.client.ws_connect("/ws/2") as connected:
            socket = Socket(connected)
            # A nonce is used up here alone, and only once.
            assert "OK" == (await socket.logs_in(7))["status"]
            before = await socket.hears_of("ps")
            assert (PERP, 0.5, 100) == tuple(before[2][0][at] for at in (0, 2, 3))
            await served.goes_to(world.now_ms)
            update = await socket.hears_of("pu")
            assert (PERP, 0.2, 105) == tuple(update[2][at] for at in (0, 2, 3))
        async with served.client.ws_connect("/ws/2") as connected:
            assert "FAILED" == (await Socket(connected).logs_in(7))["status"]


async def test_what_would_change_something_for_others_is_refused(tmp_path: Path) -> None:
    world = desk()
    key, deployments = SecretStr(_INGEST_KEY), world.settings.deployments
    keyed = {name: one.model_copy(update={"ingest_key": key}) for name, one in deployments.items()}
    engine = {"upstream": "http://127.0.0.1:9"}
    solver = SymmioSettings.model_validate({"chain_id": 1, "diamond": "0x" + "d" * 40, "solver": engine})
    assert solver.replayed().solver.upstream is None
    assert solver.solver.upstream is not None
    settings = world.settings.model_copy(update={"deployments": keyed})
    async with past(world, world.now_ms, settings) as served:
        path, headers = "/ingest/ledger-events", {"Authorization": f"Bearer {_INGEST_KEY}"}
        event = b'{"account":"ann","event":' + record("account_opened", 9, owner=ANN) + b"}"
        async with served.client.post(path, data=event, headers=headers) as response:
            assert 503 == response.status, await response.text()


@pytest.mark.parametrize(("lasts_s", "status"), [(600, 200), (-600, 401)])
async def test_tokens_end_by_the_time_of_now(lasts_s: int, status: int) -> None:
    world = desk()
    headers = until(SystemClock().now_ms() // 1_000 + lasts_s)
    async with (
        past(world, world.now_ms, with_tokens(world.settings)) as served,
        served.client.get(f"/v1/accounts/desk:{ANN}", headers=headers) as response,
    ):
        assert status == response.status


@pytest.mark.parametrize(("path", "code"), [("/ws/2", TOKEN_EXPIRED), ("/v1/ws", Close.NOT_AUTHENTICATED)])
async def test_an_open_socket_ends_with_its_token_by_the_time_of_now(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str, code: int
) -> None:
    monkeypatch.setattr("api.dialects.native.pulse.HEARTBEAT_S", 0.1)
    world, now_ms = desk(), [SystemClock().now_ms()]
    settings, ends_s = with_tokens(with_bitfinex(world, tmp_path)), now_ms[0] // 1_000 + 1
    async with (
        past(world, world.now_ms, settings, WallClock(lambda: now_ms[0])) as served,
        served.client.ws_connect(path, headers=until(ends_s)) as socket,
    ):
        # It is open, and what it hears first is no error.
        assert "error" not in await socket.receive_str(timeout=60)
        now_ms[0] = ends_s * 1_000
        async with asyncio.timeout(60):
            while (await socket.receive()).type is WSMsgType.TEXT:
                pass
        assert code == socket.close_code
