"""Which topics are copied, and what refuses a configuration that does not go on from the one before."""

from __future__ import annotations

import pytest

from streams.kafka.topics import (
    BOOKINGS,
    DEAD_LETTERS,
    FIGURE_SETTINGS,
    FUNDING,
    HEARTBEATS,
    HISTORY,
    LEASES,
    NONCES,
    OWNERSHIP,
    PRICE_TICKS,
    SERVED,
    WHITELIST,
    registry,
)
from streams.repartition.copied_topics import BadRepartition, copied_topics
from streams.settings import Settings, TopicSettings

BEFORE = Settings(topics=TopicSettings(prefix="p-", partitions=8), epoch=3)
AFTER = Settings(topics=TopicSettings(prefix="p-wide-", partitions=16), epoch=4)
EXISTING = frozenset(topic.name for settings in (BEFORE, AFTER) for topic in registry(settings))


def test_what_ingests_apis_and_executors_said_is_copied_and_what_workers_make_is_not() -> None:
    copied = {one.former.removeprefix("p-"): one.topic for one in copied_topics(AFTER, "p-", EXISTING)}

    assert {PRICE_TICKS, FUNDING, HISTORY, NONCES, WHITELIST} <= copied.keys()
    made_again = {DEAD_LETTERS, FIGURE_SETTINGS, HEARTBEATS, LEASES, OWNERSHIP, f"{SERVED}-4", f"{BOOKINGS}-4"}
    assert not made_again & copied.keys()
    assert not [name for name in copied if "changelog" in name]
    assert all(topic == {one.name: one for one in registry(AFTER)}[f"p-wide-{name}"] for name, topic in copied.items())


def test_a_topic_that_there_was_not_before_is_left_out() -> None:
    copied = copied_topics(AFTER, "p-", EXISTING - {f"p-{NONCES}"})

    assert f"p-{NONCES}" not in {one.former for one in copied}


@pytest.mark.parametrize(
    ("former", "epoch", "said"),
    [
        ("p-wide-", 4, "found 'p-wide-' as both"),
        ("q-", 4, "found no q-price-ticks"),
        ("p-", 3, "expected an epoch later than 3, which the topics before have, found 3: set epoch to 4"),
    ],
)
def test_a_configuration_that_does_not_go_on_from_the_one_before_is_refused(former: str, epoch: int, said: str) -> None:
    with pytest.raises(BadRepartition, match=said):
        copied_topics(AFTER.model_copy(update={"epoch": epoch}), former, EXISTING)
