"""A broker's start on a full disk, and one that takes long, with a program of our own in the place of Java."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tidemark.broker import Broker, BrokerFailed, DiskFull, storage
from tidemark.broker import broker as module
from tidemark.broker.jars import KAFKA_JAR
from tidemark.broker.progress import Progress, cpu_s
from tidemark.child_processes import command_line

if TYPE_CHECKING:
    from collections.abc import Callable

    Starts = Callable[..., Broker]

FORMATS = 'mkdir -p "$DATA/log"; echo cluster.id=mine > "$DATA/log/meta.properties"'
SERVES = 'touch "$DATA/serving"; exec sleep 600'
JAVA = """#!/bin/sh
DATA={data}
case "$*" in
  *-version*) echo 'openjdk version "21"' ;;
  *StorageTool*) {formats} ;;
  *) {serves} ;;
esac
"""


@pytest.fixture
def starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Starts:
    """Make a broker, not started yet, whose Java does as the scripts say; it serves when the file ``serving`` is."""
    data = tmp_path / "broker"
    monkeypatch.setattr(module, "_SAY_EVERY_S", 0.0)
    monkeypatch.setattr(module, "cluster_id_at", lambda *_: "mine" if (data / "serving").exists() else None)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    jars = tmp_path / "libs"
    jars.mkdir()
    (jars / KAFKA_JAR).touch()

    def make(*, formats: str = FORMATS, serves: str = SERVES, say: Callable[[str], None] | None = None) -> Broker:
        java = tmp_path / "java"
        java.write_text(JAVA.format(data=data, formats=formats, serves=serves))
        java.chmod(0o755)
        return Broker(data, jars, port=None, say=say)

    return make


@pytest.mark.parametrize("failing", ["server.properties", "broker.new"])
def test_a_full_disk_is_said_leaves_no_process_and_a_start_succeeds_when_there_is_room(
    starts: Starts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failing: str
) -> None:
    broker = starts()
    write = Path.write_text

    def full(path: Path, text: str) -> int:
        if path.name == failing:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, text)

    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_text", full)
        with pytest.raises(DiskFull, match=rf"room for the broker's data in {tmp_path}/broker"):
            broker.start()
        assert broker.pid is None
    try:
        assert broker.start() == broker.bootstrap
    finally:
        broker.stop()


def test_a_broker_that_ends_since_the_disk_is_full_says_so(starts: Starts) -> None:
    broker = starts(serves="echo 'java.io.IOException: No space left on device'; exit 1")
    with pytest.raises(DiskFull, match=r"expected room .*, found a full disk: .*\n.*No space left on device"):
        broker.start()
    assert broker.pid is None


def test_storage_that_cannot_be_formatted_on_a_full_disk_says_so_and_is_formatted_anew(starts: Starts) -> None:
    broker = starts(formats=f"{FORMATS}; echo 'Disk quota exceeded' >&2; exit 1")
    with pytest.raises(DiskFull, match="could not format"):
        broker.start()
    broker = starts()
    try:
        broker.start()
    finally:
        broker.stop()


def test_a_recovery_takes_as_long_as_it_makes_progress_and_is_shown(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IDLE_TIMEOUT_S", 2.0)
    said: list[str] = []
    recovers = 'for i in 1 2 3 4 5 6; do echo "12:00:00 [main] INFO LogLoader - Recovering segment $i"; sleep 0.5; done'
    broker = starts(serves=f"{recovers}; {SERVES}", say=said.append)
    try:
        broker.start()
    finally:
        broker.stop()
    # A busy machine may look only now and then.
    assert 2 <= len({f"starting: Recovering segment {i}" for i in range(1, 7)} & set(said))


def test_a_broker_that_does_nothing_is_given_up(starts: Starts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IDLE_TIMEOUT_S", 0.3)
    broker = starts(serves="exec sleep 600")
    with pytest.raises(BrokerFailed, match="not ready and has done nothing for"):
        broker.start()
    assert broker.pid is None


def test_a_format_that_stands_still_is_given_up(
    starts: Starts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "_IDLE_TIMEOUT_S", 0.3)
    monkeypatch.setattr(storage, "_LOOK_EVERY_S", 0.05)
    broker = starts(formats=f"echo $$ > {tmp_path}/pid; exec sleep 600")
    with pytest.raises(BrokerFailed, match=r"expected formatting .*/log to go on, found that it has stood still"):
        broker.start()
    assert "" == command_line(int((tmp_path / "pid").read_text()))


def test_a_format_that_takes_long_is_waited_for_and_said(starts: Starts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_LOOK_EVERY_S", 0.05)
    said: list[str] = []
    broker = starts(formats=f"sleep 0.5; {FORMATS}", say=said.append)
    try:
        broker.start()
    finally:
        broker.stop()
    assert any(line.startswith("formatting ") for line in said)


def test_a_process_is_idle_since_it_last_wrote_or_worked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, used_s = 100.0, 5.0
    monkeypatch.setattr("tidemark.broker.progress.cpu_s", lambda _: used_s)
    log = tmp_path / "broker.log"
    progress = Progress(1, log, lambda: now_s)
    now_s = 130.0
    assert 30.0 == progress.idle_s()
    log.write_text("recovering")
    assert 0.0 == progress.idle_s()
    # What a JVM takes that only waits is no progress.
    now_s, used_s = 150.0, 5.9
    assert 20.0 == progress.idle_s()
    used_s = 9.0
    assert 0.0 == progress.idle_s()


def test_processor_time_is_read_of_any_process_and_is_0_where_there_is_none() -> None:
    assert cpu_s(os.getpid()) > 0
    assert 0.0 == cpu_s(2**22 + 1)
