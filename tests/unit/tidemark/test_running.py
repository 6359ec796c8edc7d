"""Processes that are told to stop."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROCESS = """
import asyncio, os, signal
from tidemark.running import run_until_stopped

async def process():
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
    try:
        await asyncio.Event().wait()
    finally:
        {at_the_end}

run_until_stopped(process(), end_within_s=0.5)
"""


@pytest.mark.parametrize(
    ("at_the_end", "code", "said"),
    [
        ("await asyncio.sleep(0)", 0, ""),
        ("await asyncio.Event().wait()", 70, "expected the process to end within 0.5 s of being told to"),
    ],
    ids=["ends", "waits for what never comes"],
)
def test_a_process_that_is_told_to_stop_ends_whatever_it_waits_for(at_the_end: str, code: int, said: str) -> None:
    program = _PROCESS.format(at_the_end=at_the_end)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert code == ended.returncode, ended.stderr
    assert said in ended.stderr
