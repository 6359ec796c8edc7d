"""Two replicas of the Flash dialect on one broker: sockets are counted over both, and their places are always freed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from aiohttp import WSServerHandshakeError

from streams.process.clock import SystemClock
from streams.replicas.lease_holder import Leases
from streams.settings import ApiSettings
from tests.support.eventually import eventually
from tests.support.flash import OWNER, text
from tests.support.flash_scene import MANY, FlashScene
from tests.support.records import create_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import ClientWebSocketResponse, web
    from aiohttp.test_utils import TestClient

    from streams.settings import Settings

# Requests say where they come from, as behind a proxy.
BEHIND_A_PROXY = ApiSettings(drain_s=0.05, limits=MANY, trusted_proxies=("127.0.0.1/32", "::1/128"))


class Replica:
    """A replica, and the sockets that were opened on it."""

    def __init__(self, client: TestClient[web.Request, web.Application], leases: Leases) -> None:
        self.leases = leases
        self._client = client

    async def open(self, owner: str = OWNER, address: str = "192.0.2.1") -> ClientWebSocketResponse:
        path = f"/v2/owner/{owner}/ws"
        return await self._client.ws_connect(path, headers={"X-Forwarded-For": address})

    async def refusal(self, owner: str = OWNER, address: str = "192.0.2.1") -> int:
        """The status by which one more socket is refused, 101 where it is not."""
        try:
            await self.open(owner, address)
        except WSServerHandshakeError as refused:
            return refused.status
        return 101

    async def said_to_one_more(self, owner: str = OWNER) -> tuple[int, str]:
        headers = {
            "X-Forwarded-For": "192.0.2.1",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        async with self._client.get(f"/v2/owner/{owner}/ws", headers=headers) as response:
            return response.status, (await response.json())["error"]


@asynccontextmanager
async def replica(own: Settings, sockets: int = 10_000) -> AsyncIterator[Replica]:
    leases = Leases(own, SystemClock(), decide_within_s=60.0)
    leases.start()
    try:
        await eventually(lambda: leases.is_up, timeout_s=30)
        scene = FlashScene(leases, api=BEHIND_A_PROXY, sockets=sockets)
        async with scene.serving() as client:
            yield Replica(client, leases)
    finally:
        await leases.stop()
        with suppress(asyncio.CancelledError):
            await leases.closed()


@asynccontextmanager
async def two_replicas(
    settings: Callable[..., Settings], sockets: int = 10_000
) -> AsyncIterator[tuple[Replica, Replica]]:
    own = settings()
    await create_all(own)
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(replica(own, sockets))
        yield one, await stack.enter_async_context(replica(own, sockets))


async def test_the_sixth_socket_of_an_owner_is_429_at_either_replica_and_a_cut_one_makes_room(
    settings: Callable[..., Settings],
) -> None:
    async with two_replicas(settings) as (one, two):
        open_ = [await replica.open() for replica in (one, two, one, two, one)]
        for full in (one, two):
            assert (429, "per-owner connection limit reached") == await full.said_to_one_more()
        # Others are not concerned.
        assert 101 == await two.refusal(text("another owner"))
        for cut in open_[:2]:
            assert cut._writer.transport is not None
            cut._writer.transport.abort()
        for free in (two, one):

            async def is_let_in(free: Replica = free) -> bool:
                return await free.refusal() == 101

            await eventually(is_let_in, timeout_s=30)
        assert [429, 429] == [await full.refusal() for full in (one, two)]


async def test_who_holds_all_places_of_an_owner_at_both_replicas_does_not_keep_another_address_out(
    settings: Callable[..., Settings],
) -> None:
    async with two_replicas(settings) as (one, two):
        held = [await replica.refusal(address="198.51.100.7") for replica in (one, two) * 4]
        assert ([101] * 5, [429] * 3) == (held[:5], held[5:])
        assert [101, 429] == [await two.refusal(), await one.refusal()]


async def test_one_socket_more_than_all_may_have_is_503_until_a_killed_replicas_places_have_expired(
    settings: Callable[..., Settings],
) -> None:
    async with two_replicas(settings, sockets=6) as (one, two):
        owners = [text(f"owner {number}") for number in range(6)]
        for number, owner in enumerate(owners):
            await (one, two)[number % 2].open(owner)
        for full in (one, two):
            assert (503, "global connection limit reached") == await full.said_to_one_more()
        # It ends before it can give anything back.
        assert two.leases._running is not None
        two.leases._running.cancel()

        let_in: list[int] = []

        async def are_free() -> bool:
            let_in.append(await one.refusal(text(f"later {len(let_in)}")))
            return let_in.count(101) == 3

        await eventually(are_free, timeout_s=60)
        # Those of the replica that lives are still held.
        assert 503 == await one.refusal(text("one more"))
