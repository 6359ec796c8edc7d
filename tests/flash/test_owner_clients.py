"""Clients of owners' sockets under Node, as the venue tells people to write them, against a replica."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from models.flash.solana_keys import key_text
from tests.support.eventually import eventually
from tests.support.flash import MARKETS, NOW_MS, OWNER, basket, basket_of, position
from tests.support.flash_scene import FlashScene
from tests.support.node_packages import node_with_packages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE = Path(__file__).parent
CHANGES = 60


class Clients:
    """Both clients of the program, and what they told."""

    def __init__(self) -> None:
        self.told: list[list[Any]] = []
        self.has_ended = False

    def of(self, kind: str) -> list[list[Any]]:
        return [said for said in self.told if said[0] == kind]

    @property
    def shown(self) -> dict[str, str]:
        """The figures that the merging client shows now."""
        last: dict[str, str] = self.of("shown")[-1][2] if self.of("shown") else {}
        return last

    async def listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.told.append(json.loads(line))
        self.has_ended = True


@asynccontextmanager
async def clients_of(url: str) -> AsyncIterator[Clients]:
    node = await asyncio.to_thread(node_with_packages, HERE)
    program = [str(node), "--experimental-websocket", "--no-warnings", "owner_client.cjs", url]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*program, cwd=HERE, stdin=pipe, stdout=pipe)
    clients = Clients()
    listening = asyncio.create_task(clients.listen(process))
    try:
        yield clients
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(60):
                await process.wait()
        except TimeoutError:
            process.kill()
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


async def test_no_figures_come_before_their_basket_and_no_closed_position_comes_back() -> None:
    rng, scene = Random(20), FlashScene()
    scene.list_markets()
    for symbol, price in (("SOL", "150"), ("USDC", "1"), ("BTC", "60000")):
        scene.mark(symbol, price)
    async with scene.serving() as client:
        url = str(client.make_url(f"/v2/owner/{OWNER}/ws?updateIntervalMs=100")).replace("http", "ws", 1)
        async with clients_of(url) as clients:
            await eventually(lambda: len(clients.of("decoded")) >= 1 and len(clients.of("shown")) >= 1, timeout_s=60)
            # Whoever is not on board is sent one frame.
            assert [["decoded", [], []], ["shown", "basket", {}, None]] == sorted(clients.told)
            held: set[bytes] = set()
            for number in range(1, CHANGES):
                held ^= {rng.choice(list(MARKETS))}
                scene.show(basket(*(position(market) for market in sorted(held))))
                scene.mark("SOL", f"{rng.uniform(100, 200):.4f}", NOW_MS + number)
                await asyncio.sleep(rng.choice((0, 0.02, 0.15)))
            scene.mark("SOL", "140", NOW_MS + CHANGES)
            scene.mark("BTC", "60000", NOW_MS + CHANGES)
            last = {key_text(market) for market in held}

            async def are_told_all() -> bool:
                assert not clients.has_ended
                async with client.get(f"/v2/owner/{OWNER}") as response:
                    now = (await response.json())["positionMetrics"]
                figures = {market: one["pnlWithFeeUsdUi"] for market, one in now.items()}
                return clients.shown == figures and set(figures) == last

            await eventually(are_told_all, timeout_s=60)
            ticks = len(clients.of("ticked"))
            await eventually(lambda: len(clients.of("ticked")) >= ticks + 3, timeout_s=60)

    assert not clients.of("error")
    _expect_in_order(clients)


def _expect_in_order(clients: Clients) -> None:
    open_: list[str] | None = None
    for said in clients.told:
        match said:
            case ["decoded", decoded, named]:
                # The bytes say what the figures say.
                assert sorted(decoded) == sorted(named)
                open_ = sorted(named)
            case ["ticked", had_bytes, named]:
                assert had_bytes
                assert open_ == sorted(named)
            case _:
                pass
    shown: list[str] | None = None
    for _, kind, figures, address in clients.of("shown"):
        if kind == "basket":
            shown = sorted(figures)
            assert address in {None, basket_of()}
        assert shown == sorted(figures)
