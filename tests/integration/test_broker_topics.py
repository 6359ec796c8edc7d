from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient

from streams.kafka.ends import true_ends
from streams.kafka.topics import BadTopic, changelog_name, create_topics, registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.settings import Settings


async def test_topics_are_created_once_and_as_the_registry_says(settings: Callable[..., Settings]) -> None:
    configuration = settings(topics={"partitions": 3})
    wanted = registry(configuration)
    assert [topic.name for topic in wanted] == await create_topics(configuration.bootstrap, wanted)
    assert [] == await create_topics(configuration.bootstrap, wanted)

    accounts = changelog_name(configuration, "accounts")
    admin = AIOKafkaAdminClient(bootstrap_servers=configuration.kafka)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([accounts])
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, accounts)])
    finally:
        await admin.close()
    assert 3 == len(described["partitions"])
    config = {entry[0]: entry[1] for entry in answer.resources[0][4]}
    assert ("compact", "3600000") == (config["cleanup.policy"], config["min.compaction.lag.ms"])


async def test_a_topic_with_another_number_of_partitions_is_refused(settings: Callable[..., Settings]) -> None:
    configuration = settings(topics={"partitions": 2})
    await create_topics(configuration.bootstrap, registry(configuration))
    other = configuration.model_copy(update={"topics": configuration.topics.model_copy(update={"partitions": 5})})
    with pytest.raises(BadTopic, match="to have 5 partitions, found 2"):
        await create_topics(other.bootstrap, registry(other))


async def test_where_many_topics_end_is_told_after_few_looks_at_the_cluster(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration, looks = settings(), 0
    look = AIOKafkaClient._metadata_update

    async def counted(client: AIOKafkaClient, *arguments: object) -> object:
        nonlocal looks
        looks += 1
        return await look(client, *arguments)

    topics = registry(configuration)
    await create_topics(configuration.bootstrap, topics)
    monkeypatch.setattr(AIOKafkaClient, "_metadata_update", counted)

    ends = await true_ends(configuration.bootstrap, [TopicPartition(topic.name, 0) for topic in topics])

    assert {0} == {*ends.values()}
    assert looks <= 3 < len(topics)


async def test_who_is_told_to_end_while_its_client_stops_does_end(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration, stops = settings(), asyncio.Event()
    stop = AIOKafkaConsumer.stop

    async def noticed(consumer: AIOKafkaConsumer) -> None:
        stops.set()
        await stop(consumer)

    topic = registry(configuration)[0].name
    await create_topics(configuration.bootstrap, registry(configuration))
    monkeypatch.setattr(AIOKafkaConsumer, "stop", noticed)

    async def read_often() -> None:
        while True:
            await true_ends(configuration.bootstrap, [TopicPartition(topic, 0)])
            await asyncio.sleep(0)

    # A client stops in steps, some of which pass over a cancellation: in no turn of the loop is it lost.
    for turns in range(12):
        stops.clear()
        reading = asyncio.create_task(read_often())
        await stops.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading], timeout=5)
        assert (turns, True) == (turns, reading.cancelled())
