from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.kafka.topics import Topic, create_topics
from streams.settings import Bootstrap
from tests.support.broker import JARS, new_broker
from tests.support.eventually import eventually
from tidemark.broker import Broker
from tidemark.broker import broker as module
from tidemark.broker.probe import cluster_id_at
from tidemark.child_processes import wait_gone
from tidemark.ports import PortInUse, client_ports, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

TOPIC = Topic("kept", "anything", 1, 1, {})


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = new_broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.stop()


async def test_what_was_acknowledged_is_there_after_the_broker_was_killed(broker: Broker) -> None:
    bootstrap = broker.bootstrap
    await create_topics(Bootstrap(bootstrap), (TOPIC,))
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        await producer.send_and_wait(TOPIC.name, b"before")

    broker.kill()
    assert broker.pid is None

    assert bootstrap == broker.start()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        await producer.send_and_wait(TOPIC.name, b"after")
    assert [b"before", b"after"] == await _read(bootstrap, 2)


async def test_a_topic_is_not_made_by_writing_to_it(broker: Broker) -> None:
    async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap) as consumer:
        assert "surprise" not in await consumer.topics()


def test_a_running_broker_is_not_started_again(broker: Broker) -> None:
    pid = broker.pid
    broker.start()
    assert pid == broker.pid


def test_only_loopback_is_served(broker: Broker) -> None:
    port = int(broker.bootstrap.rpartition(":")[2])
    listening = [line.split()[1] for line in _tcp_table() if line.split()[3] == "0A"]
    assert {"0100007F"} == {
        address.rpartition(":")[0][-8:] for address in listening if int(address.rpartition(":")[2], 16) == port
    }


def test_a_broker_left_behind_is_taken_over_and_a_killed_owner_takes_its_own_along(tmp_path: Path) -> None:
    program = (
        "import sys, time, pathlib; from tidemark.broker import Broker;"
        "broker = Broker(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), port=None);"
        "broker.start(); print(broker.bootstrap, broker.pid, flush=True); time.sleep(600)"
    )
    directory = tmp_path / "broker"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(directory), str(JARS)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        bootstrap, pid = owner.stdout.readline().split()

        second = Broker(directory, JARS, port=None)
        assert bootstrap == second.start()
        assert int(pid) == second.pid

        owner.kill()
        owner.wait()
        assert wait_gone(int(pid), timeout_s=10)
    assert second.pid is None
    assert bootstrap == second.start()
    second.stop()
    assert second.pid is None


async def test_a_left_behind_broker_that_does_not_answer_is_stopped_and_replaced(tmp_path: Path) -> None:
    first = new_broker(tmp_path)
    first.start()
    pid = first.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    second = new_broker(tmp_path)
    try:
        second.start()
        # A killed process has no arguments any more, by which it is known to be gone, before its last thread has ended.
        await eventually(lambda: first.pid is None)
        assert second.pid not in (None, pid)
    finally:
        second.stop()


def test_another_port_is_taken_when_the_wanted_one_is_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        broker = Broker(tmp_path / "broker", JARS, port=port)
        try:
            assert f"127.0.0.1:{port}" != broker.start()
        finally:
            broker.stop()


def test_a_required_port_that_is_in_use_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        broker = Broker(tmp_path / "broker", JARS, port=port, is_port_required=True)
        with pytest.raises(PortInUse, match=r"broker\.port: .*TIDEMARK_BROKER__PORT"):
            broker.start()
    assert broker.pid is None


def test_the_brokers_ports_are_none_that_a_client_of_this_machine_may_be_given(broker: Broker) -> None:
    pid = broker.pid
    inodes = {link.readlink().name for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    listening = [
        int(line.split()[1].rpartition(":")[2], 16)
        for line in _tcp_table()
        if line.split()[3] == "0A" and f"socket:[{line.split()[9]}]" in inodes
    ]
    assert 2 == len(listening)
    assert not set(listening) & set(client_ports())


def test_nothing_answers_where_no_broker_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert cluster_id_at("127.0.0.1", port) is None


async def _read(bootstrap: str, count: int) -> list[bytes]:
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        partition = TopicPartition(TOPIC.name, 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        return [(await consumer.getone()).value for _ in range(count)]


def _tcp_table() -> list[str]:
    lines: list[str] = []
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(name) as table:  # noqa: PTH123 - no file, a view of the kernel
            lines += table.readlines()[1:]
    return lines


def test_a_port_taken_between_the_look_and_the_start_is_given_up_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        looks = iter([taken])
        found = free_port
        monkeypatch.setattr(module, "free_port", lambda host, port: next(looks, None) or found(host, port))
        broker = new_broker(tmp_path)
        try:
            assert f"127.0.0.1:{taken}" != broker.start()
        finally:
            broker.stop()
