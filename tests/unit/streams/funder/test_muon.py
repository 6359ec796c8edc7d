"""The gateway's answers, good and bad."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from streams.funder.diamond_calls import PairSignature
from streams.funder.muon import Muon, NoSignature
from streams.settings import SymmioSettings

if TYPE_CHECKING:
    from aiohttp.test_utils import TestClient
    from pytest_aiohttp.plugin import AiohttpClient

    Client = TestClient[web.Request, web.Application]

PARTY_A, PARTY_B, DIAMOND = "0x" + "0a" * 20, "0x" + "0b" * 20, "0x" + "d1" * 20
DEPLOYMENT = SymmioSettings(chain_id=5, diamond=DIAMOND)
GOOD: dict[str, Any] = {
    "success": True,
    "result": {
        "reqId": "0x0102",
        "data": {
            "timestamp": 1_745_970_777,
            "result": {"uPnlA": "-25", "uPnlB": "30", "loss": "0", "nonceA": "1"},
            "init": {"nonceAddress": "0x" + "11" * 20},
        },
        "nodeSignature": "0x03",
        "signatures": [{"signature": "0x10", "owner": "0x" + "22" * 20}],
    },
}


def _with(field: str, value: object) -> dict[str, Any]:
    return {**GOOD, "result": {**GOOD["result"], field: value}}


async def gateway(aiohttp_client: AiohttpClient, answer: web.Response, asked: list[dict[str, str]]) -> Muon:
    async def handle(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        return answer

    app = web.Application()
    app.router.add_get("/v1/", handle)
    client: Client = await aiohttp_client(app)
    return Muon(client.session, str(client.make_url("/v1/")), DEPLOYMENT)


async def test_a_pair_is_asked_for_and_read(aiohttp_client: AiohttpClient) -> None:
    asked: list[dict[str, str]] = []
    muon = await gateway(aiohttp_client, web.json_response(GOOD), asked)
    expected = PairSignature(b"\x01\x02", 1_745_970_777, -25, 30, b"\x03", 16, "0x" + "22" * 20, "0x" + "11" * 20)
    assert expected == await muon.sign(PARTY_A, PARTY_B)
    assert [
        {
            "app": "symmio",
            "method": "uPnl",
            "params[partyA]": PARTY_A,
            "params[partyB]": PARTY_B,
            "params[chainId]": "5",
            "params[symmio]": DIAMOND,
        }
    ] == asked


@pytest.mark.parametrize(
    "answer",
    [
        {"success": False, "error": "x"},
        {"success": True},
        {**GOOD, "result": {**GOOD["result"], "signatures": []}},
        {**GOOD, "result": {**GOOD["result"], "reqId": "0xzz"}},
        [],
        _with("data", {**GOOD["result"]["data"], "timestamp": -1}),
        _with("data", {**GOOD["result"]["data"], "result": {"uPnlA": "9" * 90, "uPnlB": "0"}}),
        _with("data", {**GOOD["result"]["data"], "init": {"nonceAddress": "0x11"}}),
        _with("signatures", [{"signature": "0x" + "f" * 80, "owner": "0x" + "22" * 20}]),
        _with("signatures", [{"signature": "0x10", "owner": "nobody"}]),
    ],
)
async def test_what_is_no_signature_is_refused(aiohttp_client: AiohttpClient, answer: object) -> None:
    muon = await gateway(aiohttp_client, web.json_response(answer), [])
    with pytest.raises(NoSignature, match=f"expected a signature of {PARTY_A}"):
        await muon.sign(PARTY_A, PARTY_B)


@pytest.mark.parametrize("body", ["[" * 100_000, '{"success":true,"x":' + "[" * 100_000, "x" * 2_000_000, "\udcff"])
async def test_an_answer_that_is_nested_too_deeply_or_too_large_is_refused(
    aiohttp_client: AiohttpClient, body: str
) -> None:
    muon = await gateway(aiohttp_client, web.Response(body=body.encode(errors="surrogateescape")), [])
    with pytest.raises(NoSignature):
        await muon.sign(PARTY_A, PARTY_B)
