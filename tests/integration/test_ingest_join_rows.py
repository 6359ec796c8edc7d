from __future__ import annotations

import random
from typing import TYPE_CHECKING

import aiohttp
import pytest

from models.chain_records import Join, Joined
from models.engine.in_memory import Engine
from models.engine.tables import ACCOUNTS
from models.ids import split_key
from models.symmio.account import decode_account
from models.symmio.deployment import SymmioDeployment
from models.symmio.replay import Replay
from models.symmio.venue import engine_deployment
from streams.audit.comparison import differences
from streams.ingest.symmio.checkpoint import read_checkpoints
from streams.ingest.symmio.recording import read_recorded_blocks
from streams.node.contract_views import ContractViews
from streams.node.endpoints import Node
from streams.node.rpc import HttpEndpoint
from tests.support.chain import RECORDING, recorded_chain, recorded_diamond
from tests.support.contract_views import RecordedViews
from tests.support.node import FakeNode

if TYPE_CHECKING:
    from models.chain_records import ChainRecord

HEDGERS = ("0x15d34aaf54267db7d7c367839aaf71a00a2c6a65", "0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc")
VIEWS = RecordedViews()


@pytest.mark.parametrize("block", sorted(random.Random(11).sample(sorted(VIEWS.snapshots)[20:], 10)))
async def test_a_join_at_any_block_and_the_later_logs_come_to_the_same_rows(block: int) -> None:
    blocks = read_recorded_blocks(RECORDING / "logs.json.gz")
    whole = Replay(recorded_diamond())
    for one in blocks:
        whole.fold(one)
    accounts = sorted(VIEWS.accounts(block))
    async with FakeNode(recorded_chain()) as fake, aiohttp.ClientSession() as session:
        fake.eth_call, fake.storage = VIEWS.call, VIEWS.storage
        node = Node("d", [HttpEndpoint(session, fake.url, "#1")], 31337)
        header = await node.header(block)
        assert header is not None
        views = ContractViews(recorded_diamond(), block)
        checkpoints = await read_checkpoints(node, views, header, dict.fromkeys(accounts), HEDGERS)
    engine = Engine({"d": engine_deployment(SymmioDeployment(recorded_diamond()))})
    records: list[ChainRecord] = [
        Join(block, header.hash, header.time_s, ()),
        *checkpoints,
        Joined(block, len(checkpoints)),
        *(one for one in blocks if one.number > block),
    ]
    for offset, record in enumerate(records):
        engine.raw("d", record, offset)
    joined = {split_key(key)[1]: decode_account(row) for key, row in engine.tables.items(ACCOUNTS)}

    assert [] == engine.refused
    assert [] == [
        difference
        for account in accounts
        for difference in differences(account, joined[account].state, whole.rows[account].state)
    ]
