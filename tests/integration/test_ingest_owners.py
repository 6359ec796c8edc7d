"""Whose a sub-account is: asked on a topic by replicas of the api, and answered on another by the chain's ingest."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from eth_abi.abi import decode, encode

from api.dialects.symmio.owner_answers import OwnerAnswers, OwnersReader
from api.dialects.symmio.owners import Owners
from models.ids import account_key
from streams.ingest.symmio import chain_follow as chain_ingest
from streams.kafka.single_records import Records
from streams.kafka.topics import OWNER_REQUESTS, OWNERS
from streams.process.clock import SystemClock
from streams.settings import SymmioSettings
from tests.support.chain import DIAMOND, Chain
from tests.support.eventually import eventually
from tests.support.node import FakeNode
from tests.support.records import create_all, read_topic

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import Settings

MULTI_ACCOUNT, OTHER = "0x" + "a1" * 20, "0x" + "a2" * 20
ALICE, NOBODYS, WALLET = "0x" + "0a" * 20, "0x" + "0c" * 20, "0x" + "0e" * 20


class Replica:
    """What of a replica of the api asks and hears."""

    def __init__(self, settings: Settings) -> None:
        answers = OwnerAnswers()
        self.records = Records(settings)
        self.reader = OwnersReader(settings, answers, SystemClock())
        self.owners = Owners(self.records, answers)


def owners_call(to: str, data: bytes, block: int) -> bytes:
    del block
    is_made = (to, decode(["address"], data[4:])[0]) == (MULTI_ACCOUNT, ALICE)
    return encode(["address"], [WALLET if is_made else "0x" + "0" * 40])


async def test_replicas_ask_and_ingest_asks_its_node_once_and_all_hear_it(settings: Callable[..., Settings]) -> None:
    chain = Chain()
    chain.mine(20)
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(FakeNode(chain))
        node.eth_call = owners_call
        deployment = SymmioSettings(
            chain_id=31337,
            diamond=DIAMOND,
            multi_accounts=(MULTI_ACCOUNT, OTHER),
            rpc=(node.url,),  # type: ignore[arg-type]
            start_block=0,
            poll_interval_ms=10,
        )
        one = settings(deployments={"d": deployment})
        await create_all(one)
        replicas = [Replica(one) for _ in range(2)]
        for replica in replicas:
            stack.push_async_callback(replica.records.stop)
            stack.push_async_callback(replica.reader.stop)
            await replica.reader.start()
        # What others than ingest's deployment are asked for is none of its business, and so is what cannot be read.
        await replicas[0].records.send(OWNER_REQUESTS, account_key("other", ALICE), b"{}")
        ingest = asyncio.create_task(chain_ingest.run(one, "d", SystemClock()))
        stack.callback(ingest.cancel)

        async def is_answering() -> bool:
            return await replicas[0].owners.owner_of("d", MULTI_ACCOUNT, NOBODYS) is None and any(
                key == account_key("d", NOBODYS) for key, _ in await read_topic(one, OWNERS)
            )

        await eventually(is_answering, timeout_s=20)
        before = len(calls_of(node))
        answers = await asyncio.gather(*(replica.owners.owner_of("d", MULTI_ACCOUNT, ALICE) for replica in replicas))
        assert [WALLET, WALLET] == answers
        assert await replicas[1].owners.owner_of("d", OTHER, ALICE) is None
        # The contract that made it was called once where the requests came together, else twice; no other one was.
        assert len(calls_of(node)) - before in (1, 2)


def calls_of(node: FakeNode) -> list[object]:
    return [params for method, params in node.requests if method == "eth_call"]
