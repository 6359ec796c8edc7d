from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

from tests.support.eventually import eventually
from tidemark import child as module
from tidemark.child import Child
from tidemark.child_processes import command_line
from tidemark.presence import Presence

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def _child(directory: Path, script: str, broker: Presence | None = None) -> Child:
    return Child("sample", ["sh", "-c", script], directory / "sample.log", {"PATH": os.environ["PATH"]}, broker=broker)


async def test_a_process_that_ends_is_started_again_and_the_state_says_how_it_ended(tmp_path: Path) -> None:
    child = _child(tmp_path, "echo something went wrong; exit 70")
    keeping = asyncio.create_task(child.keep_running())
    await eventually(lambda: child.exit_code == 70 and child.pid is None)
    assert "ended (exit 70), again in 0 s: something went wrong" == child.state
    await eventually(lambda: child.restarts >= 1)
    await eventually(lambda: 2 <= child.log_file.read_text().count("something went wrong"))
    keeping.cancel()
    await child.stop(timeout_s=1)


async def test_a_process_that_ignores_sigterm_is_killed_with_all_it_started(tmp_path: Path) -> None:
    child = _child(tmp_path, "trap '' TERM; sleep 600 & echo $!; wait; wait")
    keeping = asyncio.create_task(child.keep_running())
    await eventually(lambda: child.last_line() != "")
    pids = [child.pid or 0, int(child.last_line())]
    keeping.cancel()
    await child.stop(timeout_s=0.1)
    assert child.pid is None
    await eventually(lambda: ["", ""] == [command_line(pid) for pid in pids])


async def test_a_running_process_says_how_often_it_was_started_again(tmp_path: Path) -> None:
    child = _child(tmp_path, "sleep 600")
    assert "starting" == child.state
    keeping = asyncio.create_task(child.keep_running())
    await eventually(lambda: child.state == "running")
    child.signal(signal.SIGKILL)
    await eventually(lambda: child.state == "running, started again")
    keeping.cancel()
    await child.stop(timeout_s=1)


async def test_what_has_played_to_its_end_is_not_started_again(tmp_path: Path) -> None:
    child = Child("sample", ["true"], tmp_path / "sample.log", {"PATH": os.environ["PATH"]}, finishes=True)
    await child.keep_running()
    assert ("finished", 0) == (child.state, child.restarts)


async def test_what_needs_the_broker_is_not_started_while_that_is_away(tmp_path: Path) -> None:
    broker = Presence(is_here=False)
    child = _child(tmp_path, "echo started; sleep 600", broker)
    keeping = asyncio.create_task(child.keep_running())
    await asyncio.sleep(0)
    assert ("waiting for the broker", None) == (child.state, child.pid)
    broker.came()
    await eventually(lambda: child.last_line() == "started")
    keeping.cancel()
    await child.stop(timeout_s=1)


async def test_what_ended_while_the_broker_was_away_is_started_once_when_it_is_back(tmp_path: Path) -> None:
    broker = Presence(is_here=True)
    child = _child(tmp_path, "echo no broker; sleep 600", broker)
    keeping = asyncio.create_task(child.keep_running())
    await eventually(lambda: child.last_line() == "no broker")
    broker.went()
    child.signal(signal.SIGKILL)
    await eventually(lambda: child.pid is None and child.exit_code is not None)
    assert "ended (exit -9), again when the broker is back: no broker" == child.state
    broker.came()
    await eventually(lambda: child.pid is not None)
    assert 1 == child.restarts
    keeping.cancel()
    await child.stop(timeout_s=1)


async def test_a_broker_that_is_back_ends_a_long_pause_and_the_next_one_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_BACKOFF_S", 0.01)
    broker = Presence(is_here=True)
    child = _child(tmp_path, "exit 70", broker)
    child._backoff_s = 600.0
    keeping = asyncio.create_task(child.keep_running())
    await eventually(lambda: child.state.endswith("again in 600 s: "))
    broker.went()
    broker.came()
    await eventually(lambda: child.restarts >= 2)
    keeping.cancel()
    await child.stop(timeout_s=1)


async def test_a_process_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    child = Child("sample", ["sleep", "600"], logs / "sample.log", {"PATH": os.environ["PATH"]})
    keeping = asyncio.create_task(child.keep_running())
    await eventually(lambda: child.state.startswith("not started ([Errno 2]"))
    logs.mkdir()
    await eventually(lambda: child.pid is not None)
    keeping.cancel()
    await child.stop(timeout_s=1)
