"""Position states of a recorded chain and of an engine, through workers that are killed on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from models.chain_records import Block, Rollback
from models.engine.tables import POSITION_STATES
from models.provenance import MADE_FROM
from models.symmio.topics import POSITION_STATES_IN
from streams.kafka.partitions import partition_of
from streams.kafka.topics import DEAD_LETTERS, create_topics, registry, topic_name
from streams.settings import WorkerSettings
from tests.support.eventually import eventually
from tests.support.golden import DEPLOYMENT, Oracle, golden_chain, golden_deployment
from tests.support.pipeline import all_committed, end_offset, feed_rows, producer, worker, write_chain
from tests.support.positions import engine_record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from models.chain_records import ChainRecord
    from streams.settings import Settings


LONG_AGO_S = 10**8


def old_chain() -> list[ChainRecord]:
    """The recording, whose own times are of the future, as of years ago."""
    return [
        msgspec.structs.replace(record, time_s=record.time_s - LONG_AGO_S) if isinstance(record, Block) else record
        for record in golden_chain()
    ]


async def states(settings: Settings) -> dict[bytes, list[dict[str, Any]]]:
    return {key: row.body["states"] for key, row in (await feed_rows(settings, POSITION_STATES)).items()}


async def say(settings: Settings, *records: tuple[bytes, dict[str, Any]]) -> None:
    async with producer(settings) as sender:
        for key, record in records:
            await sender.send(topic_name(settings, POSITION_STATES_IN), orjson.dumps(record), key=key)


async def test_killed_workers_make_each_state_once_and_old_ones_are_never_pushed(
    settings: Callable[..., Settings],
) -> None:
    mine = settings(deployments=golden_deployment(), worker=WorkerSettings(slice_records=12))
    chain = old_chain()
    await create_topics(mine.bootstrap, registry(mine))
    await write_chain(mine, DEPLOYMENT, chain)
    for _ in range(2):
        async with worker(mine, fault="slow") as process:
            await eventually(process.at_fault, 30)
            process.kill()
    async with worker(mine) as process:
        await process.ready()
        await all_committed(mine)
        oracle = Oracle(mine.deployments, chain).rows(POSITION_STATES, mine.topics.partitions)
        expected = {key: body["states"] for key, (_, body) in oracle.items()}
        found = await states(mine)

        assert expected.keys() == found.keys()
        apart = {"push", MADE_FROM}
        for key, own in expected.items():
            assert [_without(one, apart) for one in own] == [_without(one, apart) for one in found[key]]
        assert {(False, False)} == {(one["push"], "due_ms" in one) for own in found.values() for one in own}

        await rolled_back_and_said(mine, chain, found)


async def rolled_back_and_said(
    settings: Settings, chain: Sequence[ChainRecord], before: Mapping[bytes, Sequence[Mapping[str, Any]]]
) -> None:
    """The last block with a state leaves the chain; the engine speaks of one that stayed, twice, and once badly."""
    key, (last, *_) = max(before.items(), key=lambda item: int(item[1][0]["block"]))
    ancestor = max(one.number for one in chain if isinstance(one, Block) and one.number < last["block"])
    await write_chain(settings, DEPLOYMENT, [Rollback(ancestor, f"0x{ancestor:064x}")])
    record = engine_record(counterparty_address=key.decode().split(":")[1], quote_id=10**6)
    await say(settings, (key, record), (key, {**record, "version": 2}), (key, record), (b"golden:0x1", record))

    async def is_told() -> bool:
        own = (await states(settings))[key]
        return (
            "engine" in {one["source"] for one in own}
            and last["id"] not in {one["id"] for one in own}
            and await end_offset(settings, topic_name(settings, DEAD_LETTERS)) == 1
        )

    await eventually(is_told)
    spoken = [one for one in (await states(settings))[key] if one["source"] == "engine"]
    assert [(record["id"], 2, True)] == [(one["id"], one["version"], one["push"]) for one in spoken]
    # It is the second record of the account's partition, whatever was said again behind it.
    made = spoken[0][MADE_FROM]
    assert (partition_of(key, settings.topics.partitions), 1) == (made["partition"], made["offset"])


def _without(state: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: part for name, part in state.items() if name not in names}
