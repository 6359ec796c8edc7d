"""What a group has committed is read from a cluster that has no coordinator for it yet, or one that is not ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NotCoordinatorForGroupError,
)
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.structs import OffsetAndMetadata

from streams.kafka.committed import read_committed
from tests.support.committed_offsets import told_committed
from tests.support.virtual_loop import run_in_no_time

if TYPE_CHECKING:
    from aiokafka.protocol.commit import OffsetFetchResponse_v3

PLACE = TopicPartition("one", 0)
COMMITTED = {PLACE: OffsetAndMetadata(7, "")}


class YoungCluster:
    """It has a coordinator when it was asked ``asks`` times for one, which tells offsets after that many ``errors``."""

    def __init__(self, asks: int = 0, *errors: int) -> None:
        self._asks = asks
        self._errors = list(errors)

    async def find_coordinator(self, group: str) -> int:
        assert group == "group"
        self._asks -= 1
        if self._asks > 0:
            raise GroupCoordinatorNotAvailableError
        return 3

    async def _send_request(self, request: object, coordinator: int) -> OffsetFetchResponse_v3:
        assert isinstance(request, OffsetFetchRequest)
        assert coordinator == 3
        return told_committed({}, self._errors.pop(0)) if self._errors else told_committed({PLACE: 7})


def test_a_cluster_that_has_no_coordinator_yet_is_asked_until_it_has_one() -> None:
    assert COMMITTED == run_in_no_time(read_committed(YoungCluster(5), "group"))


def test_a_cluster_that_comes_to_no_coordinator_is_not_waited_for_for_ever() -> None:
    with pytest.raises(GroupCoordinatorNotAvailableError):
        run_in_no_time(read_committed(YoungCluster(10**6), "group"))


@pytest.mark.parametrize("error", [GroupLoadInProgressError, NotCoordinatorForGroupError])
def test_a_coordinator_that_does_not_know_yet_what_is_committed_is_asked_again_and_not_taken_for_an_empty_group(
    error: type[KafkaError],
) -> None:
    assert COMMITTED == run_in_no_time(read_committed(YoungCluster(0, *[error.errno] * 3), "group"))
    with pytest.raises(error, match="expected the offsets that group group has committed"):
        run_in_no_time(read_committed(YoungCluster(0, *[error.errno] * 10**3), "group"))


def test_offsets_that_may_not_be_read_are_an_error_at_once() -> None:
    with pytest.raises(GroupAuthorizationFailedError):
        run_in_no_time(read_committed(YoungCluster(0, GroupAuthorizationFailedError.errno), "group"))
