"""Faust's assignor, which keeps changelogs in its plan but out of what the consumer fetches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from faust.assignor import PartitionAssignor
from faust.assignor.client_assignment import ClientMetadata

if TYPE_CHECKING:
    from collections.abc import Mapping


class SliceAssignor(PartitionAssignor):  # type: ignore[misc]
    """Assigns partition p of all topics and changelogs to the same worker; only topics reach the group's assignment.

    Recovery reads changelogs with a consumer of its own. If they were assigned, aiokafka would fetch them into buffers
    that nobody empties, and then skip their whole node.
    """

    def _perform_assignment(
        self, cluster: Any, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> Mapping[str, ConsumerProtocolMemberAssignment]:
        """Assign as if every member read all topics.

        Faust shares each set of topics among those who read all of it. Where some workers lack the package of a venue,
        partition p of its topic would have another owner than partition p of the tables. So it is its owner's, and an
        owner that lacks the package leaves it where it stands.
        """
        topics = sorted({topic for member in members.values() for topic in member.subscription})
        alike = {
            name: ConsumerProtocolMemberMetadata(member.version, topics, member.user_data)
            for name, member in members.items()
        }
        assignments: Mapping[str, ConsumerProtocolMemberAssignment] = super()._perform_assignment(cluster, alike)
        return assignments

    def _protocol_assignments(self, *args: Any) -> Mapping[str, ConsumerProtocolMemberAssignment]:
        changelogs = self._table_manager.changelog_topics
        return {
            member: ConsumerProtocolMemberAssignment(
                plan.version, [(topic, parts) for topic, parts in plan.assignment if topic not in changelogs],
                plan.user_data,
            )
            for member, plan in super()._protocol_assignments(*args).items()
        }  # fmt: skip

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Take the whole plan from the metadata, which still has the changelogs."""
        plan = ClientMetadata.loads(self._decompress(assignment.user_data)).assignment
        whole = sorted(plan.kafka_protocol_assignment(self._table_manager))
        super().on_assignment(ConsumerProtocolMemberAssignment(assignment.version, whole, assignment.user_data))
