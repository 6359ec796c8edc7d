"""A commit counts only in the generation in which what it commits was assigned."""

from __future__ import annotations

import pytest
from aiokafka.errors import CommitFailedError

from streams.transport.membership import Membership


class FakeCoordinator:
    """A member of a group, whose commits the broker takes."""

    def __init__(self) -> None:
        self.generation = 3
        self.taken: list[object] = []

    async def _do_commit_offsets(self, assignment: object, offsets: object) -> None:
        del assignment
        self.taken.append(offsets)


@pytest.fixture
def coordinator() -> FakeCoordinator:
    member = FakeCoordinator()
    membership = Membership.__new__(Membership)
    membership._consumer = type("Consumer", (), {"_coordinator": member})()
    membership.generation = 3
    membership.guard_commits()
    return member


async def test_a_commit_of_the_assigned_generation_is_sent(coordinator: FakeCoordinator) -> None:
    await coordinator._do_commit_offsets(None, {"tp": 7})

    assert [{"tp": 7}] == coordinator.taken


@pytest.mark.parametrize("generation", [-1, 4])
async def test_a_member_that_was_put_out_or_has_joined_anew_commits_nothing_of_before(
    coordinator: FakeCoordinator, generation: int
) -> None:
    """While the group is empty Kafka would take the commit of generation -1, and skip what nobody folded."""
    coordinator.generation = generation

    with pytest.raises(CommitFailedError, match="already rebalanced: expected generation 3"):
        await coordinator._do_commit_offsets(None, {"tp": 7})
    assert [] == coordinator.taken
