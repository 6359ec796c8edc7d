"""The whole way from one hostile endpoint to the rows: within a minute of the chain standing still they are right."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from models.codec import encode_row
from models.engine.tables import ACCOUNTS
from models.symmio.account import decode_account
from models.symmio.replay import Replay
from streams.ingest.symmio import chain_follow
from streams.kafka.topics import DEAD_LETTERS, create_topics, registry, topic_name
from streams.process.clock import SystemClock
from streams.settings import WorkerSettings
from tests.support.chain import recorded_chain
from tests.support.eventually import eventually
from tests.support.golden import DEPLOYMENT, golden_deployment
from tests.support.hostile_node import HostileNode, Traits, View, serving
from tests.support.pipeline import end_offset, feed_rows, worker
from tests.support.recording import GOLDEN_LOGS, read_json, recorded_blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.symmio.state import AccountState
    from streams.settings import Settings

HISTORY, BLOCKS_A_SECOND = 500, 8
# Logs come later than their headers by less than the depth of finality lasts: 32 blocks, 4 s.
RIGHT_WITHIN_S = 60.0
TRAITS = {
    "lags behind its own headers": Traits(lags=0.5, lag_s=2.5),
    "cuts ranges": Traits(cuts=0.4),
    "refuses calls": Traits(refuses=0.25),
    "refuses batches": Traits(batch_max=3),
    "spells otherwise": Traits(spells=1.0),
    "answers null and is behind": Traits(nulls=0.05, behind=0.3, behind_blocks=20),
}
EVERYTHING = Traits(lags=0.5, lag_s=2.5, refuses=0.1, batch_max=3, spells=1.0, nulls=0.02, behind=0.1, behind_blocks=5)
# Each alone takes as long as all at once: `make hostile` plays them all.
PLAYED = {"all at once": EVERYTHING} | (TRAITS if os.environ.get("TIDEMARK_TEST_HOSTILE") == "all" else {})


class GrowingChain:
    """The recorded chain, of which the newest blocks come one after the other."""

    def __init__(self) -> None:
        self._blocks = recorded_chain().blocks
        self._came_s: dict[str, float] = {}
        self._height = HISTORY

    def view(self) -> View:
        return View(self._blocks[: self._height], self._came_s, time.monotonic())

    async def grow(self) -> None:
        while self._height < len(self._blocks):
            await asyncio.sleep(1 / BLOCKS_A_SECOND)
            self._came_s[self._blocks[self._height].hash] = time.monotonic()
            self._height += 1


@pytest.mark.parametrize("name", PLAYED)
async def test_rows_are_right_within_a_minute_of_the_chain_standing_still(
    settings: Callable[..., Settings], name: str
) -> None:
    chain = GrowingChain()
    undisturbed, finished = _undisturbed()
    async with serving(HostileNode(chain.view, PLAYED[name], seed=5)) as url:
        changes: Any = {"rpc": (url,), "start_block": 1, "finality_depth": 32, "poll_interval_ms": 50}
        golden = golden_deployment()[DEPLOYMENT].model_dump() | changes
        own = settings(
            deployments={DEPLOYMENT: type(golden_deployment()[DEPLOYMENT])(**golden)},
            worker=WorkerSettings(slice_records=50),
        )
        await create_topics(own.bootstrap, registry(own))
        ingesting = asyncio.create_task(chain_follow.run(own, DEPLOYMENT, SystemClock()))

        async def is_right() -> bool:
            if ingesting.done():
                ingesting.result()
            rows = await feed_rows(own, ACCOUNTS)
            return undisturbed == {
                key: _shown(decode_account(encode_row(*row)).state, finished) for key, row in rows.items()
            }

        try:
            async with worker(own) as process:
                await process.ready()
                await chain.grow()
                await eventually(is_right, RIGHT_WITHIN_S)
                assert not ingesting.done()
        finally:
            ingesting.cancel()
            with suppress(asyncio.CancelledError):
                await ingesting
    if not PLAYED[name].lags:
        # Blocks without all their logs are folded, and refused, before they are written anew.
        assert 0 == await end_offset(own, topic_name(own, DEAD_LETTERS))


def _undisturbed() -> tuple[dict[bytes, AccountState], frozenset[int]]:
    recording = read_json(GOLDEN_LOGS)
    replay = Replay(recording["diamond"])
    for block in recorded_blocks(recording):
        replay.fold(block)
    finished = frozenset(replay.finished)
    rows = {f"{DEPLOYMENT}:{account}".encode(): _shown(row.state, finished) for account, row in replay.rows.items()}
    return rows, finished


def _shown(state: AccountState, finished: frozenset[int]) -> AccountState:
    """A state without the quotes that are finished: when they leave depends on finality."""
    left = {quote_id: quote for quote_id, quote in state.quotes.items() if quote_id not in finished}
    return msgspec.structs.replace(state, quotes=left)
