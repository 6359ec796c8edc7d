"""The configuration of a broker that is alone and on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.kafka.topics import MAX_RECORD_BYTES

if TYPE_CHECKING:
    from pathlib import Path

HOST = "127.0.0.1"
_MB = 1 << 20


def server_properties(log_dir: Path, port: int, controller_port: int) -> str:
    """Text of ``server.properties`` for one node that is broker and controller."""
    settings: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": log_dir,
        "auto.create.topics.enable": "false",
        "message.max.bytes": MAX_RECORD_BYTES,
        # One node holds the only copy of everything.
        "default.replication.factor": 1,
        "min.insync.replicas": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # Nobody else is going to join: do not wait for them.
        "group.initial.rebalance.delay.ms": 0,
        "controlled.shutdown.enable": "false",
        # A laptop may be left alone for longer than Kafka's week: what a worker has folded must stay known.
        "offsets.retention.minutes": 5_256_000,
        # A killed broker is fenced, and may register again, only when its session has run out.
        "broker.session.timeout.ms": 2_000,
        "broker.heartbeat.interval.ms": 500,
        # Only closed segments are compacted: small ones keep changelogs short, and their indexes small.
        "log.segment.bytes": 64 * _MB,
        "log.index.size.max.bytes": _MB,
        "log.cleaner.threads": 1,
        "log.cleaner.dedupe.buffer.size": 32 * _MB,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 2,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())
