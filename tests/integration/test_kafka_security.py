"""Clients of Kafka over TLS and SASL, against a broker that lets in nobody else and allows what the table says."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from models.engine.tables import MARKS
from streams.kafka.access import Operation, Resource, fence_name, grants
from streams.kafka.consumer import start_consumer
from streams.kafka.feed import Feed
from streams.kafka.producer import Fence, start_producer
from streams.kafka.shared_consumer import TopicMissing
from streams.kafka.topics import (
    LEASES,
    PRICE_TICKS,
    BadTopic,
    changelog_name,
    check_topics,
    create_topics,
    registry,
    topic_name,
)
from streams.process.clock import SystemClock
from streams.replay.bounded_log import NoSuchTopic
from streams.replay.kafka_log import KafkaLog
from streams.replay.log_window import resolve_times
from streams.replay.merging import read_merged
from streams.settings import Bootstrap, KafkaClientSettings, Settings, TopicSettings
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.secured_broker import SecuredBroker, secured_broker
from tests.support.stack import environment_of, stack
from tidemark.kafka import NotAdmitted, require_broker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SETTINGS = Settings(topics=TopicSettings(partitions=1))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    with secured_broker(tmp_path_factory.mktemp("secured")) as running:
        asyncio.run(prepared(running))
        yield running


async def prepared(broker: SecuredBroker) -> None:
    await create_topics(broker.open, registry(SETTINGS))
    await broker.allow(SETTINGS)


WAYS: dict[str, Callable[[SecuredBroker], Bootstrap]] = {
    "SCRAM-SHA-512 over TLS": lambda broker: broker.by_password("ingest-prices"),
    "SCRAM-SHA-256 over TLS": lambda broker: broker.by_password("ingest-prices", "SCRAM-SHA-256"),
    "PLAIN over TLS": lambda broker: broker.by_password("ingest-prices", "PLAIN"),
    "SCRAM in clear": lambda broker: broker.in_clear("ingest-prices"),
    "OAUTHBEARER over TLS": lambda broker: broker.by_token("ingest-prices"),
    "mTLS": lambda broker: broker.by_certificate("ingest-prices"),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_record_goes_out_by_every_way_to_prove_who_one_is(broker: SecuredBroker, way: str) -> None:
    bootstrap = WAYS[way](broker)
    assert bootstrap.client.protocol != "PLAINTEXT"
    producer = await start_producer(bootstrap)
    try:
        sent = await producer.send_and_wait(topic_name(SETTINGS, PRICE_TICKS), b"tick", key=b"v:BTC")
    finally:
        await producer.stop()
    assert sent.offset >= 0


async def test_a_feed_reads_by_password_and_by_certificate(broker: SecuredBroker) -> None:
    for bootstrap in (broker.by_password("api"), broker.by_certificate("api")):
        feed = Feed(bootstrap, changelog_name(SETTINGS, MARKS), SystemClock(), table=MARKS)
        await feed.start()
        await feed.wait_ready()
        await feed.stop()


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (lambda broker, _: broker.by_password("api", password="wrong"), "to admit tidemark-api by SCRAM-SHA-512"),
        (lambda broker, _: broker.by_password("api", "PLAIN", "wrong"), "to admit tidemark-api by PLAIN"),
        (lambda broker, _: broker.by_password("unknown"), "to admit tidemark-unknown"),
        (lambda *given: trusting_another(*given), "expected TLS with"),  # noqa: PLW0108 - it is defined below
    ],
    ids=["wrong password of SCRAM", "wrong password of PLAIN", "no such user", "another authority"],
)
def test_a_command_says_at_its_start_why_it_is_not_let_in(
    broker: SecuredBroker,
    tmp_path: Path,
    spoilt: Callable[[SecuredBroker, Path], Bootstrap],
    said: str,
) -> None:
    with pytest.raises(NotAdmitted, match=said) as refused:
        require_broker(spoilt(broker, tmp_path))
    assert "wrong" not in str(refused.value).replace("wrong password", "")


def trusting_another(broker: SecuredBroker, directory: Path) -> Bootstrap:
    way = broker.by_password("api")
    assert way.client.tls is not None
    tls = way.client.tls.model_copy(update={"ca": Authority(directory, "stranger").file})
    return Bootstrap(way.servers, way.client.model_copy(update={"tls": tls}))


def test_a_certificate_of_another_host_is_refused_unless_names_are_not_checked(broker: SecuredBroker) -> None:
    way = broker.by_password("api")
    by_name = Bootstrap(way.servers.replace("127.0.0.1", "localhost"), way.client)
    with pytest.raises(NotAdmitted, match="CERTIFICATE_VERIFY_FAILED"):
        require_broker(by_name)
    assert way.client.tls is not None
    tls = way.client.tls.model_copy(update={"check_hostname": False})
    require_broker(Bootstrap(by_name.servers, way.client.model_copy(update={"tls": tls})))


def test_a_client_without_a_certificate_is_not_let_in_where_one_is_asked_for(broker: SecuredBroker) -> None:
    way = broker.by_certificate("api")
    assert way.client.tls is not None
    tls = way.client.tls.model_copy(update={"certificate": None, "key": None})
    with pytest.raises(NotAdmitted, match="CERTIFICATE"):
        require_broker(Bootstrap(way.servers, KafkaClientSettings(tls=tls)))


async def test_every_process_may_write_the_very_topics_of_the_table(broker: SecuredBroker) -> None:
    every = [topic.name for topic in registry(SETTINGS)]
    for process, of_it in grants(SETTINGS).items():
        wanted = {one.name for one in of_it if one.resource is Resource.TOPIC and Operation.WRITE in one.operations}
        # Who may write nothing may not even become an idempotent producer.
        producer = await start_producer(broker.by_password(process), given_up_after_ms=10_000)
        written = set()
        try:
            for name in every:
                with suppress(TopicAuthorizationFailedError):
                    await producer.send_and_wait(name, b"{}", key=b"k")
                    written.add(name)
        finally:
            await producer.stop()
        assert wanted == written, process


async def test_every_process_may_read_the_very_topics_of_the_table(broker: SecuredBroker) -> None:
    every = [topic.name for topic in registry(SETTINGS)]
    producer = await start_producer(broker.open)
    for name in every:
        await producer.send_and_wait(name, b"{}", key=b"k")
    await producer.stop()
    for process, of_it in grants(SETTINGS).items():
        wanted = {one.name for one in of_it if one.resource is Resource.TOPIC and Operation.READ in one.operations}
        assert wanted == {name for name in every if await _may_read(broker.by_password(process), name)}, process


async def _may_read(bootstrap: Bootstrap, name: str) -> bool:
    try:
        consumer = await start_consumer(bootstrap, name, wait_ms=1, most_records=1)
    except TopicAuthorizationFailedError:
        return False
    try:
        fetched = await consumer.getmany(timeout_ms=20_000)
    except TopicAuthorizationFailedError:
        return False
    finally:
        await consumer.stop()
    assert fetched, name
    return True


async def test_an_analyst_reads_a_window_of_the_log_and_joins_no_group(broker: SecuredBroker) -> None:
    producer = await start_producer(broker.by_password("ingest-prices"))
    topic = topic_name(SETTINGS, PRICE_TICKS)
    try:
        sent = await producer.send_and_wait(topic, b"of a window", key=b"v:BTC")
    finally:
        await producer.stop()
    log = KafkaLog(broker.by_password("analyst"), {}, SystemClock())
    window = await resolve_times(log, [topic], sent.timestamp, None)
    assert b"of a window" in [one.value async for one in read_merged(log, window)]
    with pytest.raises(NoSuchTopic):
        await log.held([topic_name(SETTINGS, LEASES)])


async def test_who_may_not_see_a_topic_is_told_that_there_is_none(broker: SecuredBroker) -> None:
    with pytest.raises(BadTopic, match="found none of these"):
        await check_topics(broker.by_password("nobody"), registry(SETTINGS))
    with pytest.raises(TopicMissing):
        await Feed(broker.by_password("nobody"), changelog_name(SETTINGS, MARKS), SystemClock(), table=MARKS).start()
    await check_topics(broker.by_password("worker"), registry(SETTINGS))


async def test_a_fence_of_a_funder_is_nobody_elses(broker: SecuredBroker) -> None:
    fence = Fence(fence_name(SETTINGS, "funder", "main"), 10_000)
    await (await start_producer(broker.by_password("funder"), fence=fence)).stop()
    with pytest.raises(KafkaError, match="ransactionalId"):
        await start_producer(broker.by_password("ingest-symmio"), fence=fence)


async def test_worker_ingests_and_api_work_with_the_rights_of_the_table_and_no_more(
    broker: SecuredBroker, tmp_path: Path
) -> None:
    async with stack(tmp_path, broker) as running, aiohttp.ClientSession(running.url) as session:

        async def is_valued() -> bool:
            try:
                async with session.get("/v1/accounts", params={"limit": "1"}) as answer:
                    return answer.status == 200 and bool((await answer.json())["items"])
            except aiohttp.ClientError:
                return False

        await eventually(is_valued, timeout_s=30)

        async def is_fine() -> bool:
            findings = await doctor(running.settings, broker.by_password("tools"))
            return all(one["verdict"] == "fine" for one in findings)

        await eventually(is_fine, timeout_s=60)
    assert [] == refusals(tmp_path)


async def doctor(settings: Settings, way: Bootstrap) -> list[dict[str, str]]:
    own = settings.model_copy(update={"kafka": way.servers, "kafka_client": way.client})
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tidemark.cli", "doctor", "--json"),
        env={**os.environ, **environment_of(own)},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    findings: list[dict[str, str]] = json.loads(said)["findings"]
    return findings


def refusals(directory: Path) -> list[str]:
    lines = [line for log in directory.glob("*.log") for line in log.read_text().splitlines()]
    assert lines
    return [line for line in lines if "uthoriz" in line]
