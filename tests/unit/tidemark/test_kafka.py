"""What a person reads where Kafka is not what the configuration says."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError

from models.errors import BadRow
from streams.settings import Bootstrap
from tidemark import kafka
from tidemark.kafka import KafkaFailed, NoBroker, naming_the_broker, require_broker

ROOT = Path(__file__).parents[3]
NOWHERE = "127.0.0.1:1"
CONFIG = f"""
[deployments.d]
chain_id = 1
diamond = "0x{"ab" * 20}"
rpc = ["http://127.0.0.1:9"]
default_sources = ["v"]
[sources.v]
[ingest]
admin_port = 0
[worker]
admin_port = 0
[api]
port = 0
admin_port = 0
"""


@pytest.mark.parametrize(
    "command",
    [
        "topics create",
        "up --bootstrap 127.0.0.1:1",
        "api",
        "worker",
        "audit d",
        "ingest prices v",
        "ingest chain d",
        "ingest recorded . --deployment d",
    ],
)
def test_a_command_without_a_broker_ends_with_one_clear_line(tmp_path: Path, command: str) -> None:
    config = tmp_path / "tidemark.toml"
    config.write_text(CONFIG)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "TIDEMARK_CONFIG": str(config),
        "TIDEMARK_KAFKA": NOWHERE,
    }
    ended = subprocess.run(
        [sys.executable, "-m", "tidemark.cli", *command.split()],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    said = f"tidemark: expected a Kafka broker at {NOWHERE}, found none; set TIDEMARK_KAFKA or use `tidemark up`\n"
    assert (2, "", said) == (ended.returncode, ended.stdout, ended.stderr)


def test_a_server_that_is_no_broker_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "_RETRY_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        threading.Thread(target=_answer_as_http, args=(server,), daemon=True).start()
        with pytest.raises(NoBroker, match=address):
            require_broker(Bootstrap(address))


def test_a_listener_that_hangs_up_on_who_asks_in_clear_is_told_of_as_one_that_may_want_tls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kafka, "_RETRY_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        threading.Thread(target=_hang_up, args=(server,), daemon=True).start()
        with pytest.raises(NoBroker, match=f"{address} that answers in clear.*set kafka_client"):
            require_broker(Bootstrap(address))


@pytest.mark.parametrize("bootstrap", ["127.0.0.1:1,[::1]:1", "no.such.host.invalid", "::1", "x:99999", ""])
def test_addresses_of_every_form_are_tried(monkeypatch: pytest.MonkeyPatch, bootstrap: str) -> None:
    monkeypatch.setattr(kafka, "_RETRY_S", 0.0)
    with pytest.raises(NoBroker):
        require_broker(Bootstrap(bootstrap))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KafkaConnectionError("gone"), NoBroker),
        (TopicAuthorizationFailedError("price-ticks"), KafkaFailed),
        (ExceptionGroup("tasks", [ExceptionGroup("more", [KafkaConnectionError("gone")])]), NoBroker),
        (ExceptionGroup("tasks", [BadRow("one"), KafkaConnectionError("gone")]), NoBroker),
    ],
)
def test_an_error_of_the_client_names_the_broker(error: Exception, expected: type[Exception]) -> None:
    with pytest.raises(expected, match=NOWHERE), naming_the_broker(Bootstrap(NOWHERE)):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        BadRow("one"),
        ExceptionGroup("tasks", [BadRow("one")]),
        ExceptionGroup("tasks", [KafkaConnectionError("gone"), RuntimeError("a fault")]),
    ],
)
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, naming_the_broker(Bootstrap(NOWHERE)):
        raise error
    assert error is caught.value


def _hang_up(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        connection.close()


def _answer_as_http(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
