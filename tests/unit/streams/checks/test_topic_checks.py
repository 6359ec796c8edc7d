"""What is said of a cluster's topics."""

from __future__ import annotations

import pytest

from streams.checks.topic_checks import acknowledged_by_few
from streams.kafka.topics import Topic


@pytest.mark.parametrize(("replicas", "fewest", "is_told"), [(3, "1", True), (3, "2", False), (2, "1", False)])
def test_a_topic_whose_records_may_stand_on_one_broker_alone_is_told_of(
    replicas: int, fewest: str, *, is_told: bool
) -> None:
    topic = Topic("chain-blocks", "any", 4, replicas, {})
    found = [*acknowledged_by_few([topic], {"chain-blocks": {"min.insync.replicas": fewest}})]

    assert (["chain-blocks has min.insync.replicas=1 with 3 replicas"] if is_told else []) == found
