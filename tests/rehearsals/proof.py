"""Whether the tables are what the engine makes of the topics, and the topics what the world said."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient

from models.codec import decode_row
from models.engine.in_memory import Engine
from models.engine.tables import DEPLOYMENTS, MARKS, POSITION_STATES, VALUATIONS, WATERMARKS
from models.errors import BadRecord
from models.prices import decode_tick
from models.symmio.topics import CHAIN_BLOCKS
from models.symmio.venue import SYMMIO
from streams.kafka.topics import PRICE_TICKS, routed_name, topic_name
from streams.process.clock import SystemClock
from streams.replay.kafka_log import KafkaLog
from streams.replay.log_window import resolve_times
from streams.replay.merging import read_merged
from streams.settings.venues import engine_deployments
from tests.rehearsals.cluster import DEPLOYMENT
from tests.support.eventually import eventually
from tests.support.golden import CHAIN_TABLES, comparable
from tests.support.pipeline import feed_rows
from tests.support.positions import standing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.codec import Row
    from streams.replay.bounded_log import Place
    from tests.rehearsals.cluster import Cluster

TABLES_OF_TOPICS = (*CHAIN_TABLES, MARKS)
_ALL_COMPARED, _SOME_NOT_COMPARED = 0, 3


class Proof(NamedTuple):
    """What was compared, and found the same."""

    records: int
    rows: int
    valuations: int


async def proven(cluster: Cluster, timeout_s: float = 120) -> Proof:
    """Hold the world still, compare, and let it go on.

    Args:
        cluster: What runs.
        timeout_s: How long everything may take to catch up with the world, on a machine that does nothing else.

    Raises:
        AssertionError: Something was lost, or is otherwise than the engine makes it.
    """
    head = (await cluster.world.tell(blocks=False, prices=False))["head"]
    try:
        return await _proven(cluster, head, timeout_s)
    finally:
        await cluster.world.tell(blocks=True, prices=True)


async def _proven(cluster: Cluster, head: int, timeout_s: float) -> Proof:
    seen = _Seen(0, 0, ["nothing yet"])

    async def is_the_same() -> bool:
        nonlocal seen
        engine, records, ends = await _folded(cluster)
        if _head(engine) != head:
            return False
        # To fold is dear, to ask for offsets is not.
        await _wait_committed(cluster, ends, timeout_s)
        # What is final moves while the chain stands still, so records may have come meanwhile: all is read again then.
        seen = await _compared(cluster, engine, records)
        return not seen.differing

    try:
        await eventually(is_the_same, timeout_s)
    except AssertionError as error:
        msg = f"tables differ from what the engine makes of the topics: {seen.differing}"
        raise AssertionError(msg) from error
    valued = await _expect_verified(cluster)
    return Proof(seen.records, seen.rows, valued)


class _Seen(NamedTuple):
    records: int
    rows: int
    differing: list[str]


async def _folded(cluster: Cluster) -> tuple[Engine, int, dict[Place, int]]:
    """What the engine makes of all that stands in the raw topics, how many records that is, and where each ends."""
    settings = cluster.settings
    engine, clock, count = Engine(engine_deployments(settings.deployments)), SystemClock(), 0
    log = KafkaLog(cluster.broker.open, {}, clock)
    chain, prices = topic_name(settings, CHAIN_BLOCKS), topic_name(settings, PRICE_TICKS)
    ends: dict[Place, int] = {}
    topics = [chain, prices, routed_name(settings, SYMMIO.routed)]
    async for record in read_merged(log, await resolve_times(log, topics, 0, None)):
        ends[record.place] = record.offset + 1
        assert record.value is not None
        if record.topic == chain:
            count += 1
            engine.raw_value(DEPLOYMENT, record.value, record.offset, clock.now_ms())
        elif record.topic == prices:
            count += 1
            try:
                engine.tick(decode_tick(record.value), record.offset)
            except BadRecord as error:
                engine.refused.append(str(error))
    return engine, count, ends


async def _wait_committed(cluster: Cluster, ends: dict[Place, int], timeout_s: float) -> None:
    """Wait until workers have folded everything; what a transaction leaves behind its records is nobody's to commit."""
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.settings.kafka)
    await admin.start()

    async def is_committed() -> bool:
        committed = await admin.list_consumer_group_offsets(cluster.settings.app_id)
        done = {(place.topic, place.partition): known.offset for place, known in committed.items()}
        return all(done.get((place.topic, place.partition), 0) >= end for place, end in ends.items())

    try:
        await eventually(is_committed, timeout_s)
    finally:
        await admin.close()


def _head(engine: Engine) -> int | None:
    rows = [decode_row(value).body for _, value in engine.tables.items(DEPLOYMENTS)]
    return rows[0]["head"] if rows else None


async def _compared(cluster: Cluster, engine: Engine, records: int) -> _Seen:
    count, differing = 0, []
    for table in TABLES_OF_TOPICS:
        wanted = _wanted(engine, table, cluster.settings.topics.partitions)
        count += len(wanted)
        if _comparable(table, await feed_rows(cluster.settings, table)) != wanted:
            differing.append(table)
    return _Seen(records, count, differing)


def _comparable(table: str, rows: Mapping[bytes, Row]) -> dict[bytes, tuple[int, dict[str, Any]]]:
    """Rows without what depends on who wrote them, and when."""
    if table != POSITION_STATES:
        return comparable(table, rows)
    # How often a row changed, and its count of that, tell when states came.
    return {key: (0, {**row.body, "count": None, "states": standing(row.body)}) for key, row in rows.items()}


def _wanted(engine: Engine, table: str, partitions: int) -> dict[bytes, tuple[int, dict[str, Any]]]:
    rows = {key: decode_row(value) for key, value in engine.tables.items(table)}
    if table == WATERMARKS:
        # Every partition is told the same of the chain; the engine has but one.
        ((_, row),) = rows.items()
        rows = {f"{DEPLOYMENT}:{partition}".encode(): row for partition in range(partitions)}
    return _comparable(table, rows)


async def _expect_verified(cluster: Cluster) -> int:
    """``tidemark verify`` finds that rows follow from what they name, ``tidemark audit`` that they are the chain's."""
    code, said, faults = await cluster.run("analyst", "verify", "--json")
    assert code == 0, (code, said, faults)
    assert json.loads(said)["differences"] == []
    code, told, faults = await cluster.run("tools", "audit", DEPLOYMENT)
    assert code in {_ALL_COMPARED, _SOME_NOT_COMPARED}, (code, told, faults)
    expect_audited(told)
    rows = await feed_rows(cluster.settings, VALUATIONS)
    assert rows
    return int(json.loads(said)["same"])


def expect_audited(told: str) -> None:
    """Accounts were compared with the chain, and all that were are the same.

    Args:
        told: What ``tidemark audit`` said.
    """
    found = re.search(r"(\d+) accounts compared, (\d+) differ, (\d+) suspect", told)
    assert found is not None, told
    compared, differ, suspect = map(int, found.groups())
    assert (0, 0) == (differ, suspect), told
    assert compared, told
