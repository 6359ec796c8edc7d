"""What a refusal means follows from what was asked: ranges and batches divide, the rest goes elsewhere (kinds B, C)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import orjson
import pytest

from streams.ingest.symmio.ranges import LogRange
from streams.node.blocks import read_logs
from streams.node.endpoints import Node, Patience
from streams.node.rpc import Refused, RpcError, TooMuch, WebsocketEndpoint
from tests.support.chain import Chain
from tests.support.hostile_node import Exchange, HostileNode, Traits, View, serving
from tests.support.scripted_node import CHAIN_ID, Refusal, ScriptedNode, logs_query, node_over
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

BLOCKS = 400
REFUSALS = [
    (-32602, "block range extends beyond current head block", 200),
    (-32005, "You've exceeded the RPS limit available on the current plan.", 200),
    (35, "ranges over 200 blocks are not supported on freetier", 200),
    (-32005, "limit exceeded", 200),
    (-32000, "query returned more than 10000 results", 200),
    (-32600, "eth_getLogs is limited to a 10 range", 400),
    (-32603, "internal error", 500),
    (-32000, "Zu viele Blöcke", 200),
    (429, "daily request count exceeded, request rate limited", 429),
    (0, "", 413),
]  # fmt: skip
BATCH_REFUSALS = [
    (200, {"id": None, "error": {"code": 31, "message": "Batch of more than 3 requests are not allowed"}}),
    (500, {"id": None, "error": {"code": 31, "message": "Batch of more than 3 requests are not allowed"}}),
    (200, {"error": {"code": -32600, "message": "batch requests are disabled"}}),
    (200, [{"id": None, "error": {"code": -32005, "message": "batch limit exceeded"}}]),
    (400, {"jsonrpc": "2.0", "id": None, "error": "no batches"}),
    (413, "request entity too large"),
    (500, "<html>oops</html>"),
    (429, "slow down"),
]


@pytest.fixture
def chain() -> Chain:
    made = Chain()
    made.mine(BLOCKS)
    return made


async def read_history(node: Node, last: int = BLOCKS - 1) -> list[int]:
    """Read all logs as backfill does; gives the numbers of their blocks."""
    width, numbers, first = LogRange("d"), list[int](), 0
    while first <= last:
        end = width.end(first, last)
        try:
            query = logs_query(first, end)
            found = await node.ask([query], lambda results: read_logs(results[0]), is_divisible=end > first)
        except TooMuch as error:
            width.narrow(first, end, error)
            continue
        numbers += [log.number for log in found.logs]
        width.widen(len(found.logs))
        first = end + 1
    return numbers


def refusing(
    code: int, message: str, status: int, *, above: int, until_s: float = float("inf")
) -> Callable[[str, list[Any]], None]:
    """Refuses ranges of more than ``above`` blocks, for a time."""

    def rule(method: str, params: list[Any]) -> None:
        if method == "eth_getLogs" and asyncio.get_running_loop().time() < until_s:
            query = params[0]
            if int(query["toBlock"], 16) - int(query["fromBlock"], 16) + 1 > above:
                raise Refusal(code, message, status)

    return rule


@pytest.mark.parametrize(("code", "message", "status"), REFUSALS)
def test_a_range_that_is_refused_in_whatever_words_is_divided_and_its_width_remembered(
    chain: Chain, code: int, message: str, status: int
) -> None:
    served = ScriptedNode(chain)
    served.rule = refusing(code, message, status, above=10)

    async def read() -> tuple[list[int], list[int]]:
        node = node_over(served)
        first = await read_history(node)
        served.asked.clear()
        return first, await read_history(node)

    first, second = run_in_no_time(read())

    assert list(range(BLOCKS)) == first == second
    # What was found out is not found out again, but for a careful try of more now and then.
    assert max(served.widths()) <= 13
    assert sum(width > 10 for width in served.widths()) <= 10


@pytest.mark.parametrize(("code", "message", "status"), REFUSALS)
def test_an_endpoint_that_refuses_all_logs_is_passed_over_and_the_next_ones_width_is_its_own(
    chain: Chain, code: int, message: str, status: int
) -> None:
    first, second = ScriptedNode(chain), ScriptedNode(chain)
    first.rule = refusing(code, message, status, above=0)

    assert list(range(BLOCKS)) == run_in_no_time(read_history(node_over(first, second)))
    assert len(second.widths()) <= 20
    assert max(second.widths()) > 50


@pytest.mark.parametrize(("code", "message", "status"), REFUSALS)
def test_a_refusal_of_a_while_is_waited_out_also_for_a_single_block(
    chain: Chain, code: int, message: str, status: int
) -> None:
    served = ScriptedNode(chain)
    served.rule = refusing(code, message, status, above=0, until_s=60.0)

    async def read() -> list[int]:
        node = node_over(served)
        while True:
            try:
                return await read_history(node)
            except TooMuch:
                raise
            except RpcError:
                # Who follows a chain tries again.
                await asyncio.sleep(1.0)

    assert list(range(BLOCKS)) == run_in_no_time(read())


def test_a_width_that_was_refused_is_tried_larger_after_a_while(chain: Chain) -> None:
    served = ScriptedNode(chain)
    served.rule = refusing(-32005, "limit exceeded", 200, above=10, until_s=30.0)

    async def read() -> None:
        node = node_over(served)
        await read_history(node)
        await asyncio.sleep(60.0)
        served.asked.clear()
        await read_history(node)
        await read_history(node)

    run_in_no_time(read())

    assert max(served.widths()) > 50


def test_a_refusal_of_a_moment_does_not_narrow_what_was_taken_before(chain: Chain) -> None:
    served = ScriptedNode(chain)

    async def read() -> None:
        node = node_over(served)
        await read_history(node)
        fault = iter([Refusal(-32000, "try again")])

        def once(method: str, _params: list[Any]) -> None:
            if method == "eth_getLogs" and (refusal := next(fault, None)) is not None:
                raise refusal

        served.rule = once
        served.asked.clear()
        await read_history(node)

    run_in_no_time(read())

    assert [BLOCKS, BLOCKS] == served.widths()


def test_what_cannot_be_divided_goes_to_the_next_endpoint(chain: Chain) -> None:
    first, second = ScriptedNode(chain), ScriptedNode(chain)

    def refuse(method: str, _params: list[Any]) -> None:
        if method != "eth_chainId":
            raise Refusal(-32005, "limit exceeded")

    first.rule = refuse

    async def ask() -> list[int]:
        node = node_over(first, second)
        return [(await node.head()).number for _ in range(10)]

    assert [BLOCKS - 1] * 10 == run_in_no_time(ask())
    # What it does not answer, though another one does, it is not asked every time.
    assert 2 == len(first.asked)


def test_what_all_refuse_is_asked_again_after_a_while_and_then_told(chain: Chain) -> None:
    served = ScriptedNode(chain)

    async def ask() -> float:
        with pytest.raises(Refused, match="does not exist"):
            await node_over(served).ask([("eth_nonsense", [])], list)
        return asyncio.get_running_loop().time()

    took_s = run_in_no_time(ask())

    assert 5 == [method for method, _ in served.asked].count("eth_nonsense")
    assert 0.1 < took_s < 10.0


def exchange_of(status: int, answer: object) -> Exchange:
    return Exchange(status, answer.encode() if isinstance(answer, str) else orjson.dumps(answer), 0.01)


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize(("status", "answer"), BATCH_REFUSALS)
def test_a_batch_that_is_refused_in_whatever_form_is_divided_and_its_size_remembered(
    chain: Chain, status: int, answer: object, most: int
) -> None:
    served = ScriptedNode(chain)
    served.batch_rule = lambda size: exchange_of(status, answer) if size > most else None

    async def ask() -> list[int]:
        node = node_over(served)
        await node.headers(range(40))
        served.sizes.clear()
        return [header.number for header in await node.headers(range(40)) if header is not None]

    assert list(range(40)) == run_in_no_time(ask())
    assert sum(size > most for size in served.sizes) <= 8


def test_a_batch_every_call_of_which_is_refused_is_divided(chain: Chain) -> None:
    served = ScriptedNode(chain)

    def refuse_each(size: int) -> Exchange | None:
        ids = range(1, 1_000)
        error = {"code": -32005, "message": "batch too large"}
        return exchange_of(200, [{"id": one, "error": error} for one in ids]) if size > 3 else None

    served.batch_rule = refuse_each

    async def ask() -> list[int]:
        return [header.number for header in await node_over(served).headers(range(40)) if header is not None]

    assert list(range(40)) == run_in_no_time(ask())


def test_calls_that_are_to_be_of_one_state_are_answered_by_one_endpoint_though_it_takes_no_batches(
    chain: Chain,
) -> None:
    first, second = ScriptedNode(chain), ScriptedNode(chain)
    first.batch_rule = lambda _size: exchange_of(200, {"id": None, "error": {"code": 1, "message": "disabled"}})

    async def ask() -> int:
        header = ("eth_getBlockByNumber", ["0x9", False])
        results = await node_over(first, second).ask([logs_query(0, 9), header], list, is_divisible=True)
        return len(results[0]) + int(results[1]["number"], 16)

    assert 19 == run_in_no_time(ask())
    assert [] == second.asked


def test_a_batch_size_that_was_refused_is_tried_larger_after_a_while(chain: Chain) -> None:
    served = ScriptedNode(chain)

    def refuse_for_a_while(size: int) -> Exchange | None:
        is_early = asyncio.get_running_loop().time() < 30.0
        return exchange_of(413, "too large") if size > 3 and is_early else None

    served.batch_rule = refuse_for_a_while

    async def ask() -> None:
        node = node_over(served)
        await node.headers(range(40))
        await asyncio.sleep(60.0)
        served.sizes.clear()
        for _ in range(5):
            await node.headers(range(200))

    run_in_no_time(ask())

    assert max(served.sizes) > 20


def test_the_answers_of_a_batch_are_kept_where_one_call_is_refused(chain: Chain) -> None:
    first, second = ScriptedNode(chain), ScriptedNode(chain)

    def refuse_one(method: str, params: list[Any]) -> None:
        if method == "eth_getBlockByNumber" and params[0] == "0x7":
            raise Refusal(-32000, "missing trie node")

    first.rule = refuse_one

    async def ask() -> list[int]:
        return [header.number for header in await node_over(first, second).headers(range(20)) if header is not None]

    assert list(range(20)) == run_in_no_time(ask())
    assert [("eth_getBlockByNumber", ["0x7", False])] == [call for call in second.asked if call[0] != "eth_chainId"]


def test_ids_that_are_texts_are_those_of_the_calls(chain: Chain) -> None:
    served = ScriptedNode(chain)
    plain = served.exchange

    def spelled(body: bytes) -> Exchange:
        status, answer, takes_s = plain(body)
        answers = orjson.loads(answer)
        for one in answers if isinstance(answers, list) else [answers]:
            one["id"] = str(one["id"])
        return Exchange(status, orjson.dumps(answers), takes_s)

    served.exchange = spelled  # type: ignore[method-assign]

    async def ask() -> list[int]:
        return [header.number for header in await node_over(served).headers(range(20)) if header is not None]

    assert list(range(20)) == run_in_no_time(ask())
    assert [1, 20] == served.sizes


@pytest.mark.parametrize("spelling", ["0x7A69", "0x07a69", 31_337, "31337"])
def test_a_chain_id_in_another_spelling_is_that_of_the_chain(chain: Chain, spelling: object) -> None:
    served = ScriptedNode(chain)
    served.edits["eth_chainId"] = lambda _: spelling

    async def ask() -> int:
        return (await node_over(served).head()).number

    assert BLOCKS - 1 == run_in_no_time(ask())


@pytest.mark.parametrize("method", ["eth_chainId", "eth_getBlockByNumber"])
def test_null_where_a_value_must_be_is_asked_for_at_the_next_endpoint(chain: Chain, method: str) -> None:
    first, second = ScriptedNode(chain), ScriptedNode(chain)
    first.edits[method] = lambda _: None

    async def ask() -> int:
        return (await node_over(first, second).head()).number

    assert BLOCKS - 1 == run_in_no_time(ask())
    assert second.asked


async def test_an_endpoint_that_closes_its_websocket_on_wide_ranges_is_asked_for_narrower_ones(chain: Chain) -> None:
    hostile = HostileNode(lambda: View(chain.blocks, {}), Traits(hang_up=True, range_max=100), 1)
    async with serving(hostile) as url, aiohttp.ClientSession() as session:
        endpoint = WebsocketEndpoint(session, url.replace("http", "ws"), "#1", lambda: None)
        node = Node("d", [endpoint], CHAIN_ID, Patience(down_s=(0.01, 0.02)))
        try:
            async with asyncio.timeout(10.0):
                assert list(range(BLOCKS)) == await read_history(node)
        finally:
            await endpoint.close()


def test_a_proven_pair_of_calls_is_not_taken_apart_where_a_part_is_refused_for_a_while(chain: Chain) -> None:
    served = ScriptedNode(chain)
    pair = [logs_query(0, 0), ("eth_getBlockByNumber", ["0x0", False])]

    async def ask() -> None:
        node = node_over(served)
        await node.ask(pair, list)
        faults = iter([Refusal(-32005, "later")] * 6)

        def refuse_headers(method: str, _params: list[Any]) -> None:
            if method == "eth_getBlockByNumber" and (refusal := next(faults, None)) is not None:
                raise refusal

        served.rule = refuse_headers
        served.sizes.clear()
        await node.ask(pair, list)

    run_in_no_time(ask())

    assert {2} == set(served.sizes)
