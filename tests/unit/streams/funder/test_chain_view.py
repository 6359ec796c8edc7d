"""Nodes that fail, refuse and answer nonsense."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from eth_abi.abi import encode
from eth_hash.auto import keccak

from streams.funder import chain_errors
from streams.funder.agreed_chain import Head
from streams.funder.chain_errors import ChainError, NodeDown
from streams.funder.chain_view import Chain
from streams.node.endpoints import Node, Patience, WrongChain
from streams.node.rpc import HttpEndpoint
from streams.process.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp.test_utils import TestServer
    from pytest_aiohttp.plugin import AiohttpServer

    Answer = Callable[[str, list[Any]], dict[str, Any]]

DIAMOND = "0x" + "d1" * 20
SAID = "0x" + (keccak(b"Error(string)")[:4] + encode(["string"], ["not open"])).hex()
REVERT = {"error": {"code": 3, "message": "execution reverted: not open", "data": SAID}}


class Server:
    """Answers as the test says, after as many failures as it says; what is asked for the chain's id is not counted."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.failures = 0
        self.asked: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        calls = body if isinstance(body, list) else [body]
        if not self.failures and calls[0]["method"] == "eth_chainId":
            return web.json_response({"jsonrpc": "2.0", "id": calls[0]["id"], "result": "0x1"})
        self.asked += [call["method"] for call in calls]
        if self.failures:
            self.failures -= 1
            return web.Response(status=503, text="overloaded")
        answers = [{"jsonrpc": "2.0", "id": one["id"], **self.answer(one["method"], one["params"])} for one in calls]
        return web.json_response(answers if isinstance(body, list) else answers[0])


AT_ONCE = Patience(answer_s=5.0, down_s=(0.0, 0.0))
# A wait is drawn from up to this: none of them is over within a test.
NOT_SOON = Patience(answer_s=5.0, down_s=(1e9, 1e9))


@asynccontextmanager
async def over(aiohttp_server: AiohttpServer, *servers: Server, patience: Patience = AT_ONCE) -> AsyncIterator[Chain]:
    async with aiohttp.ClientSession() as session:
        endpoints: list[HttpEndpoint] = []
        for one in servers:
            app = web.Application()
            app.router.add_post("/", one.handle)
            server: TestServer = await aiohttp_server(app)
            endpoints.append(HttpEndpoint(session, str(server.make_url("/")), f"#{len(endpoints) + 1}"))
        yield Chain(Node("d", endpoints, 1, patience), DIAMOND, SystemClock())


def words(*values: int) -> dict[str, Any]:
    return {"result": "0x" + b"".join(value.to_bytes(32) for value in values).hex()}


async def test_a_node_that_fails_is_asked_again(aiohttp_server: AiohttpServer) -> None:
    node = Server(lambda method, _: {"result": "0x10" if method == "eth_blockNumber" else "0x7"})
    node.failures = 2
    async with over(aiohttp_server, node) as chain:
        assert Head(16, 7) == await chain.head(DIAMOND)


async def test_another_endpoint_answers_where_one_does_not(aiohttp_server: AiohttpServer) -> None:
    first, second = Server(lambda *_: {"result": "0x1"}), Server(lambda *_: {"result": "0x2"})
    first.failures = 1_000
    async with over(aiohttp_server, first, second, patience=NOT_SOON) as chain:
        assert [Head(2, 2)] * 2 == [await chain.head(DIAMOND), await chain.head(DIAMOND)]
    assert 1 == len(first.asked)


