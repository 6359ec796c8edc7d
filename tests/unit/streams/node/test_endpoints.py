from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio

from streams.node.endpoints import Node, Patience, WrongChain
from streams.node.rpc import HttpEndpoint, Refused, RpcError, TooMuch, WebsocketEndpoint
from tests.support.chain import DIAMOND, Chain
from tests.support.node import FakeNode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from streams.node.rpc import Endpoint

QUICK = Patience(
    answer_s=0.3, down_s=(0.01, 0.02), wrong_chain_s=0.05, older_head_s=60.0, stuck_s=0.0
)  # fmt: skip


class Servers:
    """Two node stand-ins over one chain, and a Node that asks the first, then the second."""

    def __init__(self, first: FakeNode, second: FakeNode, session: aiohttp.ClientSession) -> None:
        self.first = first
        self.second = second
        self.session = session

    def node(self, *endpoints: Endpoint) -> Node:
        both = [HttpEndpoint(self.session, fake.url, fake.url) for fake in (self.first, self.second)]
        return Node("d", endpoints or both, 31337, QUICK)


@pytest_asyncio.fixture
async def servers() -> AsyncIterator[Servers]:
    chain = Chain()
    chain.mine(20)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(FakeNode(chain))
        second = await stack.enter_async_context(FakeNode(chain))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Servers(first, second, session)


async def test_the_first_endpoint_is_asked_while_it_is_in_order(servers: Servers) -> None:
    node = servers.node()

    assert 19 == (await node.head()).number
    assert [] == servers.second.requests


@pytest.mark.parametrize("status", [500, 403, 429, 504])
async def test_a_failing_endpoint_is_put_aside_and_the_next_one_asked(servers: Servers, status: int) -> None:
    servers.first.status = status

    assert 19 == (await servers.node().head()).number
    assert servers.second.requests


async def test_a_hanging_endpoint_is_put_aside(servers: Servers) -> None:
    servers.first.is_hanging = True

    assert 19 == (await servers.node().head()).number


async def test_an_endpoint_of_another_chain_is_put_aside(servers: Servers) -> None:
    servers.first.chain_id = 1
    node = servers.node()

    assert 19 == (await node.head()).number
    assert {"eth_chainId"} == {method for method, _ in servers.first.requests}


async def test_another_chain_at_every_endpoint_is_an_error(servers: Servers) -> None:
    servers.first.chain_id = servers.second.chain_id = 1

    with pytest.raises(WrongChain, match="expected chain 31337"):
        await servers.node().head()


async def test_an_older_head_than_ours_is_put_aside(servers: Servers) -> None:
    servers.first.lag_blocks = 10
    node = servers.node()
    node.expect_head(19)

    assert 19 == (await node.head()).number


async def test_an_older_head_than_the_other_endpoints_is_put_aside(servers: Servers) -> None:
    servers.first.lag_blocks = 10
    node = servers.node()
    await node.head()

    assert 19 == (await node.head()).number


async def test_a_head_a_block_or_two_behind_is_taken(servers: Servers) -> None:
    servers.first.lag_blocks = 2
    node = servers.node()
    node.expect_head(19)

    assert 17 == (await node.head()).number


async def test_a_head_that_the_endpoint_itself_does_not_have_is_not_believed_and_makes_no_other_one_old(
    servers: Servers,
) -> None:
    leaps = iter([True])
    servers.first.spoil["eth_getBlockByNumber"] = lambda block: (
        block | {"number": hex(1_000), "hash": "0x" + "9" * 64} if next(leaps, False) else block
    )
    node = servers.node()

    assert (19, 19) == ((await node.head()).number, node.highest)
    # Its next answer counts: it is not taken for one that is behind, and put aside for a minute.
    servers.second.status = 503
    async with asyncio.timeout(10.0):
        assert 19 == (await node.head()).number


async def test_another_block_than_the_one_asked_for_is_asked_for_at_the_next_endpoint(servers: Servers) -> None:
    servers.first.spoil["eth_getBlockByNumber"] = lambda block: block and block | {"number": "0x3"}

    headers = await servers.node().headers([7, 8])

    assert [7, 8] == [header.number for header in headers if header is not None]
    assert 9 == (await servers.node().header_of_past(9)).number


async def test_all_endpoints_down_is_waited_out(servers: Servers) -> None:
    servers.first.status = servers.second.status = 503
    asking = asyncio.create_task(servers.node().head())
    done, _ = await asyncio.wait([asking], timeout=0.1)
    servers.second.status = 200

    assert set() == done
    assert 19 == (await asyncio.wait_for(asking, 20)).number


async def test_a_malformed_answer_is_asked_for_at_the_next_endpoint(servers: Servers) -> None:
    servers.first.spoil["eth_getBlockByNumber"] = lambda _: {"number": "zwölf"}

    assert 19 == (await servers.node().head()).number


async def test_what_one_endpoint_refuses_the_next_may_answer(servers: Servers) -> None:
    servers.second.finalized_depth = 4

    assert 15 == await servers.node().finalized()


async def test_what_all_refuse_is_refused(servers: Servers) -> None:
    with pytest.raises(Refused, match="does not exist"):
        await servers.node().ask([("eth_nonsense", [])], list)


async def test_no_finalized_tag_is_none(servers: Servers) -> None:
    assert await servers.node().finalized() is None


async def test_too_many_results_are_told_to_the_caller(servers: Servers) -> None:
    servers.first.max_results = 3

    with pytest.raises(TooMuch):
        await servers.node().ask([logs_query(0, 9)], list, is_divisible=True)


async def test_a_batch_too_large_is_divided(servers: Servers) -> None:
    limit = 8

    def refuse_large(size: int) -> bool:
        return size > limit

    servers.first.refuses_batch = refuse_large
    headers = await servers.node().headers(range(20))

    assert list(range(20)) == [header.number for header in headers if header is not None]


async def test_a_websocket_endpoint_answers_and_tells_of_heads(servers: Servers) -> None:
    heads = asyncio.Event()
    endpoint = WebsocketEndpoint(servers.session, servers.first.ws_url, "#1", heads.set)
    try:
        assert 19 == (await servers.node(endpoint).head()).number
        await servers.first.announce()
        await asyncio.wait_for(heads.wait(), 20)
    finally:
        await endpoint.close()


async def test_a_websocket_that_closes_is_an_error_and_is_opened_again(servers: Servers) -> None:
    endpoint = WebsocketEndpoint(servers.session, servers.first.ws_url, "#1", lambda: None)
    try:
        node = servers.node(endpoint)
        await node.head()
        for socket in list(servers.first.sockets):
            await socket.close()

        assert 19 == (await asyncio.wait_for(node.head(), 20)).number
    finally:
        await endpoint.close()


async def test_errors_do_not_tell_the_url(servers: Servers) -> None:
    endpoint = HttpEndpoint(servers.session, "http://127.0.0.1:1/secret-key", "#1")

    with pytest.raises(RpcError) as raised:
        await endpoint.ask([("eth_chainId", [])], 1.0)

    assert "secret" not in str(raised.value)


def logs_query(first: int, last: int) -> tuple[str, list[Any]]:
    return "eth_getLogs", [{"fromBlock": hex(first), "toBlock": hex(last), "address": [DIAMOND]}]
