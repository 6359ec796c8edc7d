"""The simulator over its two ports, as the connectors of production meet it."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
import msgspec
import orjson
import pytest
from eth_abi.abi import decode, encode

from models.flash.flash_table import built_in_table
from models.prices import MarkTick, mark_of
from tests.support.eventually import eventually
from tidemark.demo.multi_account import selector
from tidemark.demo.node import CHAIN_ID, LOG_LIMIT
from tidemark.demo.server import DemoError, DemoServer, DemoState, load_state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Json = Any
_HASHES_ONLY = False


class _Client:
    def __init__(self, session: aiohttp.ClientSession, description: dict[str, Any]) -> None:
        self.session = session
        self.description = description
        self.deployment = description["deployment"]

    async def post(self, body: Json) -> Json:
        async with self.session.post(self.description["rpc"][0], json=body) as response:
            return await response.json()

    async def rpc(self, method: str, *params: Json) -> Json:
        answer = await self.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        return answer["result"]

    async def block(self, tag: str) -> Json:
        return await self.rpc("eth_getBlockByNumber", tag, _HASHES_ONLY)

    async def block_by_hash(self, block_hash: str) -> Json:
        return await self.rpc("eth_getBlockByHash", block_hash, _HASHES_ONLY)

    async def error(self, method: str, *params: Json) -> Json:
        answer = await self.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        return answer["error"]


@asynccontextmanager
async def _serving(state: DemoState) -> AsyncIterator[DemoServer]:
    server = DemoServer(state)
    await server.start()
    beat = asyncio.create_task(server.run())
    try:
        yield server
    finally:
        beat.cancel()
        await asyncio.gather(beat, return_exceptions=True)
        await server.stop()


@pytest.fixture
def state(tmp_path: Path) -> DemoState:
    return load_state(tmp_path / "demo.json", 1, int(time.time()))


@pytest.fixture
async def client(state: DemoState) -> AsyncIterator[_Client]:
    async with _serving(state) as server, aiohttp.ClientSession() as session:
        yield _Client(session, server.description)


async def test_a_batch_is_answered_in_order(client: _Client) -> None:
    answers = await client.post(
        [
            {"jsonrpc": "2.0", "id": 7, "method": "eth_chainId"},
            {"jsonrpc": "2.0", "id": 8, "method": "eth_nonsense", "params": []},
            {"jsonrpc": "2.0", "id": 9, "method": "eth_getBlockByNumber", "params": ["latest", False]},
        ]
    )

    assert [7, 8, 9] == [answer["id"] for answer in answers]
    assert hex(CHAIN_ID) == answers[0]["result"]
    assert -32_601 == answers[1]["error"]["code"]
    assert 600 <= int(answers[2]["result"]["number"], 16)


@pytest.mark.parametrize(("layer", "least"), [("rollup_rpc", 5), ("base_rpc", 30)])
async def test_both_chains_of_flash_answer_and_go_on(client: _Client, layer: str, least: int) -> None:
    params = [built_in_table().programme, {"encoding": "base64", "withContext": True}]

    async def answer() -> Json:
        asked = {"jsonrpc": "2.0", "id": 1, "method": "getProgramAccounts", "params": params}
        async with client.session.post(client.description["flash"][layer][0], json=asked) as response:
            return (await response.json())["result"]

    first = await answer()
    assert len(first["value"]) >= least

    async def is_later() -> bool:
        return bool((await answer())["context"]["slot"] > first["context"]["slot"])

    await eventually(is_later, 60)


async def test_blocks_are_found_by_number_hash_and_tag(client: _Client) -> None:
    block = await client.block("0x64")
    following = await client.block("0x65")

    assert block == await client.block_by_hash(block["hash"])
    assert block["hash"] == following["parentHash"]
    assert await client.block(hex(10**9)) is None
    final = await client.block("finalized")
    head = int(await client.rpc("eth_blockNumber"), 16)
    assert head - client.deployment["finality_depth"] - 1 <= int(final["number"], 16) < head


async def test_logs_are_refused_beyond_the_limit_and_filtered_by_address_topic_and_block(client: _Client) -> None:
    diamond, venues = client.deployment["diamond"], client.deployment["multi_accounts"]
    error = await client.error("eth_getLogs", {"fromBlock": "0x1", "toBlock": "0x258"})
    logs = await client.rpc("eth_getLogs", {"fromBlock": "0x20", "toBlock": "0x40"})
    of_venues = await client.rpc("eth_getLogs", {"fromBlock": "0x20", "toBlock": "0x40", "address": venues})
    block = await client.block("0x30")
    sent = "0x8a17f103c77224ce4d9bab74dad3bd002cd24cf88d2e191e86d18272c8f135dd"
    by_topic = await client.rpc("eth_getLogs", {"fromBlock": "0x20", "toBlock": "0x40", "topics": [[sent]]})
    by_hash = await client.rpc("eth_getLogs", {"blockHash": block["hash"], "address": [diamond, *venues]})

    assert (-32_005, f"query returned more than {LOG_LIMIT} results") == (error["code"], error["message"])
    assert of_venues == [log for log in logs if log["address"] in venues]
    assert by_topic == [log for log in logs if log["topics"][0] == sent]
    assert by_hash == [log for log in logs if log["blockNumber"] == "0x30"]
    assert {log["transactionHash"] for log in by_hash} <= set(block["transactions"])
    assert list(range(len(by_hash))) == [int(log["logIndex"], 16) for log in by_hash]


async def test_views_answer_at_a_block(client: _Client) -> None:
    data = f"0x{(selector('getSymbols(uint256,uint256)') + encode(['uint256', 'uint256'], [0, 100])).hex()}"
    call = {"to": client.deployment["diamond"], "data": data}

    now = bytes.fromhex((await client.rpc("eth_call", call, "latest"))[2:])
    before = bytes.fromhex((await client.rpc("eth_call", call, "0x0"))[2:])
    kind = ["(uint256,string,bool,uint256,uint256,uint256,uint256,uint256,uint256)[]"]

    assert ["BTCUSDT", "ETHUSDT"] == [symbol[1] for symbol in decode(kind, now)[0][:2]]
    assert () == decode(kind, before)[0]
    assert -32_000 == (await client.error("eth_call", call, hex(10**9)))["code"]
    assert 3 == (await client.error("eth_call", call | {"data": "0xdeadbeef"}, "latest"))["code"]


async def test_new_heads_follow_one_another_by_parent_hash(client: _Client) -> None:
    async with client.session.ws_connect(client.description["rpc"][1]) as socket:
        await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]})
        subscription = (await socket.receive_json(timeout=20))["result"]
        heads = [(await socket.receive_json(timeout=20))["params"] for _ in range(3)]
        await socket.send_json({"jsonrpc": "2.0", "id": 2, "method": "eth_unsubscribe", "params": [subscription]})
        answers = [await socket.receive_json(timeout=20)]
        if "method" in answers[-1]:
            answers.append(await socket.receive_json(timeout=20))

    assert {subscription} == {head["subscription"] for head in heads}
    assert answers[-1]["result"] is True
    results = [head["result"] for head in heads]
    assert all(
        later["parentHash"] == earlier["hash"] or later["number"] == earlier["number"]
        for earlier, later in pairwise(results)
    )


async def test_a_reorganisation_shows_both_branches(tmp_path: Path) -> None:
    now_s = int(time.time())
    begun = load_state(tmp_path / "demo.json", 1, now_s)
    # Block 30 is one that loses its place: begin so that it comes three seconds from now.
    async with (
        _serving(msgspec.structs.replace(begun, genesis_s=now_s - 27)) as server,
        aiohttp.ClientSession() as session,
        session.ws_connect(server.description["rpc"][1]) as socket,
    ):
        client = _Client(session, server.description)
        await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]})
        await socket.receive_json(timeout=20)
        heads: list[Json] = []
        while not heads or int(heads[-1]["number"], 16) < 31:
            heads.append((await socket.receive_json(timeout=20))["params"]["result"])
        lost, kept, after = heads[-3:]

        assert ["0x1e", "0x1e", "0x1f"] == [head["number"] for head in (lost, kept, after)]
        assert lost["parentHash"] == kept["parentHash"] == heads[-4]["hash"]
        assert lost["hash"] != kept["hash"] == after["parentHash"]
        assert kept["hash"] == (await client.block("0x1e"))["hash"]
        assert lost["hash"] == (await client.block_by_hash(lost["hash"]))["hash"]
        call = {"to": client.deployment["diamond"], "data": f"0x{selector('getNextQuoteId()').hex()}"}
        assert -32_000 == (await client.error("eth_call", call, {"blockHash": lost["hash"]}))["code"]
        assert 32 == len(bytes.fromhex((await client.rpc("eth_call", call, {"blockHash": kept["hash"]}))[2:]))


@pytest.mark.parametrize("prefix", ["", "/market"])
async def test_mark_frames_come_bare_or_wrapped_as_the_path_says(client: _Client, prefix: str) -> None:
    base = f"{client.description['websocket']}{prefix}"
    stream = "!markPrice@arr@1s"
    async with (
        client.session.ws_connect(f"{base}/ws/{stream}") as bare,
        client.session.ws_connect(f"{base}/stream?streams={quote(stream)}/ethusdt@bookTicker") as combined,
    ):
        frame = await bare.receive_json(timeout=20)
        envelopes = [await combined.receive_json(timeout=20) for _ in range(2)]

    wrapped = {envelope["stream"]: envelope["data"] for envelope in envelopes}
    assert 12 == len(frame)
    tick = MarkTick(
        source="demo",
        symbol=frame[0]["s"],
        event_ms=frame[0]["E"],
        received_ms=frame[0]["E"],
        mark=frame[0]["p"],
        index=frame[0]["i"],
        funding_rate=frame[0]["r"],
        next_funding_ms=frame[0]["T"],
    )
    assert 50_000 * 10**18 < mark_of(tick, 0).mark_e18 < 200_000 * 10**18
    assert {stream, "ethusdt@bookTicker"} == set(wrapped)
    book = wrapped["ethusdt@bookTicker"]
    mark = next(float(element["p"]) for element in wrapped[stream] if element["s"] == "ETHUSDT")
    assert float(book["b"]) < float(book["a"])
    assert mark == pytest.approx(float(book["b"]), rel=0.01)


async def test_streams_can_be_asked_for_later(client: _Client) -> None:
    async with client.session.ws_connect(f"{client.description['websocket']}/ws") as socket:
        await socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 4})

        assert {"result": None, "id": 4} == await socket.receive_json(timeout=20)
        assert "BTCUSDT" == (await socket.receive_json(timeout=20))["s"]


async def test_the_chain_and_the_venue_tell_the_same_price(state: DemoState) -> None:
    async with _serving(state) as server, aiohttp.ClientSession() as session:
        url = f"{server.description['websocket']}/ws/!markPrice@arr@1s"
        async with session.ws_connect(url) as socket:
            frame = await socket.receive_json(timeout=20)
        at_venue = [Decimal(element["p"]) for element in frame]
        at_contract = [Decimal(mark).scaleb(-18) for _, mark in sorted(server.chain.contract.marks.items())]

    assert at_contract == at_venue
    assert frame[0]["E"] // 1_000 == server.chain.head.time_s


async def test_premium_index_answers_one_market_or_all(client: _Client) -> None:
    url = f"{client.description['rest']}/fapi/v1/premiumIndex"
    async with client.session.get(url) as everything, client.session.get(url, params={"symbol": "SOLUSDT"}) as one:
        answers, answer = await everything.json(), await one.json()
    async with client.session.get(url, params={"symbol": "NOSUCH"}) as unknown:
        refused = unknown.status, (await unknown.json())["code"]

    assert 12 == len(answers)
    assert ("SOLUSDT", True) == (answer["symbol"], float(answer["markPrice"]) > 0)
    assert (400, -1121) == refused


async def _start(data_dir: Path) -> tuple[Process, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tidemark.demo",
        "--data-dir",
        str(data_dir),
        "--state-file",
        str(data_dir / "state.json"),
        stdout=PIPE,
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 120)
    return process, orjson.loads(line)


async def test_a_killed_simulator_continues_the_same_chain_at_the_same_address(tmp_path: Path) -> None:
    first, before = await _start(tmp_path)
    async with aiohttp.ClientSession() as session:
        client = _Client(session, before)
        hashes = [(await client.block(hex(n)))["hash"] for n in (1, 300, 590)]
        first.send_signal(signal.SIGKILL)
        await first.wait()

        second, after = await _start(tmp_path)
        again = [(await client.block(hex(n)))["hash"] for n in (1, 300, 590)]
        head = int(await client.rpc("eth_blockNumber"), 16)

        async def grew() -> bool:
            return int(await client.rpc("eth_blockNumber"), 16) > head

        await eventually(grew)
    second.send_signal(signal.SIGTERM)

    assert before == after
    assert hashes == again
    assert 0 == await asyncio.wait_for(second.wait(), 40)


def test_another_seed_than_the_state_files_is_refused(tmp_path: Path) -> None:
    load_state(tmp_path / "demo.json", 1, 1_795_000_000)

    with pytest.raises(DemoError, match="expected seed 1"):
        load_state(tmp_path / "demo.json", 2, 1_795_000_000)
    (tmp_path / "demo.json").write_text("{}")
    with pytest.raises(DemoError, match="remove it to begin anew"):
        load_state(tmp_path / "demo.json", None, 1_795_000_000)


async def test_a_taken_port_is_named(state: DemoState) -> None:
    async with _serving(state):
        with pytest.raises(DemoError, match=f"expected port {state.rpc_port}"):
            await DemoServer(state).start()
