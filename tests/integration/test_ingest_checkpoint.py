from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from models.chain_records import Block, Checkpoint, Join, Joined, Rollback, Watermark, encode_chain_record
from models.symmio.topics import CHAIN_BLOCKS
from streams.ingest.outlet import opened_outlet
from streams.ingest.symmio import chain_follow as chain_ingest
from streams.kafka.topics import topic_name
from streams.process.clock import SystemClock
from streams.settings import Settings, SymmioSettings
from tests.support.chain import recorded_chain, recorded_diamond
from tests.support.contract_views import OPEN, PENDING, RecordedViews
from tests.support.eventually import eventually
from tests.support.node import FakeNode
from tests.support.records import chain_records, create_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from models.chain_records import ChainRecord

END = 681
HEDGERS = ("0x15d34aaf54267db7d7c367839aaf71a00a2c6a65", "0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc")


class World:
    def __init__(self, node: FakeNode, views: RecordedViews, make_settings: Callable[..., Settings]) -> None:
        self.node = node
        self.views = views
        self._make_settings = make_settings
        self.settings = self.configured(start_block=None)

    def configured(self, start_block: int | None) -> Settings:
        deployment = SymmioSettings(
            chain_id=31337,
            diamond=recorded_diamond(),
            hedgers=HEDGERS,
            rpc=(self.node.url,),  # type: ignore[arg-type]
            start_block=start_block,
            finality_depth=1,
            poll_interval_ms=10,
        )
        return self._make_settings(deployments={"d": deployment})

    @asynccontextmanager
    async def ingesting(self, from_state: int | None = None) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(chain_ingest.run(self.settings, "d", SystemClock(), from_state=from_state))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def records(self) -> list[ChainRecord]:
        return await chain_records(self.settings, "d")

    async def is_at_head(self) -> bool:
        return any(isinstance(record, Watermark) and record.head == END for record in await self.records())

    async def put(self, *records: ChainRecord) -> None:
        assert self.settings.kafka is not None
        async with opened_outlet(self.settings.bootstrap) as outlet:
            for record in records:
                await outlet.put(topic_name(self.settings, CHAIN_BLOCKS), b"d", encode_chain_record(record))


@pytest_asyncio.fixture
async def world(settings: Callable[..., Settings]) -> AsyncIterator[World]:
    views = RecordedViews()
    async with FakeNode(recorded_chain()) as node:
        node.eth_call = views.call
        node.storage = views.storage
        world = World(node, views, settings)
        await create_all(world.settings)
        yield world


@pytest.mark.parametrize("block", [349, 437, 540, 680])
async def test_every_account_is_checkpointed_as_the_contract_answers(world: World, block: int) -> None:
    async with world.ingesting(block):
        await eventually(world.is_at_head, timeout_s=30)

    records = await world.records()
    checkpoints = {record.account: record for record in records if isinstance(record, Checkpoint)}
    snapshot = world.views.snapshots[block]
    quotes = world.views.quotes(block)
    owning = {quote[7] for quote in quotes.values()}
    assert owning == set(checkpoints)
    for account, checkpoint in checkpoints.items():
        expected_ids = [i for i in sorted(quotes) if quotes[i][7] == account and quotes[i][0] in OPEN + PENDING]
        assert tuple(map(str, snapshot["A"].get(account, [0] * 9))) == checkpoint.balances
        assert expected_ids == [view.quote_id for view in checkpoint.quotes]
        assert {
            party_b: tuple(map(str, snapshot["B"][party_b + account]))
            for party_b in HEDGERS
            if any(snapshot["B"].get(party_b + account, ()))
        } == {view.party_b: view.balances for view in checkpoint.party_bs}
        for view in checkpoint.quotes:
            status, quantity, closed, opened, _, locked, *_ = quotes[view.quote_id]
            assert (status, str(quantity), str(closed), str(opened)) == (
                view.status, view.quantity, view.closed_amount, view.opened_price,
            )  # fmt: skip
            assert tuple(map(str, locked)) == view.locked


async def test_a_join_is_a_beginning_checkpoints_an_end_and_the_later_logs(world: World) -> None:
    async with world.ingesting(437):
        await eventually(world.is_at_head, timeout_s=30)

    kinds = [type(record) for record in await world.records()]
    accounts = kinds.count(Checkpoint)
    assert [Join, *[Checkpoint] * accounts, Joined, Watermark] == kinds[: accounts + 3]
    blocks = [record for record in await world.records() if isinstance(record, Block)]
    assert min(block.number for block in blocks) > 437
    expected = [block.number for block in world.node.chain.blocks[438:END] if block.logs]
    assert expected == [block.number for block in blocks if block.logs and block.number < END]


async def test_symbols_come_with_the_join(world: World) -> None:
    async with world.ingesting(437):
        await eventually(world.is_at_head, timeout_s=30)

    join = next(record for record in await world.records() if isinstance(record, Join))
    assert {"BTCUSDT"} <= {symbol.name for symbol in join.symbols} or join.symbols
    assert list(range(1, len(join.symbols) + 1)) == [symbol.symbol_id for symbol in join.symbols]


async def test_without_a_start_block_the_final_block_is_joined(world: World) -> None:
    async with world.ingesting():
        await eventually(world.is_at_head, timeout_s=30)

    assert [END - 1] == [record.block for record in await world.records() if isinstance(record, Join)]


async def test_a_block_that_is_not_final_is_joined_once_it_is(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.node.lag_blocks = 1
    async with world.ingesting(END - 1):
        await eventually(lambda: f"found {END - 1}; the newest final one is {END - 2}" in caplog.text, timeout_s=30)
        assert [] == await world.records()
        world.node.lag_blocks = 0
        await eventually(lambda: _has_joined(world), timeout_s=30)

    assert [END - 1] == [record.block for record in await world.records() if isinstance(record, Join)]


async def test_a_join_that_was_not_finished_is_made_anew(world: World) -> None:
    async with world.ingesting(437):
        await eventually(world.is_at_head, timeout_s=30)
    whole = await world.records()
    world.settings = world.configured(start_block=None)
    await create_all(world.settings)
    await world.put(*whole[:3])

    async with world.ingesting(437):
        await eventually(world.is_at_head, timeout_s=30)

    assert [*whole[:3], *whole] == (await world.records())[: len(whole) + 3]


async def test_a_finished_join_is_not_made_anew_by_the_same_command(world: World) -> None:
    async with world.ingesting(437):
        await eventually(world.is_at_head, timeout_s=30)
    before = await world.records()
    asked = len(world.node.requests)
    async with world.ingesting(437):
        await eventually(lambda: len(world.node.requests) > asked + 5)

    joins = [record for record in await world.records() if isinstance(record, Join)]
    assert 1 == len(joins)
    assert before == (await world.records())[: len(before)]


async def test_a_running_deployment_is_joined_anew_at_a_block_above_its_final_one(world: World) -> None:
    world.settings = world.configured(start_block=0)
    await create_all(world.settings)
    header = {block.number: block for block in world.node.chain.blocks}
    await world.put(
        Watermark(600, 0, 600),
        *(Block(n, header[n].hash, header[n].parent, header[n].time_s, ()) for n in range(601, END + 1)),
    )
    async with world.ingesting(680):
        await eventually(lambda: _has_joined(world), timeout_s=30)

    records = [record for record in await world.records() if isinstance(record, Rollback | Join | Joined)]
    assert [Rollback, Join, Joined] == [type(record) for record in records]
    assert Rollback(680, header[680].hash) == records[0]


async def _has_joined(world: World) -> bool:
    return any(isinstance(record, Joined) for record in await world.records())
