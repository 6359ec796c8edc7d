"""``tidemark audit --logs``: the records in chain-blocks against a node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from models.chain_records import Block, Join, Joined, Rollback, Watermark, encode_chain_record
from models.symmio.topics import CHAIN_BLOCKS
from streams.audit.account_audit import NothingToAudit
from streams.audit.log_audit import LogDifference, audit_logs
from streams.ingest.outlet import opened_outlet
from streams.kafka.topics import topic_name
from streams.node.blocks import read_logs
from streams.settings import Settings, SymmioSettings
from tests.support.chain import DIAMOND, Chain
from tests.support.node import FakeNode
from tests.support.records import create_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.chain_records import ChainRecord


def recorded(chain: Chain, first: int, last: int, *, without: Sequence[int] = ()) -> list[ChainRecord]:
    """The records of blocks, and that all are final."""
    blocks: list[ChainRecord] = [
        Block(
            one.number,
            one.hash,
            one.parent,
            one.time_s,
            () if one.number in without else tuple(found.log for found in read_logs(list(one.logs)).logs),
        )
        for one in chain.blocks[first : last + 1]
    ]
    return [*blocks, Watermark(last, chain.blocks[last].time_s, last)]


async def setup(settings: Callable[..., Settings], node: FakeNode, records: Sequence[ChainRecord]) -> Settings:
    deployment: Any = SymmioSettings(chain_id=31337, diamond=DIAMOND, rpc=(node.url,), start_block=1)  # type: ignore[arg-type]
    own = settings(deployments={"d": deployment})
    await create_all(own)
    async with opened_outlet(own.bootstrap) as outlet:
        for record in records:
            await outlet.put(topic_name(own, CHAIN_BLOCKS), b"d", encode_chain_record(record))
        await outlet.flush()
    return own


@pytest.fixture
def chain() -> Chain:
    chain = Chain()
    chain.mine(40)
    return chain


async def test_logs_that_agree_are_clean(settings: Callable[..., Settings], chain: Chain) -> None:
    async with FakeNode(chain) as node:
        own = await setup(settings, node, recorded(chain, 1, 30))
        report = await audit_logs(own, "d", 5, 25)

    assert (21, True, True) == (report.logs, report.is_clean, report.is_complete)


async def test_a_log_that_was_lost_is_named(settings: Callable[..., Settings], chain: Chain) -> None:
    lost = chain.blocks[9].logs[0]
    async with FakeNode(chain) as node:
        own = await setup(settings, node, recorded(chain, 1, 30, without=[9]))
        report = await audit_logs(own, "d", 1, 30)

    assert [LogDifference(9, lost["blockHash"], lost["transactionHash"], 0, "node")] == report.differences
    assert not report.is_clean


async def test_a_log_that_the_node_does_not_have_is_named_or_undecided(
    settings: Callable[..., Settings], chain: Chain
) -> None:
    async with FakeNode(chain) as node:
        node.spoil["eth_getLogs"] = lambda logs: [log for log in logs if log["blockNumber"] != hex(9)]
        own = await setup(settings, node, recorded(chain, 1, 30))
        report = await audit_logs(own, "d", 1, 30)

    # The stand-in tells no receipts, so nobody can say whether the log is on the chain.
    assert [(9, 9)] == list(report.skipped)


async def test_a_block_that_was_written_anew_counts_as_it_stands(
    settings: Callable[..., Settings], chain: Chain
) -> None:
    first = recorded(chain, 1, 20, without=[18])[:-1]
    async with FakeNode(chain) as node:
        again = [Rollback(17, chain.blocks[17].hash), *recorded(chain, 18, 30)]
        report = await audit_logs(await setup(settings, node, [*first, *again]), "d", 1, 30)

    assert (30, True) == (report.logs, report.is_clean)


async def test_blocks_that_a_join_stands_for_or_that_are_not_final_are_said(
    settings: Callable[..., Settings], chain: Chain
) -> None:
    block = chain.blocks[20]
    joined: list[ChainRecord] = [Join(20, block.hash, block.time_s, ()), Joined(20, 0), Watermark(20, block.time_s, 20)]
    async with FakeNode(chain) as node:
        own = await setup(settings, node, [*recorded(chain, 1, 10), *joined, *recorded(chain, 21, 30)])
        report = await audit_logs(own, "d", 1, 35)
        with pytest.raises(NothingToAudit, match="30 final"):
            await audit_logs(own, "d", 31, 35)

    assert (20, True) == (report.logs, report.is_clean)
    assert {(11, 20), (31, 35)} == set(report.skipped)
