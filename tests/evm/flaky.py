"""A node that fails or lies: what it is asked goes to anvil or not, and its answer comes back, or another one."""

from __future__ import annotations

import asyncio
import json
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from eth_hash.auto import keccak

from tests.support.funding_endpoint import twisted_view

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Longer than the executor waits for an answer.
_SILENT_S = 30.0
_LAGS_BLOCKS, _AHEAD_BLOCKS, _OFF_S = 3, 6, 400
_TOO_LITTLE_GAS = 30_000
LIES = (
    "ahead",
    "takes all",
    "frozen",
    "fast",
    "lags",
    "too little gas",
    "slow",
    "no receipts",
    "hangs",
    "keeps transactions",
    "reverts",
    "price",
    "side",
    "maximum",
    "liquidation",
)
"""What a node may do all the time: its head is ahead, stands still or lags, its clock is ahead or behind, it takes what
the contract refuses, names too little gas, tells no receipts or that everything reverted, never answers, says that it
took a transaction and keeps it, or tells another price, side or maximum of each quote, or that accounts are under
liquidation."""
# Where a call names the block, among its parameters.
_BLOCK_AT = {
    "eth_getBlockByNumber": 0,
    "eth_call": 1,
    "eth_estimateGas": 1,
    "eth_getTransactionCount": 1,
    "eth_getCode": 1,
    "eth_getBalance": 1,
}


