"""Nodes that fail, refuse and answer nonsense."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from eth_abi.abi import encode
from eth_hash.auto import keccak

from streams.funder import chain_view as chain_module
from streams.funder.chain_view import Chain, ChainError, Head, NodeDown, Reverted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp.test_utils import TestServer
    from pytest_aiohttp.plugin import AiohttpServer

    Answer = Callable[[str, list[Any]], dict[str, Any]]

DIAMOND = "0x" + "d1" * 20
SAID = "0x" + (keccak(b"Error(string)")[:4] + encode(["string"], ["not open"])).hex()
REVERT = {"error": {"code": 3, "message": "execution reverted: not open", "data": SAID}}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_module, "_LOWEST_WAIT_S", 0.0)


class Node:
    """Answers as the test says, after as many failures as it says."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.failures = 0
        self.asked: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        calls = body if isinstance(body, list) else [body]
        self.asked += [call["method"] for call in calls]
        if self.failures:
            self.failures -= 1
            return web.Response(status=503, text="overloaded")
        answers = [{"jsonrpc": "2.0", "id": one["id"], **self.answer(one["method"], one["params"])} for one in calls]
        return web.json_response(answers if isinstance(body, list) else answers[0])


@asynccontextmanager
async def over(aiohttp_server: AiohttpServer, *nodes: Node) -> AsyncIterator[Chain]:
    urls = []
    for node in nodes:
        app = web.Application()
        app.router.add_post("/", node.handle)
        server: TestServer = await aiohttp_server(app)
        urls.append(str(server.make_url("/")))
    chain = Chain(urls, DIAMOND)
    yield chain
    await chain.close()


def words(*values: int) -> dict[str, Any]:
    return {"result": "0x" + b"".join(value.to_bytes(32) for value in values).hex()}


async def test_a_node_that_fails_is_asked_again(aiohttp_server: AiohttpServer) -> None:
    node = Node(lambda method, _: {"result": "0x10" if method == "eth_blockNumber" else "0x7"})
    node.failures = 2
    async with over(aiohttp_server, node) as chain:
        assert Head(16, 7) == await chain.head(DIAMOND)


async def test_another_endpoint_answers_where_one_does_not(aiohttp_server: AiohttpServer) -> None:
    first, second = Node(lambda *_: {"result": "0x1"}), Node(lambda *_: {"result": "0x2"})
    first.failures = 1_000
    async with over(aiohttp_server, first, second) as chain:
        assert [2, 2] == [await chain.chain_id(), await chain.chain_id()]
    assert 1 == len(first.asked)


async def test_it_is_down_where_nobody_answers_and_no_url_is_told(aiohttp_server: AiohttpServer) -> None:
    node = Node(lambda *_: {"error": {"code": -32_000, "message": "header not found"}})
    async with over(aiohttp_server, node) as chain:
        with pytest.raises(NodeDown, match="answer eth_chainId, found header not found"):
            await chain.chain_id()
        node.failures = 1_000
        with pytest.raises(NodeDown) as caught:
            await chain.chain_id()
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        REVERT,
        {"error": {"code": -32_000, "message": "execution reverted: not open"}},
        {"error": {"code": -32_603, "message": "Internal error", "data": {"data": SAID}}},
    ],
)
async def test_a_refusal_of_the_contract_is_no_failure_of_the_node(
    aiohttp_server: AiohttpServer, error: dict[str, Any]
) -> None:
    node = Node(lambda *_: error)
    async with over(aiohttp_server, node) as chain:
        with pytest.raises(Reverted, match="not open"):
            await chain.simulate(DIAMOND, b"")
    assert 1 == len(node.asked)


async def test_an_address_without_the_contract_is_found_out(aiohttp_server: AiohttpServer) -> None:
    async with over(aiohttp_server, Node(lambda *_: {"result": "0x"})) as chain:
        for asking in (chain.signature_valid_s(), chain.pair(DIAMOND, DIAMOND, [1]), chain.quotes([1])):
            with pytest.raises(NodeDown, match="expected the Diamond's answer"):
                await asking
    async with over(aiohttp_server, Node(lambda *_: REVERT)) as chain:
        with pytest.raises(ChainError, match="to know getMuonConfig"):
            await chain.signature_valid_s()


async def test_the_time_is_that_of_the_next_block_where_the_node_knows_it(aiohttp_server: AiohttpServer) -> None:
    blocks = {"pending": {"timestamp": "0x65"}, "latest": {"timestamp": "0x64"}}
    async with over(aiohttp_server, Node(lambda _, params: {"result": blocks.get(params[0])})) as chain:
        assert 101 == await chain.pending_time_s()
        del blocks["pending"]
        assert 100 == await chain.pending_time_s()


@pytest.mark.parametrize(
    ("block", "price", "fees"),
    [
        ({"baseFeePerGas": "0x64"}, "0x6e", (100, 10)),
        ({"baseFeePerGas": "0x64"}, "0x60", (100, 0)),
        ({}, "0x5", (0, 5)),
    ],
)
async def test_the_tip_is_what_the_node_asks_beyond_the_base_fee(
    aiohttp_server: AiohttpServer, block: dict[str, str], price: str, fees: tuple[int, int]
) -> None:
    node = Node(lambda method, _: {"result": price if method == "eth_gasPrice" else block})
    async with over(aiohttp_server, node) as chain:
        assert fees == await chain.fees()


async def test_a_transaction_goes_to_every_endpoint(aiohttp_server: AiohttpServer) -> None:
    said = {"error": {"code": -32_000, "message": "already known"}}
    first, second = Node(lambda *_: said), Node(lambda *_: {"result": "0x01"})
    async with over(aiohttp_server, first, second) as chain:
        second.failures = 1
        assert await chain.send("0x02") is None
        second.answer = first.answer
        assert "already known" == await chain.send("0x02")
    assert 2 == first.asked.count("eth_sendRawTransaction")


async def test_more_quotes_than_a_request_holds_come_in_several(aiohttp_server: AiohttpServer) -> None:
    node = Node(lambda *_: words(32, *range(33)))
    node.answer = lambda *_: words(32, 1, 0, 2, 1, 0, 5, 6, 7, 8, 9, 4, *[0] * 8, 3, 10, 11, 4, *[0] * 6, 77, 0, 0)
    async with over(aiohttp_server, node) as chain:
        quotes = await chain.quotes(list(range(250)))
    assert (250, 250) == (len(quotes), len(node.asked))
    assert (2, 5, 5, 3, 4, 77, f"0x{10:040x}", f"0x{11:040x}") == (
        quotes[0].symbol_id,
        quotes[0].opened_price,
        quotes[0].open_amount,
        quotes[0].max_funding_rate,
        quotes[0].status,
        quotes[0].paid_s,
        quotes[0].party_a,
        quotes[0].party_b,
    )
