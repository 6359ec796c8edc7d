"""A node that fails: what it is asked goes to anvil or not, and its answer comes back or not."""

from __future__ import annotations

import asyncio
import json
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Longer than the executor waits for an answer.
_SILENT_S = 30.0


class Flaky:
    """Fails with the odds that the test sets; ``hangs`` requests to come are never answered.

    A receipt is first told ``late_s`` after it was first asked for. ``suggests_wei`` is the price of gas that it tells
    where it is not 0.
    """

    def __init__(self, target: str, session: aiohttp.ClientSession) -> None:
        self._target = target
        self._session = session
        self._random = random.Random(7)
        self.odds = 0.0
        self.hangs = 0
        self.late_s = 0.0
        self.suggests_wei = 0
        self._receipts: dict[str, float] = {}
        self.failed = 0
        self.url = ""

    def calm(self) -> None:
        """Be a good node from now on."""
        self.odds, self.hangs, self.late_s, self.suggests_wei = 0.0, 0, 0.0, 0

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.hangs > 0:
            self.hangs -= 1
            self.failed += 1
            await asyncio.sleep(_SILENT_S)
        fate = self._random.random()
        if fate < self.odds / 2:
            self.failed += 1
            return web.Response(status=503, text="overloaded")
        async with self._session.post(self._target, data=body, headers={"Content-Type": "application/json"}) as answer:
            said = await answer.read()
        if fate < self.odds:
            # It was done, and nobody hears of it.
            self.failed += 1
            return web.Response(status=502, text="bad gateway")
        return web.Response(body=self._twisted(body, said), content_type="application/json")

    def _twisted(self, body: bytes, said: bytes) -> bytes:
        asked, answers = json.loads(body), json.loads(said)
        calls = {one["id"]: one for one in (asked if isinstance(asked, list) else [asked])}
        for answer in answers if isinstance(answers, list) else [answers]:
            call = calls.get(answer.get("id"), {})
            match call.get("method"):
                case "eth_getTransactionReceipt":
                    first_s = self._receipts.setdefault(call["params"][0], time.monotonic())
                    if time.monotonic() - first_s < self.late_s:
                        answer["result"] = None
                case "eth_gasPrice" if self.suggests_wei:
                    answer["result"] = hex(self.suggests_wei)
        return json.dumps(answers).encode()


@asynccontextmanager
async def running_flaky(target: str) -> AsyncIterator[Flaky]:
    async with aiohttp.ClientSession() as session:
        flaky = Flaky(target, session)
        app = web.Application()
        app.router.add_post("/", flaky.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        flaky.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        try:
            yield flaky
        finally:
            await runner.cleanup()
