"""Subscriptions that are refused, or taken and silent (kind G)."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import aiohttp
import pytest

from streams.ingest.symmio.newheads import NewHeads
from streams.node.rpc import BadAnswer, Refused, WebsocketEndpoint
from tests.support.chain import Chain
from tests.support.eventually import eventually
from tests.support.node import FakeNode
from tests.support.virtual_loop import run_in_no_time

POLL_MS, POLL_S = 1_000, 1.0


class Held:
    """A subscription that the test holds; ``taken`` counts how often it was taken."""

    label = "#1"

    def __init__(self, *, refusing: bool = False) -> None:
        self.heads = 0
        self.taken = 0
        self._refusing = refusing
        self._closed = asyncio.Event()

    async def subscribe(self, timeout_s: float) -> None:
        assert timeout_s > 0
        if self._refusing:
            msg = "no subscriptions here"
            raise Refused(msg, msg)
        self.taken += 1
        self._closed = asyncio.Event()

    async def closed(self) -> None:
        await self._closed.wait()

    async def disconnect(self) -> None:
        self._closed.set()


class World:
    """A head that moves once a second, and how often it was looked at."""

    def __init__(self, subscription: Held, *, announces: bool) -> None:
        self.subscription = subscription
        self.heads = NewHeads("d", POLL_MS)
        self.highest = -1
        self.block = 0
        self.looks: list[float] = []
        self._announces = announces

    async def run(self, for_s: float, block_s: float = 1.0) -> None:
        async with asyncio.timeout(for_s), asyncio.TaskGroup() as tasks:
            tasks.create_task(self._mine(block_s))
            tasks.create_task(self.heads.listen(self.subscription, lambda: self.highest))
            tasks.create_task(self._look())

    async def _mine(self, block_s: float) -> None:
        while True:
            await asyncio.sleep(block_s)
            self.block += 1
            if self._announces:
                self.subscription.heads += 1
                self.heads.notify()

    async def _look(self) -> None:
        while True:
            self.highest = self.block
            self.looks.append(asyncio.get_running_loop().time())
            await self.heads.wait()

    def longest_wait_s(self) -> float:
        return max(later - earlier for earlier, later in pairwise(self.looks))


def played(for_s: float, *, refusing: bool = False, announces: bool = True, block_s: float = 1.0) -> World:
    async def play() -> World:
        world = World(Held(refusing=refusing), announces=announces)
        with pytest.raises(TimeoutError):
            await world.run(for_s, block_s)
        return world

    return run_in_no_time(play(), 0.001)


def test_with_a_subscription_that_was_refused_the_head_is_looked_at_every_poll_interval() -> None:
    world = played(120.0, refusing=True, announces=False)

    assert world.longest_wait_s() <= POLL_S + 0.1


def test_a_subscription_that_speaks_is_kept() -> None:
    world = played(600.0)

    assert 1 == world.subscription.taken


def test_a_subscription_is_not_blamed_where_the_head_stands_still() -> None:
    world = played(600.0, announces=False, block_s=10_000.0)

    assert 1 == world.subscription.taken


def test_a_subscription_that_stays_silent_while_the_head_moves_is_replaced() -> None:
    world = played(600.0, announces=False)

    assert world.subscription.taken >= 5
    # While it is believed, the head is looked at only every ten intervals.
    assert world.longest_wait_s() <= 10 * POLL_S + 0.1


async def test_a_socket_that_answers_and_refuses_to_subscribe_is_connected_and_not_subscribed() -> None:
    chain = Chain()
    chain.mine(3)
    async with FakeNode(chain) as served, aiohttp.ClientSession() as session:
        served.refuses = {"eth_subscribe"}
        endpoint = WebsocketEndpoint(session, served.ws_url, "#1", lambda: None)
        try:
            for _ in range(2):
                with pytest.raises(Refused, match="eth_subscribe"):
                    await endpoint.subscribe(20.0)
            assert ["0x7a69"] == await endpoint.ask([("eth_chainId", [])], 20.0)
            assert 1 == len(served.sockets)

            served.refuses = set()
            await endpoint.subscribe(20.0)
            await served.announce()
            await eventually(lambda: endpoint.heads == 1)
        finally:
            await endpoint.close()


async def test_a_subscription_without_a_name_is_none() -> None:
    chain = Chain()
    chain.mine(3)
    async with FakeNode(chain) as served, aiohttp.ClientSession() as session:
        served.spoil["eth_subscribe"] = lambda _: None
        endpoint = WebsocketEndpoint(session, served.ws_url, "#1", lambda: None)
        try:
            with pytest.raises(BadAnswer, match="name a subscription"):
                await endpoint.subscribe(20.0)
        finally:
            await endpoint.close()
