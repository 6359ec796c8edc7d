"""A remote signer over HTTP: what it is asked, and that what it answers is believed only where it is what was asked."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import rlp
from aiohttp import web
from eth_account import Account

from streams.funder.fees import Fees
from streams.funder.local_key import LocalKey
from streams.funder.remote_key import RemoteKey, expect_signed
from streams.funder.signer import ORDER, NotSigned, Signer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pytest_aiohttp.plugin import AiohttpServer

ACCOUNT, STRANGER = Account.from_key("0x" + "42" * 32), Account.from_key("0x" + "43" * 32)
TO = "0x" + "d1" * 20
AUTHORIZATION = ACCOUNT.sign_authorization({"chainId": 1, "address": TO, "nonce": 4})


class Holder:
    """Signs what it is asked as Web3Signer does, with changes that the test makes."""

    def __init__(self) -> None:
        self.account = ACCOUNT
        self.changes: dict[str, Any] = {}
        self.answer: dict[str, Any] | None = None
        self.asked: list[dict[str, Any]] = []

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert "eth_signTransaction" == body["method"]
        (told,) = body["params"]
        self.asked.append(told)
        if self.answer is not None:
            return web.json_response({"jsonrpc": "2.0", "id": body["id"], **self.answer})
        numbers = ("gas", "nonce", "value", "maxFeePerGas", "maxPriorityFeePerGas", "chainId")
        fields = {"type": 2, "to": bytes.fromhex(told["to"][2:]), "data": bytes.fromhex(told["data"][2:])}
        fields |= {name: int(told[name], 16) for name in numbers} | self.changes
        fields = {name: value for name, value in fields.items() if value is not None}
        signed = self.account.sign_transaction(fields)
        return web.json_response({"jsonrpc": "2.0", "id": body["id"], "result": signed.raw_transaction.to_0x_hex()})


@asynccontextmanager
async def over(aiohttp_server: AiohttpServer, holder: Holder) -> AsyncIterator[Signer]:
    app = web.Application()
    app.router.add_post("/token", holder.handle)
    server = await aiohttp_server(app)
    async with aiohttp.ClientSession() as session:
        yield Signer(RemoteKey(session, str(server.make_url("/token")), ACCOUNT.address.lower()), 1)


async def test_it_signs_as_the_key_itself_would(aiohttp_server: AiohttpServer) -> None:
    holder, local = Holder(), Signer(LocalKey(ACCOUNT), 1)
    async with over(aiohttp_server, holder) as remote:
        expected = await local.sign(nonce=0, to=TO, data=b"\x01\x02", gas=90_000, fees=Fees(100, 10))
        assert expected == await remote.sign(nonce=0, to=TO, data=b"\x01\x02", gas=90_000, fees=Fees(100, 10))
        again = await remote.sign_again(expected.raw, Fees(200, 20))
        assert await local.sign_again(expected.raw, Fees(200, 20)) == again
        assert await local.sign_nothing(4, Fees(1, 1)) == await remote.sign_nothing(4, Fees(1, 1))
    assert ACCOUNT.address.lower() == holder.asked[0]["from"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"chainId": 5}, "expected chainId to be signed as 1, found 5"),
        ({"nonce": 9}, "expected nonce"),
        ({"value": 10**18}, "expected value"),
        ({"to": b"\x07" * 20}, "expected to to be signed"),
        ({"maxFeePerGas": 10**15}, "expected maxFeePerGas"),
        ({"data": b""}, "expected data"),
        ({"accessList": [{"address": TO, "storageKeys": []}]}, "expected no access list to be signed, found 1"),
        (
            {"type": 1, "gasPrice": 100, "maxFeePerGas": None, "maxPriorityFeePerGas": None},
            "expected type to be signed as 2, found 1",
        ),
        ({"type": 4, "authorizationList": [AUTHORIZATION]}, "expected type to be signed as 2, found 4"),
    ],
)
async def test_something_else_than_was_asked_is_not_believed(
    aiohttp_server: AiohttpServer, changes: dict[str, Any], said: str
) -> None:
    holder = Holder()
    holder.changes = changes
    async with over(aiohttp_server, holder) as remote:
        with pytest.raises(NotSigned, match=said):
            await remote.sign(nonce=3, to=TO, data=b"\x01", gas=90_000, fees=Fees(100, 10))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"error": {"code": -32_000, "message": "locked"}}, "to sign, found .*locked"),
        ({"result": None}, "a signed transaction"),
        ({"result": "0x02"}, "a signed transaction of type 2"),
        ({"result": "0x"}, "a signed transaction of type 2"),
        ({"result": "nonsense"}, "a signed transaction"),
    ],
)
async def test_a_signer_that_does_not_sign_is_told_of(
    aiohttp_server: AiohttpServer, answer: dict[str, Any], said: str
) -> None:
    holder = Holder()
    holder.answer = answer
    async with over(aiohttp_server, holder) as remote:
        with pytest.raises(NotSigned, match=said):
            await remote.sign_nothing(3, Fees(100, 10))


async def test_another_keys_signature_is_not_believed(aiohttp_server: AiohttpServer) -> None:
    holder = Holder()
    holder.account = STRANGER
    async with over(aiohttp_server, holder) as remote:
        with pytest.raises(NotSigned, match="expected the signature of"):
            await remote.sign_nothing(3, Fees(100, 10))


async def test_one_that_is_away_is_told_of_without_its_url(unused_tcp_port: int) -> None:
    async with aiohttp.ClientSession() as session:
        remote = RemoteKey(session, f"http://127.0.0.1:{unused_tcp_port}/token", ACCOUNT.address.lower())
        with pytest.raises(NotSigned, match="expected the remote signer to answer") as caught:
            await Signer(remote, 1).sign_nothing(3, Fees(100, 10))
    assert "token" not in str(caught.value)


def test_whatever_a_signer_answers_is_what_was_asked_or_refused_for_a_reason() -> None:
    fields = {
        "type": 2,
        "chainId": 1,
        "nonce": 3,
        "to": bytes.fromhex(TO[2:]),
        "value": 0,
        "data": b"\x01" * 9,
        "gas": 90_000,
        "maxFeePerGas": 100,
        "maxPriorityFeePerGas": 10,
    }
    raw = bytes(ACCOUNT.sign_transaction(fields).raw_transaction)
    expect_signed(raw, fields, LocalKey(ACCOUNT))
    draw = random.Random(1)
    kinds: tuple[Any, ...] = (b"", b"\x00", b"\x01" * 33, [], [b""], [[b"", b""]], b"\xff" * 32, draw.randbytes(20))
    for _ in range(2_000):
        cells = list(rlp.decode(raw[1:]))
        cells[draw.randrange(len(cells))] = draw.choice(kinds)
        bent = bytearray(bytes([draw.choice((1, 2, 2, 2, 3, 4))]) + rlp.encode(cells))
        if draw.random() < 0.5:
            bent[draw.randrange(len(bent))] = draw.randrange(256)
        if bytes(bent) != raw:
            with pytest.raises(NotSigned):
                expect_signed(bytes(bent), fields, LocalKey(ACCOUNT))


def test_the_signature_that_says_the_same_with_the_higher_s_is_refused_since_nodes_refuse_it() -> None:
    fields = {"type": 2, "chainId": 1, "nonce": 3, "to": bytes.fromhex(TO[2:]), "value": 0, "data": b"", "gas": 21_000}
    fields |= {"maxFeePerGas": 100, "maxPriorityFeePerGas": 10}
    cells = list(rlp.decode(bytes(ACCOUNT.sign_transaction(fields).raw_transaction)[1:]))
    cells[-1] = (ORDER - int.from_bytes(cells[-1])).to_bytes(32)
    cells[-3] = b"" if cells[-3] else b"\x01"
    with pytest.raises(NotSigned, match="as nodes spell it"):
        expect_signed(b"\x02" + rlp.encode(cells), fields, LocalKey(ACCOUNT))