async def test_it_is_down_where_nobody_answers_and_no_url_is_told(
    aiohttp_server: AiohttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Server(lambda *_: {"error": {"code": -32_000, "message": "header not found"}})
    async with over(aiohttp_server, node) as chain:
        with pytest.raises(NodeDown, match="answer eth_getCode, found header not found"):
            await chain.has_code(DIAMOND)
        assert 5 == len(node.asked)
        node.failures = 1_000_000
        monkeypatch.setattr(chain_errors, "_ANSWERED_WITHIN_S", 0.1)
        with pytest.raises(NodeDown, match="answer eth_getCode, found no answer") as caught:
            await chain.has_code(DIAMOND)
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        REVERT,
        {"error": {"code": -32_000, "message": "execution reverted: not open"}},
        {"error": {"code": -32_603, "message": "Internal error", "data": {"data": SAID}}},
        {"error": {"code": 3, "message": "execution reverted: not open: too many requests per second"}},
        {"error": {"code": -32_015, "message": "VM execution error.", "data": f"Reverted {SAID}"}},
    ],
)
async def test_a_refusal_of_the_contract_is_no_failure_of_the_node(
    aiohttp_server: AiohttpServer, error: dict[str, Any]
) -> None:
    newest = {"number": "0x10", "timestamp": "0x65"}
    node = Server(lambda method, _: error if method == "eth_call" else {"result": newest})
    async with over(aiohttp_server, node) as chain:
        assert "not open" in str(await chain.refusal(DIAMOND, DIAMOND, b""))
    assert 1 == node.asked.count("eth_call")


async def test_an_address_without_the_contract_is_found_out(aiohttp_server: AiohttpServer) -> None:
    newest = {"number": "0x10", "timestamp": "0x65"}
    empty = Server(lambda method, _: {"result": newest if method == "eth_getBlockByNumber" else "0x"})
    async with over(aiohttp_server, empty) as chain:
        for asking in (chain.signature_valid_s(), chain.pair(DIAMOND, DIAMOND, [1]), chain.quotes([1])):
            with pytest.raises(NodeDown, match="expected the Diamond's answer"):
                await asking
    async with over(aiohttp_server, Server(lambda *_: REVERT)) as chain:
        with pytest.raises(ChainError, match="to know getMuonConfig, found: not open"):
            await chain.signature_valid_s()


async def test_a_view_that_one_state_does_not_know_is_asked_for_elsewhere(aiohttp_server: AiohttpServer) -> None:
    newest = {"result": {"number": "0x10", "timestamp": "0x65"}}

    def answering(view: dict[str, Any]) -> Server:
        return Server(lambda method, _: newest if method == "eth_getBlockByNumber" else view)

    async with over(aiohttp_server, answering(REVERT), answering(words(600, 1))) as chain:
        assert 600 == await chain.signature_valid_s()
        assert (600, 600) == await chain.nonces(DIAMOND, DIAMOND)


async def test_the_time_is_that_of_the_next_block_where_the_node_knows_it(aiohttp_server: AiohttpServer) -> None:
    blocks = {"pending": {"timestamp": "0x65"}, "latest": {"number": "0x1", "timestamp": "0x64"}}
    async with over(aiohttp_server, Server(lambda _, params: {"result": blocks.get(params[0])})) as chain:
        assert 101 == await chain.agreed_time_s()
        del blocks["pending"]
        assert 100 == await chain.agreed_time_s()


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
    newest = {"number": "0x10", "timestamp": "0x65"} | block
    node = Server(lambda method, _: {"result": price if method == "eth_gasPrice" else newest})
    async with over(aiohttp_server, node) as chain:
        assert fees == await chain.fees()


async def test_a_transaction_goes_to_every_endpoint(aiohttp_server: AiohttpServer) -> None:
    said = {"error": {"code": -32_000, "message": "already known"}}
    first, second = Server(lambda *_: said), Server(lambda *_: {"result": "0x01"})
    async with over(aiohttp_server, first, second) as chain:
        second.failures = 1
        assert await chain.send("0x02") is None
        # That the second one refuses what the first one has is no refusal.
        second.answer = lambda *_: {"error": {"code": -32_000, "message": "transaction underpriced"}}
        assert await chain.send("0x02") is None
        first.answer = second.answer
        assert "transaction underpriced" == await chain.send("0x02")
    assert 3 == first.asked.count("eth_sendRawTransaction")


async def test_a_transaction_goes_to_endpoints_that_are_put_aside(aiohttp_server: AiohttpServer) -> None:
    node = Server(lambda *_: {"result": "0x1"})
    node.failures = 1
    async with over(aiohttp_server, node, Server(node.answer), patience=NOT_SOON) as chain:
        await chain.head(DIAMOND)
        assert 1 == len(node.asked)
        assert await chain.send("0x02") is None
    assert "eth_sendRawTransaction" == node.asked[-1]


