"""What ``tidemark doctor`` says where something is not as it should be."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import SecretStr

from models.findings import Finding, Verdict, fine, worst
from models.heartbeats import HISTORY_KEY, ChainBeat, HistoryBeat, PricesBeat, encode_beat
from streams.audit.deployment_checks import check_deployment
from streams.checks.access_checks import check_access
from streams.checks.disk_checks import check_disk
from streams.checks.part_checks import check_lag, check_parts
from streams.checks.topic_checks import check_registry
from streams.kafka.producer import start_producer
from streams.kafka.topics import HEARTBEATS, PRICE_TICKS, Topic, create_topics, topic_name
from streams.process.clock import SystemClock
from streams.settings import Settings, SourceSettings, SymmioSettings
from tests.support.chain import DIAMOND, Chain
from tests.support.clocks import WallClock
from tests.support.node import FakeNode
from tests.support.records import create_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pytest

CHAIN_ID = 31_337
ROOT = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:1"


def by_check(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


async def test_topics_as_declared_are_fine_and_a_cluster_without_an_authorizer_is_said_to_be_open(
    settings: Callable[..., Settings],
) -> None:
    own = settings()
    await create_all(own)
    assert {Verdict.FINE} == {finding.verdict for finding in await check_registry(own)}
    access = await check_access(own)
    assert Verdict.WARNING is access.verdict
    assert "no authorizer" in access.found
    assert "has committed nothing yet" in (await check_lag(own)).found


async def test_what_waits_in_a_partition_of_which_nothing_was_ever_committed_counts(
    settings: Callable[..., Settings],
) -> None:
    own = settings()
    await create_all(own)
    ticks = topic_name(own, PRICE_TICKS)
    producer = await start_producer(own.bootstrap)
    for partition in (0, 1, 1, 1):
        await producer.send_and_wait(ticks, b"{}", key=b"k", partition=partition)
    await producer.stop()
    consumer = AIOKafkaConsumer(bootstrap_servers=own.kafka, group_id=own.app_id, enable_auto_commit=False)
    await consumer.start()
    consumer.assign([TopicPartition(ticks, 0)])
    await consumer.commit({TopicPartition(ticks, 0): 1})
    await consumer.stop()

    assert f"records that wait: {ticks} 3" == (await check_lag(own)).found


async def test_topics_that_are_missing_or_otherwise_are_named(settings: Callable[..., Settings]) -> None:
    own = settings()
    name = topic_name(own, PRICE_TICKS)
    await create_topics(own.bootstrap, (Topic(name, "any", 3, 1, {"retention.ms": "1000"}),))
    found = by_check(await check_registry(own))
    assert Verdict.WRONG is found["topics"].verdict
    assert topic_name(own, HEARTBEATS) in found["topics"].found
    assert f"{name} has 3 partitions and not 4" == found["partitions"].found
    assert f"{name} has retention.ms=1000 and not 604800000" in found["topic settings"].found


async def test_parts_that_do_not_beat_and_a_clock_that_is_ahead_are_named(settings: Callable[..., Settings]) -> None:
    own = settings(sources={"v": SourceSettings()})
    await create_all(own)
    clock = SystemClock()
    producer = await start_producer(own.bootstrap)
    beat = ChainBeat("host:1", clock.now_ms() + 60_000, 0, 0, 0)
    await producer.send_and_wait(topic_name(own, HEARTBEATS), encode_beat(beat), key=b"chain:d")
    await producer.stop()
    found = by_check(await check_parts(own, clock, ["chain:d"]))
    assert "nobody keeps these fresh: worker:0, worker:1, worker:2, worker:3, prices:v" == found["parts"].found
    assert Verdict.FINE is found["history"].verdict
    assert "nobody has kept how figures went, so charts have no past" == found["history"].found
    assert re.fullmatch(r"host:1 is [2-6]\d\.\d s ahead of this machine", found["clocks"].found)


async def test_each_endpoint_is_asked_by_itself_and_addresses_without_a_contract_are_named() -> None:
    chain = Chain()
    chain.mine(3)
    async with FakeNode(chain) as node:
        deployment = SymmioSettings(
            chain_id=CHAIN_ID, diamond=DIAMOND, rpc=(SecretStr(NOWHERE), SecretStr(node.url)), start_block=1
        )
        found = by_check(await check_deployment(Settings(), "d", deployment, SystemClock()))
        other = deployment.model_copy(update={"chain_id": CHAIN_ID + 1})
        of_another = by_check(await check_deployment(Settings(), "d", other, SystemClock()))
    assert Verdict.WRONG is found["rpc #1 of d"].verdict
    assert Verdict.WRONG is not found["rpc #2 of d"].verdict
    assert Verdict.FINE is found[f"contract {DIAMOND} of d"].verdict
    # The node of the test knows no views.
    assert Verdict.WRONG is found["views of d"].verdict
    assert f"it is of chain {CHAIN_ID} and not {CHAIN_ID + 1}" == of_another["rpc #2 of d"].found
    assert NOWHERE not in str(found)


async def test_a_source_is_judged_by_what_its_ingest_hears(settings: Callable[..., Settings]) -> None:
    own = settings(sources={"heard": SourceSettings(), "silent": SourceSettings(), "nobodys": SourceSettings()})
    await create_all(own)
    now_ms = SystemClock().now_ms()
    producer = await start_producer(own.bootstrap)
    for name, heard_ms in (("heard", now_ms), ("silent", now_ms - 60_000)):
        beat = encode_beat(PricesBeat("host:1", now_ms, heard_ms))
        await producer.send_and_wait(topic_name(own, HEARTBEATS), beat, key=f"prices:{name}".encode())
    await producer.stop()
    found = by_check(await check_parts(own, WallClock(lambda: now_ms + 1_000), []))
    assert (Verdict.FINE, "it sent a price 1.0 s ago") == found["source heard"][1:3]
    assert (Verdict.WRONG, "it sent no price for 61 s") == found["source silent"][1:3]
    assert Verdict.UNKNOWN is found["source nobodys"].verdict


async def test_history_that_stopped_or_is_behind_is_said(settings: Callable[..., Settings]) -> None:
    own = settings()
    await create_all(own)
    now_ms = SystemClock().now_ms()
    producer = await start_producer(own.bootstrap)

    async def found(at_ms: int, in_step_ms: int) -> str:
        beat = encode_beat(HistoryBeat("host:1", at_ms, in_step_ms))
        await producer.send_and_wait(topic_name(own, HEARTBEATS), beat, key=HISTORY_KEY.encode())
        return by_check(await check_parts(own, WallClock(lambda: now_ms), []))["history"].found

    assert "nobody has kept how figures went for 8 s" == await found(now_ms - 8_000, now_ms - 8_000)
    assert "host:1 has not read all that was shown since its start" == await found(now_ms, 0)
    assert "host:1 has not read all that was shown for 61 s" == await found(now_ms, now_ms - 61_000)
    assert "all that was shown is kept" == await found(now_ms, now_ms - 60_000)
    await producer.stop()


def test_a_disk_with_little_room_is_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = namedtuple("usage", ("total", "used", "free"))  # noqa: PYI024 - as shutil has it
    for free_gib, expected in ((50, Verdict.FINE), (5, Verdict.WARNING), (0.5, Verdict.WRONG)):
        free = int(free_gib * (1 << 30))
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage(100 << 30, 0, free))
        assert expected is check_disk(tmp_path / "not" / "made" / "yet").verdict


def test_the_worst_finding_decides() -> None:
    found = [fine("a", ""), Finding("b", Verdict.WARNING, ""), Finding("c", Verdict.UNKNOWN, "")]
    assert Verdict.UNKNOWN is worst(found)
    assert Verdict.WRONG is worst([*found, Finding("d", Verdict.WRONG, "")])
    assert Verdict.FINE is worst([])


def test_without_a_broker_the_rest_is_checked_and_the_code_says_that_something_is_wrong(tmp_path: Path) -> None:
    environment = {**os.environ, "TIDEMARK_KAFKA": "127.0.0.1:1", "TIDEMARK_DATA_DIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-m", "tidemark.cli", "doctor", "--json"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    told = json.loads(ended.stdout)
    assert (5, "wrong") == (ended.returncode, told["verdict"])
    assert ["broker", "disk"] == [finding["check"] for finding in told["findings"]]
