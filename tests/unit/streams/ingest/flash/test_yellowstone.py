"""Accounts over Yellowstone gRPC, against a server that writes the published interface's bytes by hand."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.flash.chain_accounts import discriminator_text
from streams.ingest.flash.layer_socket import Hearing
from streams.ingest.flash.solana_answers import SeenAccount
from streams.ingest.flash.yellowstone import YellowstoneStream
from streams.ingest.flash.yellowstone_messages import pong_request, read_update, subscribe_request
from streams.node.rpc import BadAnswer
from streams.process.backoff import Backoff
from tests.support.eventually import eventually
from tests.support.flash import PROGRAMME, text
from tests.support.yellowstone import YellowstoneServer, account_update, field, ping_update, slot_update
from tidemark.demo.solana_node import SolanaChain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BEGINS = [discriminator_text("Basket")]


class Heard:
    """What a stream said."""

    def __init__(self) -> None:
        self.accounts: list[SeenAccount] = []
        self.slots: list[int] = []
        self.opened = 0

    def hearing(self) -> Hearing:
        def open_() -> None:
            self.opened += 1

        async def account(seen: SeenAccount) -> None:
            await asyncio.sleep(0)
            self.accounts.append(seen)

        return Hearing(open_, account, self.slots.append)


@asynccontextmanager
async def streaming(server: YellowstoneServer, heard: Heard, silent_after_s: float = 600) -> AsyncIterator[None]:
    await server.start()
    stream = YellowstoneStream(
        f"http://secret@127.0.0.1:{server.port}",
        label=("flash", "base", "grpc #1"),
        programme=PROGRAMME,
        begins=BEGINS,
        commitment="confirmed",
        hearing=heard.hearing(),
        silent_after_s=silent_after_s,
        backoff=Backoff(0.01, 0.1),
    )
    running = asyncio.create_task(stream.run())
    try:
        await eventually(lambda: heard.opened >= 1 and server.streams >= 1, 60)
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await server.stop()


async def test_accounts_come_with_their_slot_and_write_and_a_drop_is_a_gap() -> None:
    chain, heard = SolanaChain(0), Heard()
    server = YellowstoneServer(chain)
    async with streaming(server, heard):
        chain.next_slot()
        chain.put(text("a"), PROGRAMME, b"one")
        chain.put(text("a"), PROGRAMME, b"two")
        chain.close(text("a"))
        await eventually(lambda: len(heard.accounts) == 3, 60)
        server.drop()
        await eventually(lambda: heard.opened == 2 and server.streams == 1, 60)
        chain.next_slot()
        await eventually(lambda: 2 in heard.slots, 60)
    assert heard.accounts == [
        SeenAccount(text("a"), PROGRAMME, b"one", 1, 1),
        SeenAccount(text("a"), PROGRAMME, b"two", 1, 2),
        SeenAccount(text("a"), PROGRAMME, None, 1, 3),
    ]
    assert set(server.tokens) == {"secret"}


async def test_a_ping_is_answered_and_what_cannot_be_read_ends_the_stream_and_opens_another() -> None:
    heard = Heard()
    server = YellowstoneServer(SolanaChain(0))
    async with streaming(server, heard):
        await eventually(lambda: len(server.requests) >= 2, 60)
        assert server.requests[:2] == [subscribe_request(PROGRAMME, BEGINS, "confirmed"), pong_request()]
        server.send(b"\xff\xff")
        await eventually(lambda: heard.opened == 2, 60)


@pytest.mark.parametrize("update", [ping_update(), slot_update(7)], ids=["pings", "the same slot"])
async def test_a_node_that_says_no_higher_slot_is_left_however_much_it_says(update: bytes) -> None:
    heard = Heard()
    server = YellowstoneServer(SolanaChain(0))

    async def say() -> None:
        while True:
            server.send(update)
            await asyncio.sleep(0.005)

    saying = asyncio.create_task(say())
    async with streaming(server, heard, silent_after_s=1.0):
        await eventually(lambda: heard.opened >= 2, 60)
        saying.cancel()


def test_requests_are_on_the_wire_as_the_interface_numbers_them() -> None:
    memcmp = field(1, field(3, BEGINS[0].encode()))
    chosen = field(3, PROGRAMME.encode()) + field(4, memcmp)
    expected = field(1, field(1, b"type 0") + field(2, chosen))
    expected += field(2, field(1, b"slots") + field(2, field(1, 1))) + field(6, 1)
    assert subscribe_request(PROGRAMME, BEGINS, "confirmed") == expected
    assert pong_request() == field(9, field(1, 1))


def test_updates_are_read_and_what_is_not_known_of_them_is_passed_over() -> None:
    assert read_update(slot_update(7)) == 7
    assert read_update(ping_update()) is None
    # A transaction, and fields that a later version may add.
    assert read_update(field(4, b"") + field(11, b"")) is None
    assert read_update(account_update(text("a"), PROGRAMME, b"x", 3, 9) + field(99, 1)) == SeenAccount(
        text("a"), PROGRAMME, b"x", 3, 9
    )


@pytest.mark.parametrize(
    "update",
    [b"\xff", field(2, field(1, field(1, b"short")) + field(2, 1)), field(3, field(1, 2**63))],
)
def test_an_update_of_another_shape_is_refused(update: bytes) -> None:
    with pytest.raises(BadAnswer):
        read_update(update)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_do_anything_else_than_to_be_read_or_refused(update: bytes) -> None:
    with suppress(BadAnswer):
        read_update(update)