class Flaky:
    """Fails with the odds that the test sets; ``hangs`` requests to come are never answered.

    A receipt is first told ``late_s`` after it could have been told first. ``suggests_wei`` is the price of gas that it
    tells where it is not 0. ``failed``, ``withheld``, ``suggested`` and ``lied`` count what it did to whom asked, and
    ``handed_again`` how often it was sent a transaction that it had been sent before.

    Args:
        target: Anvil's URL.
        session: Asks it.
        lie: One of ``LIES``, or nothing.
    """

    def __init__(self, target: str, session: aiohttp.ClientSession, lie: str = "") -> None:
        self._target = target
        self._session = session
        self._random = random.Random(7)
        self._lie = lie
        self._frozen: int | None = None
        self.odds = 0.0
        self.hangs = 0
        self.late_s = 0.0
        self.suggests_wei = 0
        self._receipts: dict[str, float] = {}
        self._handed: set[str] = set()
        self.failed = self.withheld = self.suggested = self.lied = self.handed_again = 0
        self.url = ""

    def calm(self) -> None:
        """Be a good node from now on, but for what it does all the time."""
        self.odds, self.hangs, self.late_s, self.suggests_wei = 0.0, 0, 0.0, 0

    async def answer(self, request: web.Request) -> web.Response:
        asked = json.loads(await request.read())
        if self._lie == "hangs":
            self.lied += 1
            await asyncio.sleep(_SILENT_S)
        if self.hangs > 0:
            self.hangs -= 1
            self.failed += 1
            await asyncio.sleep(_SILENT_S)
        fate = self._random.random()
        if fate < self.odds / 2:
            self.failed += 1
            return web.Response(status=503, text="overloaded")
        said = await self._said(asked)
        if fate < self.odds:
            # It was done, and nobody hears of it.
            self.failed += 1
            return web.Response(status=502, text="bad gateway")
        return web.json_response(said)

    async def _said(self, asked: Any) -> Any:  # noqa: ANN401 - JSON
        calls = asked if isinstance(asked, list) else [asked]
        head = await self._head()
        raw = [one["params"][0] for one in calls if _sends(one)]
        self.handed_again += sum(one in self._handed for one in raw)
        self._handed.update(raw)
        kept = {one["id"] for one in calls if self._lie == "keeps transactions" and _sends(one)}
        sent = [self._asked(one, head) for one in calls if one["id"] not in kept]
        answers = {one.get("id"): one for one in await self._ask(sent)} if sent else {}
        told = [
            _taken(one) if one["id"] in kept else self._twisted(one, answers.get(one["id"], {}), head) for one in calls
        ]
        self.lied += len(kept)
        return told if isinstance(asked, list) else told[0]

    async def _ask(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        async with self._session.post(self._target, json=calls) as answer:
            answers: list[dict[str, Any]] = await answer.json()
        return answers

    async def _head(self) -> int | None:
        """The number of the block that it takes for the newest one, where that is another than anvil's."""
        if self._lie not in ("lags", "frozen"):
            return None
        if self._frozen is None or self._lie == "lags":
            (answer,) = await self._ask([{"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}])
            newest = int(answer["result"], 16)
            self._frozen = newest if self._lie == "frozen" else max(0, newest - _LAGS_BLOCKS)
        return self._frozen

    def _asked(self, call: dict[str, Any], head: int | None) -> dict[str, Any]:
        """The call as anvil is asked it."""
        at = _BLOCK_AT.get(call["method"])
        if at is None or len(call["params"]) <= at:
            return call
        params = list(call["params"])
        block = params[at]
        if head is not None and block in ("latest", "pending"):
            params[at] = hex(head)
        elif self._lie == "ahead" and call["method"] == "eth_getBlockByNumber" and block.startswith("0x"):
            params[at] = hex(max(0, int(block, 16) - _AHEAD_BLOCKS))
        return call | {"params": params}

    def _twisted(self, call: dict[str, Any], answer: dict[str, Any], head: int | None) -> dict[str, Any]:
        method: str = call["method"]
        result: Any = answer.get("result")
        was = dict(answer)
        match method:
            case "eth_getTransactionReceipt":
                if result is not None:
                    first_s = self._receipts.setdefault(call["params"][0], time.monotonic())
                    if time.monotonic() - first_s < self.late_s:
                        self.withheld += 1
                        return answer | {"result": None}
                answer = answer | {"result": self._receipt(result, head)}
            case "eth_gasPrice" if self.suggests_wei:
                self.suggested += 1
                return answer | {"result": hex(self.suggests_wei)}
            case "eth_blockNumber" if head is not None:
                answer = answer | {"result": hex(head)}
            case "eth_blockNumber" if self._lie == "ahead":
                answer = answer | {"result": hex(int(result, 16) + _AHEAD_BLOCKS)}
            case "eth_getBlockByNumber" if isinstance(result, dict):
                answer = answer | {"result": self._block(result)}
            case "eth_call" | "eth_estimateGas" if self._lie == "takes all" and "error" in answer:
                taken = "0x" if method == "eth_call" else hex(500_000)
                answer = {"jsonrpc": "2.0", "id": call["id"], "result": taken}
            case "eth_call" if isinstance(result, str):
                asked, seen = (bytes.fromhex(text.removeprefix("0x")) for text in (call["params"][0]["data"], result))
                answer = answer | {"result": "0x" + twisted_view(self._lie, asked, seen).hex()}
            case "eth_estimateGas" if self._lie == "too little gas" and result is not None:
                answer = answer | {"result": hex(_TOO_LITTLE_GAS)}
            case _:
                pass
        self.lied += answer != was or head is not None
        return answer

    def _receipt(self, receipt: dict[str, Any] | None, head: int | None) -> dict[str, Any] | None:
        if (
            receipt is None
            or self._lie == "no receipts"
            or (head is not None and int(receipt["blockNumber"], 16) > head)
        ):
            return None
        return receipt | {"status": "0x0"} if self._lie == "reverts" else receipt

    def _block(self, block: dict[str, Any]) -> dict[str, Any]:
        number, time_s = int(block["number"], 16), int(block["timestamp"], 16)
        ahead = _AHEAD_BLOCKS if self._lie == "ahead" else 0
        off_s = {"fast": _OFF_S, "slow": -_OFF_S}.get(self._lie, 0)
        return block | {"number": hex(number + ahead), "timestamp": hex(time_s + off_s)}


def _sends(call: dict[str, Any]) -> bool:
    return bool(call["method"] == "eth_sendRawTransaction")


def _taken(call: dict[str, Any]) -> dict[str, Any]:
    raw = bytes.fromhex(call["params"][0][2:])
    return {"jsonrpc": "2.0", "id": call["id"], "result": "0x" + keccak(raw).hex()}


@asynccontextmanager
async def running_flaky(target: str, lie: str = "") -> AsyncIterator[Flaky]:
    async with aiohttp.ClientSession() as session:
        flaky = Flaky(target, session, lie)
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
