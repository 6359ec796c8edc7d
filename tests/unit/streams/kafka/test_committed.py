"""What a group has committed is read from a cluster that has no coordinator for it yet."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.structs import OffsetAndMetadata

from streams.kafka.committed import read_committed
from tests.support.virtual_loop import run_in_no_time

COMMITTED = {TopicPartition("one", 0): OffsetAndMetadata(7, "")}


class YoungCluster:
    """A cluster in which no group has ever been: it has a coordinator when it was asked ``asks`` times."""

    def __init__(self, asks: int) -> None:
        self._asks = asks

    async def list_consumer_group_offsets(self, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
        assert group == "group"
        self._asks -= 1
        if self._asks > 0:
            raise GroupCoordinatorNotAvailableError
        return COMMITTED


def test_a_cluster_that_has_no_coordinator_yet_is_asked_until_it_has_one() -> None:
    assert COMMITTED == run_in_no_time(read_committed(YoungCluster(5), "group"))


def test_a_cluster_that_comes_to_no_coordinator_is_not_waited_for_for_ever() -> None:
    with pytest.raises(GroupCoordinatorNotAvailableError):
        run_in_no_time(read_committed(YoungCluster(10**6), "group"))
