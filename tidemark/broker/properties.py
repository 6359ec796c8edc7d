"""The configuration of a broker that is its cluster's only one and listens on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from streams.kafka.topics import MAX_RECORD_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HOST = "127.0.0.1"
_MB = 1 << 20


class Doors(NamedTuple):
    """Listeners on loopback beside the one in clear, and what else holds for a broker that has them.

    ``ports`` are by the listener's name, ``protocols`` Kafka's names of what is spoken there.
    """

    ports: Mapping[str, int]
    protocols: Mapping[str, str]
    properties: Mapping[str, object]


NO_DOORS = Doors({}, {}, {})


def server_properties(log_dir: Path, port: int, controller_port: int, doors: Doors = NO_DOORS) -> str:
    """Write ``server.properties`` of the one node, which is broker and controller.

    Args:
        log_dir: Where it keeps its data.
        port: The port on loopback for clients.
        controller_port: The port on loopback for the controller.
        doors: Further listeners.
    """
    served = ",".join(f"{name}://{HOST}:{at}" for name, at in {"PLAINTEXT": port, **doors.ports}.items())
    spoken = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **doors.protocols}
    settings: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "listeners": f"{served},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": served,
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in spoken.items()),
        "log.dirs": log_dir,
        "auto.create.topics.enable": "false",
        "message.max.bytes": MAX_RECORD_BYTES,
        # The one node holds the only copy of everything.
        "default.replication.factor": 1,
        "min.insync.replicas": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # No other member is going to join a group, so none is waited for.
        "group.initial.rebalance.delay.ms": 0,
        "controlled.shutdown.enable": "false",
        # A laptop may rest for longer than Kafka's default of a week, and a worker must still find what it has folded.
        "offsets.retention.minutes": 5_256_000,
        # A killed broker may only register again when its session has run out.
        "broker.session.timeout.ms": 2_000,
        "broker.heartbeat.interval.ms": 500,
        # Kafka compacts only closed segments: with small ones, changelogs and their indexes stay short.
        "log.segment.bytes": 64 * _MB,
        "log.index.size.max.bytes": _MB,
        "log.cleaner.threads": 1,
        "log.cleaner.dedupe.buffer.size": 32 * _MB,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 2,
        **doors.properties,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())