async def test_another_chain_is_asked_nothing(aiohttp_server: AiohttpServer) -> None:
    node = Server(lambda *_: {"result": "0x1"})
    async with aiohttp.ClientSession() as session:
        app = web.Application()
        app.router.add_post("/", node.handle)
        url = str((await aiohttp_server(app)).make_url("/"))
        chain = Chain(Node("d", [HttpEndpoint(session, url, "#1")], 7, AT_ONCE), DIAMOND, SystemClock())
        with pytest.raises(WrongChain, match="expected chain 7"):
            await chain.head(DIAMOND)
    assert [] == node.asked


async def test_more_quotes_than_a_request_holds_come_in_several(aiohttp_server: AiohttpServer) -> None:
    node = Server(lambda *_: words(32, *range(33)))
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


TX, BLOCK = "0x" + "ab" * 32, "0x" + "0c" * 32
RECEIPT: dict[str, Any] = {
    "transactionHash": TX, "blockNumber": "0x10", "blockHash": BLOCK, "status": "0x1", "gasUsed": "0x5208",
}  # fmt: skip
RIGHT: dict[str, Any] = {
    "eth_getBlockByNumber": {"number": "0x10", "timestamp": "0x65", "baseFeePerGas": "0x64"},
    "eth_getBalance": "0x9",
    "eth_gasPrice": "0x6e",
    "eth_blockNumber": "0x10",
    "eth_getTransactionCount": "0x7",
    "eth_estimateGas": "0x5208",
    "eth_getTransactionReceipt": RECEIPT,
    "eth_getCode": "0x60",
    "eth_call": words(60)["result"],
}
NO_STATUS = {name: value for name, value in RECEIPT.items() if name != "status"}


def telling(**answers: Any) -> Server:  # noqa: ANN401 - JSON
    return Server(lambda method, _: {"result": (RIGHT | answers)[method]})


@pytest.mark.parametrize(
    ("ask", "method", "value"),
    [
        (lambda chain: chain.head(DIAMOND), "eth_blockNumber", Head(16, 7)),
        (lambda chain: chain.head(DIAMOND), "eth_getTransactionCount", Head(16, 7)),
        (lambda chain: chain.balance_wei(DIAMOND), "eth_getBalance", 9),
        (lambda chain: chain.fees(), "eth_gasPrice", (100, 10)),
        (lambda chain: chain.fees(), "eth_getBlockByNumber", (100, 10)),
        (lambda chain: chain.agreed_time_s(), "eth_getBlockByNumber", 101),
        (lambda chain: chain.gas_of(DIAMOND, DIAMOND, b"", 10**6), "eth_estimateGas", 21_000),
        (lambda chain: chain.refusal(DIAMOND, DIAMOND, b""), "eth_call", None),
        (lambda chain: chain.signature_valid_s(), "eth_call", 60),
        (lambda chain: chain.has_code(DIAMOND), "eth_getCode", True),
    ],
)
@pytest.mark.parametrize("wrong", [None, "", "latest", [], 7.5])
async def test_null_or_nonsense_where_a_value_must_be_is_asked_for_at_the_next_endpoint(
    aiohttp_server: AiohttpServer, ask: Callable[[Chain], Any], method: str, value: object, wrong: object
) -> None:
    # Two more, since none tells the time alone.
    async with over(aiohttp_server, telling(**{method: wrong}), telling(), telling()) as chain:
        assert value == await ask(chain)


async def test_a_head_of_a_backend_that_is_behind_is_asked_for_again(aiohttp_server: AiohttpServer) -> None:
    nonces = {"0x64": "0x9", "0x50": "0x5"}
    blocks = ["0x64", "0x50", "0x50", "0x64"]

    def answer(method: str, _params: list[Any]) -> dict[str, Any]:
        # A batch goes to one backend.
        return {"result": blocks[0] if method == "eth_blockNumber" else nonces[blocks.pop(0)]}

    async with over(aiohttp_server, Server(answer)) as chain:
        assert [Head(100, 9)] * 2 == [await chain.head(DIAMOND), await chain.head(DIAMOND)]
    assert not blocks


async def test_an_empty_answer_of_a_view_is_asked_for_at_the_next_endpoint(aiohttp_server: AiohttpServer) -> None:
    async with over(aiohttp_server, telling(eth_call="0x"), telling()) as chain:
        assert 60 == await chain.signature_valid_s()


