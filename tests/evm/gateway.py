"""A stand-in for a Muon gateway: signs the state of the chain as it is, over HTTP, at the time of the next block."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web
from eth_account.messages import encode_defunct
from eth_hash.auto import keccak

from streams.funder.diamond_calls import PairSignature
from tests.evm.anvil import CHAIN_ID, key_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from tests.evm.anvil import Anvil, Contract

KEY = key_of("gateway")


class Gateway:
    """What it says of accounts' uPnL is what the test sets, and 0 otherwise; of those that are ``silent`` nothing.

    ``signed_for`` counts what was signed by account.

    Who asks for an account that is held waits until it is let through.
    """

    def __init__(self, chain: Anvil, diamond: Contract) -> None:
        self._chain = chain
        self._diamond = diamond
        self.upnl: dict[str, tuple[int, int]] = {}
        self.silent: set[str] = set()
        self._held: dict[str, asyncio.Event] = {}
        self.signed_for: Counter[str] = Counter()
        self.url = ""

    def hold(self, accounts: Iterable[str]) -> None:
        """Keep whoever asks for one of these accounts waiting from now on."""
        self._held |= {party_a: asyncio.Event() for party_a in accounts}

    def let_through(self, party_a: str) -> None:
        """Answer who waits for an account, and whoever asks for it later."""
        held = self._held.pop(party_a, None)
        if held is not None:
            held.set()

    def let_all_through(self) -> None:
        """Hold no account any more."""
        for party_a in [*self._held]:
            self.let_through(party_a)

    async def answer(self, request: web.Request) -> web.Response:
        assert ("symmio", "uPnl") == (request.query["app"], request.query["method"])
        party_a, party_b = request.query["params[partyA]"], request.query["params[partyB]"]
        assert (str(CHAIN_ID), self._diamond.address) == (
            request.query["params[chainId]"],
            request.query["params[symmio]"],
        )
        if party_a in self.silent:
            return web.Response(status=503)
        if party_a in self._held:
            await self._held[party_a].wait()
        one = await self.sign(party_a, party_b)
        return web.json_response(
            {
                "success": True,
                "result": {
                    "reqId": "0x" + one.req_id.hex(),
                    "data": {
                        "timestamp": one.timestamp_s,
                        "result": {"uPnlA": str(one.upnl_party_a), "uPnlB": str(one.upnl_party_b)},
                        "init": {"nonceAddress": one.nonce},
                    },
                    "nodeSignature": "0x" + one.gateway_signature.hex(),
                    "signatures": [{"signature": hex(one.signature), "owner": one.owner}],
                },
            }
        )

    async def sign(self, party_a: str, party_b: str) -> PairSignature:
        """Sign the pair's state as it is."""
        upnl_a, upnl_b = self.upnl.get(party_a, (0, 0))
        # That of the newest one would be old where no blocks come, or a machine is slow.
        timestamp_s = await self._chain.time_s("pending")
        nonce_a = await self._diamond.number("nonceOfPartyA", party_a)
        nonce_b = await self._diamond.number("nonceOfPartyB", party_b, party_a)
        words = (nonce_b, nonce_a, upnl_b, upnl_a, timestamp_s, CHAIN_ID)
        addresses = b"".join(bytes.fromhex(one[2:]) for one in (self._diamond.address, party_b, party_a))
        digest = keccak(addresses + b"".join(word.to_bytes(32, signed=word < 0) for word in words))
        signature = bytes(KEY.sign_message(encode_defunct(digest)).signature)
        self.signed_for[party_a] += 1
        return PairSignature(digest, timestamp_s, upnl_a, upnl_b, signature, 0x1234, "0x" + "22" * 20, "0x" + "11" * 20)


@asynccontextmanager
async def running_gateway(chain: Anvil, diamond: Contract) -> AsyncIterator[Gateway]:
    gateway = Gateway(chain, diamond)
    app = web.Application()
    app.router.add_get("/", gateway.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield gateway
    finally:
        gateway.let_all_through()
        await runner.cleanup()
