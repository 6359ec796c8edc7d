"""The ingest of Flash against nodes of both chains that are in order: what it writes, once, and what it passes over."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from models.flash.chain_accounts import FLASH_ACCOUNTS, FLASH_REFERENCES, SAID_BYTES_MAX
from models.flash.flash_accounts import DISCRIMINATORS, Basket, encode_account
from models.flash.flash_references import decode_reference
from streams.ingest.flash import flash_follow
from streams.ingest.flash.solana_answers import SeenAccount
from tests.support.eventually import eventually
from tests.support.flash import (
    CUSTODIES,
    DELEGATION,
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
from tests.support.followed_flash import BASKET, OTHER, CountingNode, World
from tests.support.hostile_solana import RecordingOutlet, following, going_on, journal_of
from tests.support.yellowstone import YellowstoneServer
from tidemark.demo.solana_node import SolanaNode

if TYPE_CHECKING:
    import pytest

    from tidemark.demo.solana_node import SolanaChain


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
