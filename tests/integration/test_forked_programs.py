"""What tests have forked is a process as a shell would have started it, as far as those tests can tell."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.eventually import eventually
from tests.support.forked_programs import ForkedProcess, Program, start, start_awaited

if TYPE_CHECKING:
    from pathlib import Path

# It says what it was given, waits where it is told to, and ends as it is told to.
_PROGRAM = """
import atexit, os, sys, time
if __name__ == "__main__":
    atexit.register(print, "at exit", flush=True)
    print(sys.argv[1:], os.environ["SAID"], "HOME" in os.environ, sys.stdin.read() == "", flush=True)
    print("a complaint", file=sys.stderr)
    if sys.argv[1] == "wait":
        time.sleep(600)
    sys.exit(int(sys.argv[1]))
"""
_HELD = Program("held_program", [])


def started(directory: Path, *arguments: str) -> ForkedProcess:
    (directory / "held_program.py").write_text(_PROGRAM)
    environment = {"SAID": "text", "PYTHONPATH": str(directory)}
    with (directory / "out").open("wb") as out, (directory / "complaints").open("wb") as complaints:
        return start(_HELD, arguments, environment, out.fileno(), complaints.fileno())


def test_it_has_its_own_arguments_environment_files_and_exit_code_and_ends_in_order(tmp_path: Path) -> None:
    process = started(tmp_path, "3", "more")
    assert 3 == process.wait(60)
    assert (3, 3) == (process.poll(), process.returncode)
    assert "['3', 'more'] text False True\nat exit\n" == (tmp_path / "out").read_text()
    assert "a complaint\n" == (tmp_path / "complaints").read_text()


async def test_it_is_ended_by_a_signal_and_not_before(tmp_path: Path) -> None:
    process = started(tmp_path, "wait")
    await eventually(lambda: "text" in (tmp_path / "out").read_text())
    assert process.returncode is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0)
    process.kill()
    assert -signal.SIGKILL == process.wait(60)
    # There is nobody any more to whom it would go.
    process.terminate()


async def test_one_that_ends_before_anybody_looks_is_not_lost(tmp_path: Path) -> None:
    first, second = started(tmp_path, "4"), started(tmp_path, "5")
    assert [5, 4] == [second.wait(60), first.wait(60)]
    assert 1 == await start_awaited(_HELD, ["0"], {}).wait()
