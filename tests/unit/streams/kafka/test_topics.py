from __future__ import annotations

import pytest

from models.engine.tables import TABLES
from models.interest import INTEREST_TTL_MS
from models.leases import LEASE_TTL_MAX_MS
from models.symmio.venue import SYMMIO
from streams.kafka.topics import Topic, changelog_name, registry, routed_name, topic_name
from streams.settings import Settings, TopicSettings

SETTINGS = Settings(epoch=3, topics=TopicSettings(prefix="blue-", partitions=6, replication_factor=2))
TOPICS = {topic.name: topic for topic in registry(SETTINGS)}


def test_every_topic_has_the_one_number_of_partitions() -> None:
    assert {(6, 2)} == {(topic.partitions, topic.replication_factor) for topic in TOPICS.values()}


def test_what_is_derived_is_named_by_its_epoch_and_what_was_said_is_not() -> None:
    assert "blue-chain-blocks" == topic_name(SETTINGS, "chain-blocks")
    assert "blue-account-events-3" == routed_name(SETTINGS, SYMMIO.routed)
    assert "blue-tidemark-3-accounts-changelog" == changelog_name(SETTINGS, "accounts")
    assert {"blue-chain-blocks", "blue-account-events-3", "blue-tidemark-3-accounts-changelog"} <= set(TOPICS)


def test_a_changelog_keeps_the_newest_row_of_a_key_but_not_before_an_hour() -> None:
    for table in TABLES:
        config = TOPICS[changelog_name(SETTINGS, table)].config
        assert "compact" == config["cleanup.policy"]
        assert 3_600_000 <= int(config["min.compaction.lag.ms"])


def test_interest_is_kept_for_longer_than_it_holds_and_not_for_long() -> None:
    topic = TOPICS["blue-interest"]
    assert "delete" == topic.config["cleanup.policy"]
    assert topic.config["segment.ms"] == topic.config["retention.ms"]
    assert 4 * INTEREST_TTL_MS <= int(topic.config["retention.ms"]) <= 3_600_000
    assert "for 10 minutes" == topic.kept


def test_leases_have_the_brokers_time_and_are_kept_for_longer_than_any_lasts() -> None:
    topic = TOPICS["blue-leases"]
    assert "LogAppendTime" == topic.config["message.timestamp.type"]
    assert ("delete", topic.config["retention.ms"]) == (topic.config["cleanup.policy"], topic.config["segment.ms"])
    assert 2 * LEASE_TTL_MAX_MS <= int(topic.config["retention.ms"]) <= 3_600_000


def test_what_a_node_said_is_kept_for_ever() -> None:
    topic = TOPICS["blue-chain-blocks"]
    assert ("delete", "-1") == (topic.config["cleanup.policy"], topic.config["retention.ms"])
    assert "for ever" == topic.kept


@pytest.mark.parametrize("topic", TOPICS.values(), ids=lambda topic: topic.name)
def test_no_default_of_a_cluster_deletes_by_size_what_is_kept_by_time(topic: Topic) -> None:
    if "delete" in topic.config["cleanup.policy"]:
        is_bounded = topic.name.startswith("blue-served-")
        assert is_bounded != ("-1" == topic.config["retention.bytes"])


def test_what_was_shown_is_kept_for_a_month_and_takes_no_more_than_is_set() -> None:
    settings = SETTINGS.model_copy(update={"topics": TopicSettings(partitions=4, served_kept_gb=8)})
    topic = next(one for one in registry(settings) if one.name == "served-3")

    assert ("delete", str(30 * 86_400_000)) == (topic.config["cleanup.policy"], topic.config["retention.ms"])
    assert 8 * 10**9 == 4 * int(topic.config["retention.bytes"])
    assert "for 30 days, or 8 GB" == topic.kept
    assert 8 * int(topic.config["segment.bytes"]) <= int(topic.config["retention.bytes"])
