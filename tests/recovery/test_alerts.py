"""A recorded account becomes liquidatable and recovers: one transition each, though workers are killed beside it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from models.prices import MarkTick
from streams.kafka.topics import ALERTS, VALUATIONS, create_topics, registry
from tests.support.eventually import eventually
from tests.support.golden import DEPLOYMENT, SYMBOL, golden_chain, golden_deployment
from tests.support.pipeline import all_committed, changelog, feed_rows, worker, write_chain, write_ticks

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import Settings

SHORT = b"golden:0xdf37f81daad2b0327a0a50003740e1c935c70913"
"""At the end of the recording short 257 with a margin of 1731: liquidatable from 11 up, and it alone up to 18."""
FAIR, RUINOUS = "3", "12"
KILLED = -signal.SIGKILL


async def quote(settings: Settings, at_ms: int, price: str) -> None:
    await write_ticks(settings, [MarkTick("binance-futures", SYMBOL, at_ms, at_ms, price, None, None, None)])


async def shows(settings: Settings, *, is_liquidatable: bool) -> bool:
    rows = await feed_rows(settings, VALUATIONS)
    return SHORT in rows and rows[SHORT].body["liquidatable"] is is_liquidatable


async def told(settings: Settings) -> dict[bytes, list[str]]:
    """What readers were told of liquidations, by account, oldest first; one that is made twice stands twice."""
    said: dict[bytes, dict[str, str]] = {}
    for key, row in await changelog(settings, ALERTS):
        for one in reversed(row.body["transitions"]):
            if one["kind"] in ("liquidatable", "recovered"):
                said.setdefault(key, {})[one["id"]] = one["kind"]
    return {key: list(kinds.values()) for key, kinds in said.items()}


async def test_a_price_that_goes_and_comes_back_makes_one_transition_each_though_workers_are_killed_beside_them(
    settings: Callable[..., Settings],
) -> None:
    mine = settings(deployments=golden_deployment())
    await create_topics(mine.bootstrap, registry(mine))
    await quote(mine, 1, FAIR)
    await write_chain(mine, DEPLOYMENT, golden_chain())
    async with worker(mine) as first:
        await first.ready()
        await all_committed(mine)
        await eventually(lambda: shows(mine, is_liquidatable=False))
        before = await told(mine)
        first.kill()

    async with worker(mine, fault="alert-unshown") as second:
        await second.ready()
        await quote(mine, 2, RUINOUS)
        assert KILLED == await second.exit_code()
    assert await shows(mine, is_liquidatable=False)

    async with worker(mine, fault="alert-unsent") as third:
        await third.ready()
        await eventually(lambda: shows(mine, is_liquidatable=True))
        assert {**before, SHORT: [*before.get(SHORT, []), "liquidatable"]} == await told(mine)
        await quote(mine, 3, FAIR)
        assert KILLED == await third.exit_code()
    assert await shows(mine, is_liquidatable=True)

    async with worker(mine) as fourth:
        await fourth.ready()
        await eventually(lambda: shows(mine, is_liquidatable=False))
        assert {**before, SHORT: [*before.get(SHORT, []), "liquidatable", "recovered"]} == await told(mine)
