"""SIGTERM before a process has read its settings, also as process 1, for which the system has no default."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# The signal arrives when the first module is looked for that takes time to import; its default is what it is for
# process 1, which ignores it.
PROGRAM = """
import os, runpy, signal, sys

signal.signal(signal.SIGTERM, signal.SIG_IGN)

class Telling:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Telling())
sys.argv = ["tidemark", *sys.argv[1:]]
runpy.run_module("tidemark.cli", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["worker"], 0),
        (["ingest", "chain", "main"], 0),
        (["ingest", "prices", "venue"], 0),
        (["api"], 0),
        (["funder", "main"], 0),
        (["up"], 0),
        (["audit", "main"], 128 + signal.SIGTERM),
    ],
)
def test_sigterm_before_settings_are_read_ends_a_process(command: list[str], code: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command], cwd=ROOT, timeout=60, check=False, capture_output=True, text=True
    )

    assert (code, "") == (ended.returncode, ended.stderr)


def test_who_only_imports_the_command_line_keeps_its_handlers() -> None:
    program = "import signal, tidemark.cli; print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, timeout=60, check=True, capture_output=True, text=True
    )
    assert "True\n" == said.stdout
