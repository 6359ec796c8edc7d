"""The ingest of Flash against nodes of both chains that are in order: what it writes, once, and what it passes over."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp import web
from pydantic import SecretStr

from models.errors import BadRecord
from models.flash.chain_accounts import FLASH_ACCOUNTS, FLASH_REFERENCES, SAID_BYTES_MAX
from models.flash.flash_accounts import DISCRIMINATORS, Basket, encode_account
from models.flash.flash_references import decode_reference
from streams.ingest.flash import flash_follow
from streams.ingest.flash.account_book import News
from streams.ingest.flash.layer_node import LayerNode
from streams.ingest.flash.layer_urls import LayerUrls
from streams.ingest.flash.slot_bound import SlotAhead, SlotBound
from streams.ingest.flash.solana_answers import (
    CLOCK_ADDRESS,
    SeenAccount,
    clock_unix_s,
    read_accounts,
    read_notification,
    read_programme_accounts,
)
from streams.node.rpc import BadAnswer
from streams.process.backoff import Backoff
from streams.process.clock import SystemClock
from streams.settings import BadSettings
from tests.support.eventually import eventually
from tests.support.flash import (
    CUSTODIES,
    DELEGATION,
    NOW_S,
    OWNER,
    PROGRAMME,
    SOL_LONG,
    basket,
    basket_of,
    ledger,
    position,
    references,
    text,
)
from tests.support.flash import said as account_said
from tests.support.hostile_solana import RecordingOutlet, following, going_on, journal_of, two_chains
from tests.support.yellowstone import YellowstoneServer
from tidemark.demo.solana_node import SolanaNode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tidemark.demo.solana_node import SolanaChain

BASKET = encode_account(basket(position(SOL_LONG)))
OTHER = encode_account(basket(position(SOL_LONG, "100")))


class World:
    """Two chains, a node of each, and what the ingest wrote."""

    def __init__(self) -> None:
        self.base, self.rollup = two_chains()
        self.outlet = RecordingOutlet()

    @asynccontextmanager
    async def followed(self, *, reread_ms: int = 100) -> AsyncIterator[tuple[SolanaNode, SolanaNode]]:
        nodes = SolanaNode(self.base), SolanaNode(self.rollup)
        async with following([nodes[0]], [nodes[1]], self.outlet, reread_ms=reread_ms) as followed:
            for follower in followed.followers.values():
                await eventually(follower.is_read.is_set, 60)
            slots = asyncio.create_task(going_on(self.base, self.rollup))
            try:
                yield nodes
            finally:
                slots.cancel()

    def said(self) -> list[dict[str, Any]]:
        return [json.loads(value or b"null") for _, value in self.outlet.of(FLASH_ACCOUNTS)]

    def times(self) -> list[int]:
        clocks = (value for key, value in self.outlet.of(FLASH_REFERENCES) if key == b"flash:clock")
        return [json.loads(value or b"")["unix_s"] for value in clocks]

    async def until_said(self, count: int) -> list[dict[str, Any]]:
        await eventually(lambda: len(self.said()) >= count, 60)
        return self.said()


class CountingNode(SolanaNode):
    """Counts the questions that it is asked, and may refuse them."""

    asked = 0
    refuses = False

    def respond(self, body: bytes) -> bytes:
        self.asked += 1
        return b"" if self.refuses and b"getSlot" not in body else super().respond(body)


async def test_accounts_are_written_raw_under_their_owner_and_references_under_their_names() -> None:
    world = World()
    world.rollup.put(basket_of(), PROGRAMME, BASKET)
    world.base.put(text("ledger"), PROGRAMME, encode_account(ledger(("USDC", 5))))
    async with world.followed():
        said = {one["account"]: one for one in await world.until_said(2)}
        names = {f"flash:{name}".encode() for name in references()}
        await eventually(lambda: names == {key for key, _ in world.outlet.of(FLASH_REFERENCES)}, 60)
    assert {key for key, _ in world.outlet.of(FLASH_ACCOUNTS)} == {f"flash:{OWNER}".encode()}
    assert (said["Basket"]["layer"], said["Basket"]["pubkey"], said["Basket"]["programme"]) == (
        "rollup", basket_of(), PROGRAMME,
    )  # fmt: skip
    assert said["UserDepositLedger"]["layer"] == "base"
    for key, value in world.outlet.of(FLASH_REFERENCES):
        decode_reference(key.decode().partition(":")[2], value or b"")


async def test_changes_are_heard_and_what_stays_as_it_was_is_said_once() -> None:
    world = World()
    world.rollup.put(basket_of(), PROGRAMME, BASKET)
    async with world.followed(reread_ms=60_000) as (_, rollup):
        await world.until_said(1)
        await eventually(lambda: bool(rollup.sockets), 60)
        world.rollup.next_slot()
        world.rollup.put(basket_of(), PROGRAMME, OTHER)
        await world.until_said(2)
        world.rollup.put(basket_of(), PROGRAMME, OTHER)
        world.rollup.next_slot()
        world.rollup.put(basket_of(), PROGRAMME, BASKET)
        said = await world.until_said(3)
    assert [one["slot"] for one in said] == sorted(one["slot"] for one in said)
    assert len(said) == 3


async def test_a_restart_writes_nothing_that_the_topics_have() -> None:
    world = World()
    world.rollup.put(basket_of(), PROGRAMME, BASKET)
    async with world.followed():
        await world.until_said(1)
        await eventually(lambda: len(world.outlet.of(FLASH_REFERENCES)) >= len(references()), 60)
    before = len(world.outlet.of(FLASH_ACCOUNTS))
    async with world.followed():
        clocks = len(world.outlet.of(FLASH_REFERENCES))
        await eventually(lambda: len(world.outlet.of(FLASH_REFERENCES)) > clocks, 60)
        world.rollup.next_slot()
        world.rollup.put(basket_of(), PROGRAMME, OTHER)
        await world.until_said(before + 1)
    assert len(world.outlet.of(FLASH_ACCOUNTS)) == before + 1
    others = [key for key, _ in world.outlet.of(FLASH_REFERENCES) if not key.endswith(b":clock")]
    assert len(others) == len(set(others))


async def test_what_happens_between_two_connections_is_read_when_the_second_is_open() -> None:
    world = World()
    async with world.followed(reread_ms=60_000) as (_, rollup):
        await eventually(lambda: bool(rollup.sockets), 60)
        first = next(iter(rollup.sockets))
        await first.close()
        await eventually(lambda: first not in rollup.sockets, 60)
        world.rollup.put(basket_of(), PROGRAMME, BASKET)
        await world.until_said(1)


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


class SmallNode(SolanaNode):
    """Refuses, as HTTP does, every answer of more bytes than it has room for."""

    room = 4_500

    def __init__(self, chain: SolanaChain) -> None:
        super().__init__(chain)
        self.refused = 0

    async def _post(self, request: web.Request) -> web.Response:
        response = await super()._post(request)
        body = response.body
        assert isinstance(body, bytes)
        if len(body) > self.room:
            self.refused += 1
            return web.Response(status=413)
        return response


async def test_what_is_too_much_for_one_answer_is_read_in_parts() -> None:
    world = World()
    owners = [text(f"owner {number}") for number in range(12)]
    for owner in owners:
        world.rollup.put(basket_of(owner), PROGRAMME, encode_account(basket(position(SOL_LONG), owner=owner)))
    nodes = SolanaNode(world.base), SmallNode(world.rollup)
    async with following([nodes[0]], [nodes[1]], world.outlet, reread_ms=100):
        said = await world.until_said(len(owners))
        assert {one["pubkey"] for one in said} == {basket_of(owner) for owner in owners}
        # What is not in the list any more is asked for, and found to be closed.
        world.rollup.next_slot()
        world.rollup.close(basket_of(owners[3]))
        slots = asyncio.create_task(going_on(world.base, world.rollup))
        try:
            said = await world.until_said(len(owners) + 1)
        finally:
            slots.cancel()
    assert (said[-1]["kind"], said[-1]["pubkey"]) == ("closed", basket_of(owners[3]))
    assert nodes[1].refused > 0


async def test_a_chain_that_is_not_heard_of_is_asked_in_time_to_be_called_fresh(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flash_follow, "_ASKED_EVERY_S", 0.05)
    world = World()
    nodes = SolanaNode(world.base), SolanaNode(world.rollup)
    async with following([nodes[0]], [nodes[1]], world.outlet, reread_ms=600_000, is_heard=False) as followed:
        await eventually(followed.followers["rollup"].is_read.is_set, 60)
        world.rollup.next_slot()
        world.rollup.put(basket_of(), PROGRAMME, BASKET)
        await world.until_said(1)


async def test_a_node_that_stands_still_is_not_heard_of_again() -> None:
    world = World()
    base, rollup = CountingNode(world.base), CountingNode(world.rollup)
    async with following([base], [rollup], world.outlet, reread_ms=20) as followed:
        follower = followed.followers["rollup"]
        await eventually(lambda: rollup.asked > 4, 60)
        heard_ms, asked = follower.heard_ms, rollup.asked
        assert heard_ms > 0
        await eventually(lambda: rollup.asked > asked + 4, 60)
        assert follower.heard_ms == heard_ms
        world.rollup.next_slot()
        await eventually(lambda: follower.heard_ms > heard_ms, 60)


async def test_of_a_chain_whose_accounts_cannot_be_read_nothing_is_vouched_for_though_its_slots_are_heard() -> None:
    world = World()
    base, rollup = CountingNode(world.base), CountingNode(world.rollup)
    rollup.refuses = True
    async with following([base], [rollup], world.outlet, reread_ms=20) as followed:
        await eventually(lambda: bool(rollup.sockets), 60)
        slots = asyncio.create_task(going_on(world.base, world.rollup))
        await eventually(lambda: followed.nodes["rollup"].highest_slot > 5, 60)
        assert followed.followers["rollup"].heard_ms == 0
        rollup.refuses = False
        await eventually(lambda: followed.followers["rollup"].heard_ms > 0, 60)
        slots.cancel()


async def test_a_stream_over_grpc_feeds_the_same_topic() -> None:
    world = World()
    server = YellowstoneServer(world.rollup)
    await server.start()
    nodes = SolanaNode(world.base), SolanaNode(world.rollup)
    streams = [f"http://127.0.0.1:{server.port}"]
    async with following([nodes[0]], [nodes[1]], world.outlet, reread_ms=600_000, streams=streams) as followed:
        await eventually(lambda: server.streams == 1 and followed.followers["rollup"].is_read.is_set(), 60)
        world.rollup.next_slot()
        world.rollup.put(basket_of(), PROGRAMME, OTHER)
        world.rollup.put(basket_of(), PROGRAMME, BASKET)
        # With its first word the stream is open, and all is read again, which may say the last state before it does.
        expected = [(1, 1), (1, 2)]
        await eventually(lambda: [(one["slot"], one["write_version"]) for one in world.said()][-2:] == expected, 60)
    await server.stop()


async def test_an_account_that_was_closed_while_nobody_looked_is_said_to_be_closed() -> None:
    world = World()
    world.rollup.put(basket_of(), PROGRAMME, BASKET)
    async with world.followed():
        await world.until_said(1)
    world.rollup.next_slot()
    world.rollup.close(basket_of())
    async with world.followed():
        said = await world.until_said(2)
    assert (said[-1]["kind"], said[-1]["pubkey"]) == ("closed", basket_of())
    assert {key for key, _ in world.outlet.of(FLASH_ACCOUNTS)} == {f"flash:{OWNER}".encode()}


async def test_copies_of_delegated_accounts_and_other_programmes_are_passed_over() -> None:
    world = World()
    world.base.put(basket_of(), PROGRAMME, OTHER)
    world.base.put(text("copy"), DELEGATION, BASKET)
    world.rollup.put(text("custody copy"), PROGRAMME, encode_account(CUSTODIES["SOL"]))
    async with world.followed():
        world.rollup.put(basket_of(), PROGRAMME, BASKET)
        (said,) = await world.until_said(1)
    assert (said["layer"], said["kind"]) == ("rollup", "account")
    assert f"flash:custody.{text('custody copy')}".encode() not in {k for k, _ in world.outlet.of(FLASH_REFERENCES)}


async def test_what_cannot_be_decoded_is_written_raw_and_what_names_no_owner_is_a_dead_letter() -> None:
    world = World()
    begin = DISCRIMINATORS[Basket]
    world.rollup.put(text("cut"), PROGRAMME, BASKET[:100])
    world.rollup.put(text("large"), PROGRAMME, BASKET + bytes(SAID_BYTES_MAX))
    world.rollup.put(text("short"), PROGRAMME, begin + b"x")
    async with world.followed():
        said = {one["pubkey"]: one for one in await world.until_said(2)}
        await eventually(lambda: bool(world.outlet.of("dead-letters")), 60)
    assert said[text("cut")]["kind"] == "account"
    assert (said[text("large")]["kind"], said[text("large")]["size"]) == (
        "too_large", len(BASKET) + SAID_BYTES_MAX,
    )  # fmt: skip
    (letter,) = world.outlet.of("dead-letters")
    assert f"names its owner, found {text('short')} of 9 bytes" in json.loads(letter[1] or b"")["reason"]


async def test_of_a_reference_that_changes_often_the_newest_state_is_written_when_its_time_comes() -> None:
    outlet, address = RecordingOutlet(), text("SOL custody")
    journal = journal_of(outlet)
    for rate in range(50):
        custody = CUSTODIES["SOL"]
        state = custody.borrow_rate_state._replace(current_rate=rate)
        data = encode_account(custody._replace(borrow_rate_state=state))
        await journal.take("base", SeenAccount(address, PROGRAMME, data, slot=rate))
    assert not outlet.records
    await journal.say_references()
    await journal.say_references()
    ((_, key, value),) = outlet.records
    assert key == f"flash:custody.{address}".encode()
    found: Any = decode_reference(f"custody.{address}", value or b"")
    assert found.borrow_rate_state.current_rate == 49


@pytest.mark.parametrize(
    "result",
    [
        None,
        [],
        {"value": []},
        {"context": {"slot": -1}, "value": []},
        {"context": {"slot": 2**63}, "value": []},
        {"context": {"slot": True}, "value": []},
        {"context": {"slot": 1}, "value": None},
        {"context": {"slot": 1}, "value": [{"pubkey": "0", "account": {}}]},
        {"context": {"slot": 1}, "value": [{"pubkey": OWNER, "account": None}]},
        {"context": {"slot": 1}, "value": [{"pubkey": OWNER, "account": {"lamports": 1, "owner": "x", "data": []}}]},
        {"context": {"slot": 1}, "value": [{"pubkey": OWNER, "account": {
            "lamports": 1, "owner": PROGRAMME, "data": ["!", "base64"]}}]},
        {"context": {"slot": 1}, "value": [{"pubkey": OWNER, "account": {
            "lamports": 1, "owner": "x", "data": ["", "base64"]}}]},
    ],
)  # fmt: skip
def test_an_answer_of_another_shape_is_refused(result: Any) -> None:  # noqa: ANN401
    with pytest.raises(BadAnswer):
        read_programme_accounts(result)


def test_an_answer_with_other_than_so_many_accounts_is_refused() -> None:
    with pytest.raises(BadAnswer, match="expected 2 accounts or nulls, found 1"):
        read_accounts([OWNER, PROGRAMME], {"context": {"slot": 1}, "value": [None]})
    seen = read_accounts([OWNER], {"context": {"slot": 1}, "value": [None]}).accounts[OWNER]
    assert (seen.data, seen.slot) == (None, 1)
    with pytest.raises(BadAnswer, match="the clock"):
        clock_unix_s(seen)


@pytest.mark.parametrize("message", [{}, {"method": "rootNotification"}, {"method": "slotNotification", "params": {}}])
def test_a_notification_of_another_shape_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer, match="expected a notification"):
        read_notification(message, {})


@pytest.mark.parametrize("urls", [(), ("ws://x",), ("http://x", "ftp://y")])
def test_each_chain_needs_an_endpoint_that_can_be_asked(urls: tuple[str, ...]) -> None:
    with pytest.raises(BadSettings, match=r"expected http\(s\) and ws\(s\) URLs in here, at least one"):
        LayerUrls("here", [*map(SecretStr, urls)])