@pytest.mark.parametrize(
    ("first", "second", "receipt"),
    [
        (RECEIPT, None, (16, True)),
        (RECEIPT | {"status": "0x0"}, None, (16, False)),
        (RECEIPT | {"status": 1, "blockNumber": 16}, None, (16, True)),
        (RECEIPT | {"blockNumber": None, "blockHash": None}, RECEIPT, None),
        (None, RECEIPT, None),
        (NO_STATUS, RECEIPT, (16, True)),
        (RECEIPT | {"status": None}, RECEIPT | {"status": "0x0"}, (16, False)),
        (NO_STATUS, NO_STATUS, (16, None)),
        (NO_STATUS, None, (16, None)),
        (RECEIPT | {"gasUsed": None}, RECEIPT, (16, True)),
        ("0x1", RECEIPT, (16, True)),
    ],
)
async def test_a_receipt_says_mined_reverted_unknown_or_nothing(
    aiohttp_server: AiohttpServer, first: object, second: object, receipt: tuple[int, bool | None] | None
) -> None:
    both = telling(eth_getTransactionReceipt=first), telling(eth_getTransactionReceipt=second)
    async with over(aiohttp_server, *both) as chain:
        found = (await chain.receipts([TX])).get(TX)

    assert receipt == (None if found is None else (found.block, found.succeeded))


@pytest.mark.parametrize("status", [200, 500])
async def test_a_pair_is_read_also_where_no_batches_are_taken(aiohttp_server: AiohttpServer, status: int) -> None:
    node = telling(eth_call=words(*range(1, 15))["result"])
    handle = node.handle

    async def refuse_batches(request: web.Request) -> web.StreamResponse:
        if isinstance(await request.json(), list):
            error = {"code": 31, "message": "Batch of more than 3 requests are not allowed"}
            return web.json_response({"id": None, "error": error}, status=status)
        return await handle(request)

    node.handle = refuse_batches  # type: ignore[assignment, method-assign]
    async with over(aiohttp_server, node) as chain:
        pair = await chain.pair(DIAMOND, DIAMOND, [])

    assert ((1, 1), True) == (pair.nonces, pair.liquidating)


@pytest.mark.parametrize("code", ["0x", "0x0"])
async def test_a_contract_that_a_syncing_endpoint_does_not_have_yet_is_there(
    aiohttp_server: AiohttpServer, code: str
) -> None:
    async with over(aiohttp_server, telling(eth_getCode=code), telling()) as chain:
        assert await chain.has_code(DIAMOND)


def gas_at(price_wei: int, base_wei: int) -> Server:
    def answer(method: str, _: list[Any]) -> dict[str, Any]:
        block = {"number": "0x10", "timestamp": "0x65", "baseFeePerGas": hex(base_wei)}
        return {"result": block if method == "eth_getBlockByNumber" else hex(price_wei)}

    return Server(answer)


async def test_the_lower_fees_of_two_endpoints_count(aiohttp_server: AiohttpServer) -> None:
    async with over(aiohttp_server, gas_at(5_000, 100), gas_at(130, 110)) as chain:
        assert (100, 20) == await chain.fees()


@pytest.mark.parametrize("wrong", [(5_000_000, 100), (1, 0)])
async def test_of_three_endpoints_no_one_decides_what_fees_are(
    aiohttp_server: AiohttpServer, wrong: tuple[int, int]
) -> None:
    async with over(aiohttp_server, gas_at(130, 110), gas_at(*wrong), gas_at(130, 110)) as chain:
        assert (110, 20) == await chain.fees()


async def test_one_endpoint_is_enough_for_fees(aiohttp_server: AiohttpServer) -> None:
    second = gas_at(130, 110)
    second.failures = 1_000
    async with over(aiohttp_server, gas_at(115, 100), second, patience=NOT_SOON) as chain:
        assert (100, 15) == await chain.fees()


async def test_the_quotes_whose_views_revert_are_found_among_others(aiohttp_server: AiohttpServer) -> None:
    def answer(_: str, params: list[Any]) -> dict[str, Any]:
        asked = int(params[0]["data"][10:], 16)
        return REVERT if asked in (3, 6) else words(32, *[0] * 32)

    async with over(aiohttp_server, Server(answer)) as chain:
        assert {3: "not open", 6: "not open"} == await chain.unreadable(range(1, 9))
