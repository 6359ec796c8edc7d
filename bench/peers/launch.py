"""Peers installed in environments of their own, their topics filled, and one run of each as a child process."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer

from streams.kafka.partitions import partition_of
from streams.kafka.topics import Topic, create_topics
from streams.settings import Bootstrap

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Mapping, Sequence

    from aiokafka.structs import RecordMetadata

    from bench.peers.job import Job

ROOT = Path(__file__).parents[2]
BUILT = ROOT / ".bench"
PEERS = Path(__file__).parent
PARTITIONS = 4
_RUN_TIMEOUT_S = 600
_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


class PeerFailed(Exception):
    """A peer did not print its figures; the message has the end of what it said."""


@dataclass(frozen=True)
class System:
    """One line of the table: a peer and how it is run.

    ``events`` is the most it is given, for the slow; ``warm_up_percent`` are handled before the clock begins.
    """

    peer: str
    store: str = "memory"
    events: int | None = None
    warm_up_percent: int = 20


@dataclass(frozen=True)
class Figures:
    """What a run printed."""

    events: int
    seconds: float
    cpu_seconds: float
    changelog: str | None

    @property
    def per_s(self) -> float:
        """Events in a second of wall time."""
        return self.events / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time, of all threads, on one event."""
        return self.cpu_seconds / self.events * 1e6


def middle(runs: Sequence[Figures]) -> tuple[float, float]:
    """Medians of events a second and of processor time an event."""
    return median(run.per_s for run in runs), median(run.cpu_us for run in runs)


def markdown(lines: list[dict[str, object]]) -> str:
    """A table of these lines."""

    def said(value: object) -> str:
        return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)

    if not lines:
        return "nothing was measured"
    rows = [list(lines[0]), ["---"] * len(lines[0]), *([said(value) for value in line.values()] for line in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def commands_of(systems: Mapping[str, System]) -> dict[str, list[str]]:
    """How each system is started, installed where it is not yet; one that cannot be installed is left out."""
    commands = {}
    for name, system in systems.items():
        try:
            commands[name] = _command_of(system.peer)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{name} is left out, it could not be installed: {error}", file=sys.stderr)
    return commands


def _command_of(peer: str) -> list[str]:
    if peer != "kafka_streams":
        return [str(python_of(peer)), "-m", f"bench.peers.{peer}"]
    return java_command("Peer")


def java_command(main: str) -> list[str]:
    """How a main class of the peer of Kafka Streams is started, built where it is not yet.

    Raises:
        CalledProcessError: It could not be built.
    """
    built = _built_with_maven()
    return ["java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{built}/classes:{built}/libs/*", main]


def python_of(peer: str) -> Path:
    """The Python of a peer's own environment, which is made where it is not there as it should be.

    Raises:
        CalledProcessError: It could not be installed.
    """
    requirements = PEERS / "requirements" / f"{peer}.txt"
    if not requirements.is_file():
        # The very versions that the project itself pins.
        return Path(sys.executable)
    environment = BUILT / peer
    stamp = environment / "requirements.txt"
    if not stamp.is_file() or stamp.read_text() != requirements.read_text():
        print(f"installing {peer}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)  # noqa: S603
        pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        subprocess.run([*pip, "install", "--no-deps", "-r", str(requirements)], check=True)  # noqa: S603
        shutil.copy(requirements, stamp)
    return environment / "bin" / "python"


def _built_with_maven() -> Path:
    project, directory = PEERS / "kafka_streams", BUILT / "kafka_streams"
    stamp = directory / "built"
    sources = [project / "pom.xml", *project.glob("src/**/*.java")]
    if not stamp.is_file() or stamp.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        print("building kafka_streams", file=sys.stderr)
        goals = ["compile", _DEPENDENCIES, f"-DoutputDirectory={directory / 'libs'}", f"-Dbuild={directory}"]
        subprocess.run(["mvn", "-q", "-B", "-f", project / "pom.xml", *goals], check=True)  # noqa: S603, S607
        stamp.touch()
    return directory


def run(command: list[str], job: Job) -> Figures:
    """Run a peer on a job.

    Raises:
        PeerFailed: It ended without figures, or not in time.
    """
    environment = os.environ | {"FAUST_LOOP": "uvloop", "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory(prefix="tidemark-bench-", ignore_cleanup_errors=True) as directory:
        arguments = json.dumps(asdict(job) | {"directory": directory})
        try:
            done = subprocess.run(  # noqa: S603
                [*command, arguments],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=_RUN_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            said = error.stderr.decode(errors="replace") if isinstance(error.stderr, bytes) else error.stderr
            msg = f"expected figures within {_RUN_TIMEOUT_S} s, found none; it said: {(said or '')[-2000:]}"
            raise PeerFailed(msg) from error
    # A peer may have said other things before, Faust even on the same line.
    figures = re.search(r'\{"events".*\}', done.stdout)
    if figures is None:
        msg = f"expected figures, found exit {done.returncode}; it said: {(done.stdout + done.stderr)[-2000:]}"
        raise PeerFailed(msg)
    return Figures(**json.loads(figures[0]))


def new_name(stem: str) -> str:
    """A topic or group that no other run has."""
    return f"{stem}-{uuid.uuid4().hex[:8]}"


async def create_topic(bootstrap: str, name: str, *, compacted: bool) -> None:
    """Create a topic of ``PARTITIONS`` partitions; a compacted one is not cleaned while the benchmark runs."""
    config = {"cleanup.policy": "compact", "min.compaction.lag.ms": "3600000"} if compacted else {}
    await create_topics(Bootstrap(bootstrap), (Topic(name, "any", PARTITIONS, 1, config),))


async def fill(
    bootstrap: str, topic: str, records: Iterable[tuple[bytes, bytes]], headers: list[tuple[str, bytes]] | None = None
) -> None:
    """Write records to the partitions of their keys, in order, in batches."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", compression_type="lz4", max_batch_size=256 * 1024
    )
    await producer.start()
    partitions: dict[bytes, int] = {}
    batches = {partition: producer.create_batch() for partition in range(PARTITIONS)}
    sent: list[asyncio.Future[RecordMetadata]] = []
    try:
        for key, value in records:
            partition = partitions.get(key)
            if partition is None:
                partition = partitions[key] = partition_of(key, PARTITIONS)
            if batches[partition].append(key=key, value=value, timestamp=None, headers=headers or []) is None:
                batches[partition].close()
                sent.append(await producer.send_batch(batches[partition], topic, partition=partition))
                batches[partition] = producer.create_batch()
                batches[partition].append(key=key, value=value, timestamp=None, headers=headers or [])
        for partition, batch in batches.items():
            batch.close()
            sent.append(await producer.send_batch(batch, topic, partition=partition))
        for each in sent:
            await each
    finally:
        await producer.stop()
