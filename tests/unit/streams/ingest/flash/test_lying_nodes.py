"""The ingest of Flash against nodes that say what is not so: of slots, times, accounts and anything else."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import orjson
import pytest

from models.errors import BadRecord
from models.flash.chain_accounts import FLASH_ACCOUNTS, FLASH_REFERENCES
from models.flash.flash_accounts import encode_account
from models.flash.flash_references import decode_reference
from streams.ingest.flash.account_book import News
from streams.ingest.flash.layer_node import LayerNode
from streams.ingest.flash.slot_bound import SlotAhead, SlotBound
from streams.ingest.flash.solana_answers import CLOCK_ADDRESS, SeenAccount
from streams.process.backoff import Backoff
from streams.process.clock import SystemClock
from tests.support.eventually import eventually
from tests.support.flash import NOW_S, OWNER, PROGRAMME, SOL_LONG, basket, basket_of, position, references, text
from tests.support.flash import said as account_said
from tests.support.followed_flash import BASKET, OTHER, CountingNode, World
from tests.support.hostile_solana import RecordingOutlet, following, going_on, journal_of
from tidemark.demo.solana_node import SolanaNode


@pytest.mark.parametrize(
    "frame",
    [
        b'{"jsonrpc":"2.0","id":[],"result":1}',
        b'{"jsonrpc":"2.0","id":{},"result":1}',
        b'{"method":"x","params":' + b"[" * 1_000 + b"]" * 1_000 + b"}",
    ],
)
async def test_a_node_that_answers_nonsense_does_not_end_the_ingest(frame: bytes) -> None:
    world = World()
    async with world.followed(reread_ms=60_000) as (_, rollup):
        await eventually(lambda: bool(rollup.sockets), 60)
        first = next(iter(rollup.sockets))
        await first.send_str(frame.decode())
        await eventually(lambda: first not in rollup.sockets, 60)
        world.rollup.put(basket_of(), PROGRAMME, BASKET)
        await world.until_said(1)


async def test_an_answer_that_cannot_even_be_shown_is_a_fault_of_its_endpoint() -> None:
    deep = b'{"jsonrpc":"2.0","id":1,"result":{"value":' + b"[" * 1_000 + b"]" * 1_000 + b"}}"

    class Endpoint:
        label = "#1"

        def __init__(self, result: Any) -> None:  # noqa: ANN401
            self.result = result

        async def ask(self, calls: Any, timeout_s: float) -> list[Any]:  # noqa: ANN401, ARG002
            return [self.result]

        async def close(self) -> None:
            return

    good = Endpoint({"context": {"slot": 1}, "value": []})
    bad = Endpoint(orjson.loads(deep)["result"])
    bound = SlotBound(SystemClock(), "rollup")
    bound.begin([1])
    node = LayerNode("flash", "rollup", [bad, good], commitment="confirmed", bound=bound, backoff=Backoff(0.01, 0.1))
    assert (await node.programme_accounts(PROGRAMME, "Basket")).slot == 1


class LyingNode(SolanaNode):
    """Says now and then that the chain has come to the last slot that there can be, in answers and notifications."""

    is_lying = True
    lies = 0

    def answer(self, method: str, params: list[Any]) -> Any:  # noqa: ANN401 - as of the node
        result = super().answer(method, params)
        if isinstance(result, dict) and self.is_lying and self.asked_often():
            result = {**result, "context": {"slot": 2**63 - 1}}
        return result

    def frames(self, change: Any, number: int, subscription: Any) -> list[bytes]:  # noqa: ANN401 - as of the node
        frames = super().frames(change, number, subscription)
        if not self.is_lying or not self.asked_often():
            return frames
        return [frame.replace(b'"slot":%d' % change.slot, b'"slot":%d' % (2**63 - 1)) for frame in frames]

    def asked_often(self) -> bool:
        self.lies += 1
        return self.lies % 2 == 0


async def test_a_slot_that_no_chain_can_have_come_to_keeps_no_later_state_of_a_basket_back() -> None:
    world = World()
    world.rollup.put(basket_of(), PROGRAMME, BASKET)
    nodes = SolanaNode(world.base), LyingNode(world.rollup)
    async with following([nodes[0]], [nodes[1]], world.outlet, reread_ms=100) as followed:
        slots = asyncio.create_task(going_on(world.base, world.rollup))
        try:
            await world.until_said(1)
            await eventually(lambda: nodes[1].lies > 40, 60)
            world.rollup.put(basket_of(), PROGRAMME, OTHER)
            await world.until_said(2)
            heard_ms = followed.followers["rollup"].heard_ms
            await eventually(lambda: followed.followers["rollup"].heard_ms > heard_ms, 60)
        finally:
            slots.cancel()
    said = world.said()
    assert len(said) == 2
    assert said[-1]["slot"] < 10**6


class EmptyNode(SolanaNode):
    """Lists no account, and says null of each that it is asked for."""

    nulls = 0

    def answer(self, method: str, params: list[Any]) -> Any:  # noqa: ANN401 - as of the node
        result = super().answer(method, params)
        if method == "getProgramAccounts":
            return {**result, "value": []}
        if method != "getMultipleAccounts":
            return result
        self.nulls += 1
        return {**result, "value": [None] * len(result["value"])}


async def test_one_endpoint_alone_closes_no_basket_and_two_that_agree_do() -> None:
    world = World()
    owners = [text(f"owner {number}") for number in range(250)]
    for owner in owners:
        world.rollup.put(basket_of(owner), PROGRAMME, encode_account(basket(position(SOL_LONG), owner=owner)))
    empty = EmptyNode(world.rollup)
    honest = CountingNode(world.rollup)
    nodes = [honest, empty]
    async with following([SolanaNode(world.base)], nodes, world.outlet, reread_ms=100):
        await world.until_said(len(owners))
        slots = asyncio.create_task(going_on(world.base, world.rollup))
        try:
            honest.refuses, nulls = True, empty.nulls
            await eventually(lambda: empty.nulls > nulls + 12, 60)
            assert [one["kind"] for one in world.said()] == ["account"] * len(owners)
            honest.refuses = False
            world.rollup.close(basket_of(owners[3]))
            said = await world.until_said(len(owners) + 1)
        finally:
            slots.cancel()
    assert [(one["kind"], one["pubkey"]) for one in said[len(owners) :]] == [("closed", basket_of(owners[3]))]


class AheadNode(SolanaNode):
    """Says from the start that its chain is far beyond where it is, and not beyond what a chain can have come to."""

    def shown_slot(self) -> int:
        return self.chain.slot + 9_000_000_000

    def frames(self, change: Any, number: int, subscription: Any) -> list[bytes]:  # noqa: ANN401 - as of the node
        told, lie = b'"slot":%d' % change.slot, b'"slot":%d' % self.shown_slot()
        return [frame.replace(told, lie) for frame in super().frames(change, number, subscription)]


@pytest.mark.parametrize("is_liar_first", [True, False])
async def test_a_lie_that_is_the_first_word_of_a_chain_freezes_no_basket_that_stands(*, is_liar_first: bool) -> None:
    world = World()
    world.rollup.slot = 400_000_000
    world.rollup.put(basket_of(), PROGRAMME, BASKET)
    nodes = [AheadNode(world.rollup), SolanaNode(world.rollup)]
    async with following([SolanaNode(world.base)], nodes if is_liar_first else nodes[::-1], world.outlet):
        await world.until_said(1)
        world.rollup.slot += 30
        world.rollup.put(basket_of(), PROGRAMME, OTHER)
        said = await world.until_said(2)
    assert [one["slot"] for one in said] == [400_000_000, 400_000_030]


async def test_after_a_restart_a_record_of_an_absurd_slot_is_as_if_it_were_not() -> None:
    outlet = RecordingOutlet()
    journal = journal_of(outlet)
    journal.restore(OWNER, account_said(basket(position(SOL_LONG)), slot=10**12))
    assert not journal.bounds["rollup"].is_known
    assert await journal.take("rollup", SeenAccount(basket_of(), PROGRAMME, BASKET, 400_000_030)) is News.NEWER


async def test_after_a_restart_a_slot_is_bounded_by_what_the_topics_have() -> None:
    world = World()
    world.rollup.put(basket_of(), PROGRAMME, BASKET)
    async with world.followed():
        await world.until_said(1)
        await eventually(lambda: len(world.outlet.of(FLASH_REFERENCES)) > len(references()), 60)
    journal = journal_of(world.outlet)
    for topic in (FLASH_ACCOUNTS, FLASH_REFERENCES):
        for record_key, value in world.outlet.of(topic):
            journal.restore(record_key.decode().partition(":")[2], value)
    for bound in journal.bounds.values():
        with pytest.raises(SlotAhead, match="expected a slot of at most"):
            bound.take(10**11)
        bound.take(100)


async def test_the_time_of_a_chain_is_never_that_of_an_older_slot_also_after_a_restart() -> None:
    outlet = RecordingOutlet()
    journal = journal_of(outlet)
    await journal.say_clock("base", 7, NOW_S)
    await journal.say_clock("base", 6, NOW_S - 60)
    (said,) = outlet.of(FLASH_REFERENCES)
    again = journal_of(outlet)
    again.restore("clock", said[1])
    await again.say_clock("base", 7, NOW_S - 60)
    assert len(outlet.records) == 1
    await again.say_clock("base", 8, NOW_S + 1)
    assert [json.loads(value or b"")["slot"] for _, value in outlet.of(FLASH_REFERENCES)] == [7, 8]


class HastyNode(SolanaNode):
    """Says that its chain is ten years ahead of where it is."""

    def answer(self, method: str, params: list[Any]) -> Any:  # noqa: ANN401 - as of the node
        result = super().answer(method, params)
        if method != "getMultipleAccounts" or params[0] != [CLOCK_ADDRESS]:
            return result
        shown = result["value"][0]
        clock = bytearray(base64.b64decode(shown["data"][0]))
        clock[32:40] = (SystemClock().now_ms() // 1_000 + 10 * 365 * 86_400).to_bytes(8, "little")
        return {**result, "value": [{**shown, "data": [base64.b64encode(clock).decode(), "base64"]}]}


async def test_a_time_of_the_future_is_a_fault_of_its_endpoint_and_another_one_is_asked() -> None:
    world = World()
    hasty = HastyNode(world.base)
    async with following([hasty, SolanaNode(world.base)], [SolanaNode(world.rollup)], world.outlet):
        slots = asyncio.create_task(going_on(world.base, world.rollup))
        await eventually(lambda: len(world.times()) > 3, 60)
        slots.cancel()
    times = world.times()
    assert times == sorted(times)
    assert set(times) <= set(range(NOW_S, NOW_S + world.base.slot))


def test_a_record_of_a_time_of_the_future_is_refused() -> None:
    said = {"kind": "clock", "layer": "base", "slot": 1, "unix_s": NOW_S + 60, "received_ms": NOW_S * 1_000}
    assert decode_reference("clock", orjson.dumps(said)).unix_s == NOW_S + 60  # type: ignore[union-attr]
    with pytest.raises(BadRecord, match=f"at most 60000 ms after {NOW_S}000, found {NOW_S + 61} s"):
        decode_reference("clock", orjson.dumps({**said, "unix_s": NOW_S + 61}))
