from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from pydantic import SecretStr

from models.chain_records import Block, Rollback, Watermark
from streams.ingest.symmio import chain_follow as chain_ingest
from streams.ingest.symmio.branches import DeepReorganisation
from streams.node.rpc import NoContract
from streams.process.clock import SystemClock
from streams.settings import Settings, SymmioSettings
from tests.support.chain import DIAMOND, Chain
from tests.support.eventually import eventually
from tests.support.node import FakeNode
from tests.support.records import chain_records, create_all, surviving_blocks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

FINALITY = 6
MULTI_ACCOUNT = "0x" + "a1" * 20
START = 10


class World:
    """A chain, a node that serves it, and the topic an ingest writes to."""

    def __init__(self, chain: Chain, node: FakeNode, settings: Callable[..., Settings]) -> None:
        self.chain = chain
        self.node = node
        self._make_settings = settings
        self.settings = self.configured()

    def configured(self, *, url: str | None = None) -> Settings:
        deployment = SymmioSettings(
            chain_id=31337,
            diamond=DIAMOND,
            rpc=(url or self.node.url,),  # type: ignore[arg-type]
            start_block=START,
            finality_depth=FINALITY,
            poll_interval_ms=10,
        )
        return self._make_settings(deployments={"d": deployment})

    @asynccontextmanager
    async def ingesting(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(chain_ingest.run(self.settings, "d", SystemClock()))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def caught_up(self) -> bool:
        records = await chain_records(self.settings, "d")
        marks = [record for record in records if isinstance(record, Watermark)]
        head = self.chain.head
        blocks = surviving_blocks(records)
        is_marked = bool(marks) and marks[-1].head == head.number
        return is_marked and head.number in blocks and blocks[head.number].hash == head.hash

    async def check(self) -> None:
        """The topic holds every log from the start on, and every block above the final one, just once."""
        records = await chain_records(self.settings, "d")
        blocks = surviving_blocks(records)
        marks = [record for record in records if isinstance(record, Watermark)]

        assert [b.hash for b in self.chain.blocks[START:] if b.logs] == [b.hash for b in blocks.values() if b.logs]
        assert all(len(blocks[b.number].logs) == len(b.logs) for b in self.chain.blocks[START:] if b.logs)
        assert self.chain.head.number - FINALITY == marks[-1].final
        assert sorted(mark.final for mark in marks) == [mark.final for mark in marks]


@pytest_asyncio.fixture
async def world(settings: Callable[..., Settings]) -> AsyncIterator[World]:
    chain = Chain()
    chain.mine(100)
    async with FakeNode(chain) as node:
        world = World(chain, node, settings)
        await create_all(world.settings)
        yield world


async def test_history_is_backfilled_and_the_head_followed(world: World) -> None:
    async with world.ingesting():
        await eventually(world.caught_up)
        world.chain.mine(3)
        await eventually(world.caught_up)

    await world.check()


async def test_blocks_without_logs_are_written_only_above_the_final_one(world: World) -> None:
    world.chain.mine(60, logs=0)
    async with world.ingesting():
        await eventually(world.caught_up)

    await world.check()
    blocks = surviving_blocks(await chain_records(world.settings, "d"))
    assert list(range(154, 160)) == [number for number, block in blocks.items() if not block.logs]


@pytest.mark.parametrize("missing", [DIAMOND, MULTI_ACCOUNT])
async def test_an_address_without_a_contract_is_an_error_that_names_it(world: World, missing: str) -> None:
    world.node.code = lambda address: "0x" if address == missing else "0x60"
    deployment = world.settings.deployments["d"].model_copy(update={"multi_accounts": (MULTI_ACCOUNT,)})
    settings = world.settings.model_copy(update={"deployments": {"d": deployment}})
    with pytest.raises(NoContract, match=missing):
        async with asyncio.timeout(40):
            await chain_ingest.run(settings, "d", SystemClock())


async def test_a_syncing_endpoint_without_the_contract_is_contradicted_by_another(world: World) -> None:
    async with FakeNode(world.chain) as syncing:
        syncing.code = lambda _: "0x"
        deployment = world.settings.deployments["d"].model_copy(
            update={"rpc": (SecretStr(syncing.url), SecretStr(world.node.url))}
        )
        world.settings = world.settings.model_copy(update={"deployments": {"d": deployment}})
        async with world.ingesting():
            await eventually(world.caught_up)


async def test_a_node_that_does_not_tell_code_is_followed_all_the_same(world: World) -> None:
    world.node.code = None
    async with world.ingesting():
        await eventually(world.caught_up)


async def test_ranges_are_halved_until_the_node_takes_them(world: World) -> None:
    world.node.max_results = 7
    async with world.ingesting():
        await eventually(world.caught_up)

    await world.check()
    assert world.node.count("eth_getLogs") > 12


@pytest.mark.parametrize("depth", range(1, FINALITY + 1))
async def test_a_reorganisation_up_to_finality_is_rolled_back(world: World, depth: int) -> None:
    async with world.ingesting():
        await eventually(world.caught_up)
        ancestor = world.chain.blocks[99 - depth]
        world.chain.reorganise(depth, depth)
        await eventually(world.caught_up)
        world.chain.mine(1)
        await eventually(world.caught_up)

    await world.check()
    records = await chain_records(world.settings, "d")
    assert [Rollback(ancestor.number, ancestor.hash)] == [r for r in records if isinstance(r, Rollback)]


async def test_a_longer_branch_replaces_ours(world: World) -> None:
    async with world.ingesting():
        await eventually(world.caught_up)
        world.chain.reorganise(2, 12)
        await eventually(world.caught_up)

    await world.check()


async def test_a_shorter_branch_waits_until_it_has_grown_to_our_height(world: World) -> None:
    async with world.ingesting():
        await eventually(world.caught_up)
        world.chain.reorganise(3, 1)
        heads = world.node.count("eth_getBlockByNumber")
        await eventually(lambda: world.node.count("eth_getBlockByNumber") > heads + 3)
        assert not [r for r in await chain_records(world.settings, "d") if isinstance(r, Rollback)]
        world.chain.mine(2)
        await eventually(world.caught_up)

    await world.check()


async def test_a_deeper_reorganisation_stops_with_a_clear_error(world: World) -> None:
    async with world.ingesting() as task:
        await eventually(world.caught_up)
        before = await chain_records(world.settings, "d")
        world.chain.reorganise(FINALITY + 1, FINALITY + 2)

        with pytest.raises(DeepReorganisation, match="finality_depth 6"):
            await asyncio.wait_for(task, 40)
    assert before == await chain_records(world.settings, "d")


async def test_a_restart_goes_on_without_gap_or_repetition(world: World) -> None:
    for blocks in (0, 1, 5, 40):
        world.chain.mine(blocks)
        async with world.ingesting():
            await eventually(world.caught_up)

    await world.check()


@pytest.mark.parametrize("depth", [1, FINALITY])
async def test_a_reorganisation_while_down_is_rolled_back_at_the_next_start(world: World, depth: int) -> None:
    async with world.ingesting():
        await eventually(world.caught_up)
    world.chain.reorganise(depth, 50)
    async with world.ingesting():
        await eventually(world.caught_up)

    await world.check()


async def test_the_finalized_tag_is_taken_where_it_is_higher(world: World) -> None:
    world.node.finalized_depth = 2
    async with world.ingesting():
        await eventually(world.caught_up)

    marks = [r for r in await chain_records(world.settings, "d") if isinstance(r, Watermark)]
    assert 97 == marks[-1].final


async def test_logs_of_a_branch_that_was_left_are_fetched_again(world: World) -> None:
    once = iter([True])

    def another_branch(logs: list[dict[str, object]]) -> list[dict[str, object]]:
        return [{**log, "blockHash": "0x" + "ab" * 32} for log in logs] if next(once, False) else logs

    world.node.spoil["eth_getLogs"] = another_branch
    async with world.ingesting():
        await eventually(world.caught_up)

    await world.check()


async def test_removed_logs_are_left_out(world: World) -> None:
    world.node.spoil["eth_getLogs"] = lambda logs: [*logs, *({**log, "removed": True} for log in logs)]
    async with world.ingesting():
        await eventually(world.caught_up)

    await world.check()


async def test_a_subscription_tells_of_new_heads(world: World) -> None:
    world.settings = world.configured(url=world.node.ws_url)
    await create_all(world.settings)
    async with world.ingesting():
        await eventually(world.caught_up)
        await eventually(lambda: world.node.count("eth_subscribe") == 1)
        world.chain.mine(1)
        await world.node.announce()
        await eventually(world.caught_up)

    await world.check()


async def test_blocks_are_records_with_header_and_raw_logs(world: World) -> None:
    async with world.ingesting():
        await eventually(world.caught_up)

    head = world.chain.head
    block = surviving_blocks(await chain_records(world.settings, "d"))[head.number]
    assert Block(head.number, head.hash, head.parent, head.time_s, block.logs) == block
    assert [(log["address"], tuple(log["topics"]), log["data"], log["transactionHash"]) for log in head.logs] == [
        (log.address, log.topics, log.data, log.tx) for log in block.logs
    ]
