"""Whose sub-accounts are, asked of nodes that tell it and of nodes that do not."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiokafka import TopicPartition
from eth_abi.abi import decode, encode
from eth_hash.auto import keccak

from models.errors import BadRecord
from models.owners import (
    SubAccountOwner,
    decode_owner,
    decode_owner_request,
    encode_owner,
    encode_owner_request,
)
from streams.ingest.symmio.owner_requests import OwnerRequests, find_sub_account_owners
from streams.node.endpoints import Node, Patience
from streams.node.rpc import HttpEndpoint
from streams.process.clock import SystemClock
from streams.settings import Settings, SymmioSettings
from tests.support.chain import DIAMOND, Chain
from tests.support.fetched import Fetched
from tests.support.node import FakeNode, RpcFault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OWNERS = keccak(b"owners(address)")[:4]
ONE, TWO = "0x" + "a1" * 20, "0x" + "a2" * 20
ALICE, BOB, NOBODYS = "0x" + "0a" * 20, "0x" + "0b" * 20, "0x" + "0c" * 20
WALLET = "0x" + "0e" * 20
MADE = {(ONE, ALICE): WALLET, (TWO, BOB): WALLET}
SETTINGS = SymmioSettings(chain_id=1, diamond=DIAMOND, multi_accounts=(ONE, TWO))
QUICK = Patience(answer_s=0.1, down_s=(0.01, 0.02))


def owners_call(to: str, data: bytes, block: int) -> bytes:
    del block
    assert OWNERS == data[:4]
    return encode(["address"], [MADE.get((to, decode(["address"], data[4:])[0]), "0x" + "0" * 40)])


@asynccontextmanager
async def asked(fake: FakeNode) -> AsyncIterator[Node]:
    async with fake, aiohttp.ClientSession() as session:
        yield Node("main", [HttpEndpoint(session, fake.url, "#1")], 1, QUICK)


def fake_node() -> FakeNode:
    chain = Chain()
    chain.mine()
    fake = FakeNode(chain, chain_id=1)
    fake.eth_call = owners_call
    return fake


@pytest.fixture
def requests() -> OwnerRequests:
    return OwnerRequests(Settings(kafka="127.0.0.1:1"), "main", SystemClock())


def ask(requests: OwnerRequests, *keys: str) -> None:
    fetched = [Fetched(key.encode(), encode_owner_request()) for key in keys]
    requests._take({TopicPartition("owner-requests", 0): fetched})


async def test_an_account_waits_once_however_often_it_is_asked_for_and_others_deployments_do_not(
    requests: OwnerRequests,
) -> None:
    ask(requests, f"main:{ALICE}", f"main:{ALICE}", f"another:{BOB}", "main:0x12")
    ask(requests, f"main:{ALICE}", f"main:{NOBODYS}")
    assert [ALICE, NOBODYS] == requests.oldest()
    # It is being asked for: who asks now hears the answer.
    ask(requests, f"main:{ALICE}")
    requests.forget([ALICE])
    assert [NOBODYS] == requests.oldest()
    ask(requests, f"main:{ALICE}")
    assert [NOBODYS, ALICE] == requests.oldest()


async def test_few_accounts_are_asked_for_at_once_and_no_more_wait_than_can_be_answered(
    requests: OwnerRequests,
) -> None:
    ask(requests, *(f"main:0x{number:040x}" for number in range(1_000)))
    batches = []
    while batch := requests.oldest():
        batches.append(len(batch))
        requests.forget(batch)
    assert [10] * 8 == batches


async def test_every_multi_account_is_asked_and_an_account_of_none_has_no_owner() -> None:
    async with asked(fake_node()) as node:
        assert {
            ALICE: SubAccountOwner(ONE, WALLET),
            BOB: SubAccountOwner(TWO, WALLET),
            NOBODYS: None,
        } == await find_sub_account_owners(node, SETTINGS, [ALICE, BOB, NOBODYS])


@pytest.mark.parametrize("fault", ["down", "silent", "another chain", "no contract"])
async def test_of_what_a_node_does_not_tell_nothing_is_said(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.ingest.symmio.owner_requests.OWNER_WAITED_FOR_S", 0.3)
    fake = fake_node()
    match fault:
        case "down":
            fake.status = 500
        case "silent":
            fake.is_hanging = True
        case "another chain":
            fake.chain_id = 7
        case _:
            fake.eth_call = lambda _to, _data, _block: b""
    async with asked(fake) as node:
        assert {} == await find_sub_account_owners(node, SETTINGS, [ALICE, NOBODYS])


async def test_a_contract_that_refuses_keeps_nobody_from_hearing_what_another_says() -> None:
    def call(to: str, data: bytes, block: int) -> bytes:
        if to == ONE:
            raise RpcFault(3, "execution reverted")
        return owners_call(to, data, block)

    fake = fake_node()
    fake.eth_call = call
    async with asked(fake) as node:
        assert {BOB: SubAccountOwner(TWO, WALLET)} == await find_sub_account_owners(
            node, SETTINGS, [ALICE, BOB, NOBODYS]
        )


async def test_an_endpoint_that_is_behind_does_not_make_an_account_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is told here is told by answers, however slow the machine is.
    monkeypatch.setattr("streams.ingest.symmio.owner_requests.OWNER_WAITED_FOR_S", 60.0)
    behind, newest = fake_node(), fake_node()
    newest.chain.mine(3)

    def of_before(to: str, data: bytes, block: int) -> bytes:
        if block > behind.chain.head.number:
            raise RpcFault(-32000, "header not found")
        return owners_call(to, data, block) if to == TWO else encode(["address"], ["0x" + "0" * 40])

    behind.eth_call = of_before
    async with behind, newest, aiohttp.ClientSession() as session:
        endpoints = [HttpEndpoint(session, one.url, one.url) for one in (behind, newest)]
        node = Node("main", endpoints, 1, Patience(answer_s=30.0, down_s=(0.01, 0.02), again_s=(0.0, 0.01)))
        node.expect_head(newest.chain.head.number)
        assert {ALICE: SubAccountOwner(ONE, WALLET), NOBODYS: None} == await find_sub_account_owners(
            node, SETTINGS, [ALICE, NOBODYS]
        )
        newest.status = 500
        assert {} == await find_sub_account_owners(node, SETTINGS, [ALICE, NOBODYS])


def test_records_are_read_as_they_were_written() -> None:
    owner = SubAccountOwner(ONE, WALLET)
    assert owner == decode_owner(b"main:" + ALICE.encode(), encode_owner(owner))
    assert ("main", ALICE) == decode_owner_request(f"main:{ALICE}".encode(), encode_owner_request())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, encode_owner_request()),
        (b"", encode_owner_request()),
        (b"main:0x12", encode_owner_request()),
        (f"main:{ALICE.upper()}".encode(), encode_owner_request()),
        (f"main:{ALICE}:{ALICE}".encode(), encode_owner_request()),
        (b"\xff:" + ALICE.encode(), encode_owner_request()),
        (f"main:{ALICE}".encode(), None),
        (f"main:{ALICE}".encode(), b"{"),
        (f"main:{ALICE}".encode(), encode_owner(SubAccountOwner(ONE, WALLET))),
    ],
)
def test_what_is_no_request_is_refused(key: bytes | None, value: bytes | None) -> None:
    with pytest.raises(BadRecord):
        decode_owner_request(key, value)


@pytest.mark.parametrize("value", [b"", b"null", b"\xff", encode_owner_request()])
def test_what_is_no_answer_is_refused(value: bytes) -> None:
    with pytest.raises(BadRecord):
        decode_owner(b"main:" + ALICE.encode(), value)
