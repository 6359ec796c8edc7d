"""The private parts of Faust, mode and aiokafka that the transport overrides or reads: a new shape must be noticed."""

from __future__ import annotations

import inspect
from importlib.metadata import version

import aiokafka
import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import TopicPartitionState
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v7, FetchRequest_v11
from faust.app.base import App
from faust.assignor import PartitionAssignor
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport import by_url
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver
from mode.threads import QueueServiceThread, ServiceThread
from mode.worker import Worker

from streams.transport.driver import SCHEME, SliceTransport

SHAPES = {
    (Consumer, "_drain_messages"): ["self", "fetcher"],
    (Consumer, "_get_active_partitions"): ["self"],
    (Consumer, "perform_seek"): ["self"],
    (Consumer, "resume_flow"): ["self"],
    (Consumer, "force_commit"): ["self", "topics", "start_new_transaction"],
    (Consumer, "commit"): ["self", "topics", "start_new_transaction"],
    (Consumer, "wait_empty"): ["self"],
    (Consumer, "ack"): ["self", "message"],
    (Consumer, "on_task_error"): ["self", "exc"],
    (Consumer, "on_stop"): ["self"],
    (Consumer, "_filter_tps_with_pending_acks"): ["self", "topics"],
    (Consumer, "on_partitions_revoked"): ["self", "revoked"],
    (Consumer, "on_partitions_assigned"): ["self", "assigned", "generation_id"],
    (driver.Consumer, "_new_consumer_thread"): ["self"],
    (driver.Consumer, "_getmany"): ["self", "active_partitions", "timeout"],
    (driver.AIOKafkaConsumerThread, "_create_worker_consumer"): ["self", "transport"],
    (driver.AIOKafkaConsumerThread, "seek_wait"): ["self", "partitions"],
    (driver.AIOKafkaConsumerThread, "commit"): ["self", "offsets"],
    (driver.AIOKafkaConsumerThread, "on_start"): ["self"],
    (QueueServiceThread, "call_thread"): ["self", "fun", "args", "kwargs"],
    (QueueServiceThread, "on_thread_started"): ["self"],
    (ServiceThread, "start"): ["self"],
    (ServiceThread, "_serve"): ["self"],
    (ServiceThread, "_gather_remaining_tasks"): ["self"],
    (Fetcher, "_proc_fetch_request"): ["self", "assignment", "node_id", "request"],
    (AIOKafkaClient, "send"): ["self", "node_id", "request", "group"],
    (FetchRequest, "build"): ["self", "request_struct_class"],
    (GroupCoordinator, "_do_commit_offsets"): ["self", "assignment", "offsets"],
    (GroupCoordinator, "commit_offsets"): ["self", "assignment", "offsets"],
    (TopicPartitionState, "consumed_to"): ["self", "position"],
    (PartitionAssignor, "_protocol_assignments"): [
        "self",
        "assignments",
        "cl_distribution",
        "tp_distribution",
        "topic_groups",
    ],
    (PartitionAssignor, "on_assignment"): ["self", "assignment"],
    (Recovery, "on_recovery_completed"): ["self", "generation_id"],
    (Recovery, "_wait"): ["self", "coro", "timeout"],
    (Recovery, "_set_recovery_started"): ["self"],
    (App, "_on_partitions_revoked"): ["self", "revoked"],
    (App, "_stop_consumer"): ["self"],
    (Worker, "_install_signal_handlers_unix"): ["self"],
    (Worker, "_on_sigterm"): ["self"],
    (Worker, "on_worker_shutdown"): ["self"],
    (Worker, "stop_and_shutdown"): ["self"],
}


@pytest.mark.parametrize(("owner", "name"), SHAPES, ids=lambda part: getattr(part, "__name__", part))
def test_what_the_transport_builds_on_still_has_its_shape(owner: type, name: str) -> None:
    assert SHAPES[owner, name] == list(inspect.signature(getattr(owner, name)).parameters)


@pytest.mark.parametrize("task", ["_restart_recovery", "_slurp_changelogs"])
def test_the_recovery_tasks_that_ours_replaces_are_still_tasks(task: str) -> None:
    assert "ServiceTask" == type(vars(Recovery)[task]).__name__


def test_the_table_manager_still_makes_its_recovery_in_a_property() -> None:
    assert isinstance(vars(TableManager)["recovery"], property)


def test_aiokafka_still_sends_a_batch_to_a_partition() -> None:
    assert ["self", "batch", "topic", "partition"] == list(
        inspect.signature(aiokafka.AIOKafkaProducer.send_batch).parameters
    )


def test_the_versions_are_those_the_transport_was_proven_on() -> None:
    assert ("0.15.3", "0.14.0", "0.7.1") == tuple(map(version, ("faust-streaming", "aiokafka", "mode-streaming")))


def test_the_coordinator_still_makes_each_commit_through_its_own_method() -> None:
    assert "self._do_commit_offsets(" in inspect.getsource(GroupCoordinator.commit_offsets)
    assert "self.generation" in inspect.getsource(GroupCoordinator._do_commit_offsets)


def test_the_fetcher_still_hands_out_what_it_fetched_through_the_results_own_method() -> None:
    assert "self._proc_fetch_request(" in inspect.getsource(Fetcher._fetch_requests_routine)
    assert "res_or_error.getall(max_records)" in inspect.getsource(Fetcher.fetched_records)
    assert "for msg in self._partition_records" in inspect.getsource(FetchResult.getall)
    for used in ("_check_crcs", "_isolation_level", "_consume_aborted_up_to(", "_contains_abort_marker(", "_records"):
        assert f"self.{used}" in inspect.getsource(PartitionRecords._unpack_records)


def test_the_fetcher_still_sends_one_fetch_at_a_time_through_the_client_and_stock_fetches_have_no_session() -> None:
    assert "self._client.send(node_id, request)" in inspect.getsource(Fetcher._proc_fetch_request)
    assert "elif node_id in self._in_flight:" in inspect.getsource(Fetcher._get_actions_per_node)
    for struct in (FetchRequest_v7, FetchRequest_v11):
        stock = FetchRequest(50, 1, 1_000, 1, [("ticks", [(0, 7, 100)])]).build(struct)
        assert (0, -1, []) == (stock.session_id, stock.session_epoch, stock.forgotten_topics_data)
    assert FetchRequest_v11 is FetchRequest._CLASSES[-1]


def test_the_membership_is_still_started_as_mode_starts_a_thread() -> None:
    """Ours does the same without one: the parts of ``start`` and ``_start_thread`` around ``_serve``."""
    started = inspect.getsource(ServiceThread.start)
    for part in ("_thread_started.set()", "_thread_running = asyncio.Future", "await self._thread_running"):
        assert part in started
    assert "run_until_complete(self._serve())" in inspect.getsource(ServiceThread._start_thread)


def test_a_transport_is_still_found_by_the_scheme_of_its_address() -> None:
    assert SliceTransport is by_url(f"{SCHEME}://127.0.0.1:9092")
