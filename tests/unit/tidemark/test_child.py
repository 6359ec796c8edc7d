from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

from tests.support.eventually import eventually
from tidemark.child import Child
from tidemark.child_processes import command_line

if TYPE_CHECKING:
    from pathlib import Path


def _child(directory: Path, script: str) -> Child:
    return Child("sample", ["sh", "-c", script], directory / "sample.log", {"PATH": os.environ["PATH"]})


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
