"""How a worker that cannot start ends: its exit code, its last line, and that nothing stays open."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from streams.settings import BadSettings, WorkerSettings
from streams.worker.admin import AdminServer

ROOT = Path(__file__).parents[4]

# The producer is the first thing that a worker opens; what is started next fails.
PROGRAM = """
import errno, sys
from streams.settings import Settings
from streams.worker import faust_app
from streams.worker.run import run_app

class Producer:
    async def stop(self):
        print("producer stopped", flush=True)

async def opened(*_, **__):
    if sys.argv[1] == "producer":
        raise OSError(errno.ENOSPC, "No space left on device", "store")
    return Producer()

async def full(self):
    raise OSError(errno.ENOSPC, "No space left on device", "store")

faust_app.start_producer = opened
faust_app.Publisher.start = lambda self, producer: None
faust_app.Ownership.start = lambda self, producer: None
faust_app.MarketMarks.start = full
run_app(faust_app.create_app(Settings(kafka="127.0.0.1:1", data_dir=sys.argv[2])))
"""


@pytest.mark.parametrize(("failing", "closed"), [("producer", ""), ("markets", "producer stopped\n")])
def test_a_fault_while_a_worker_starts_ends_it_with_70_and_the_cause_in_its_last_line(
    tmp_path: Path, failing: str, closed: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, failing, str(tmp_path)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    last = ended.stderr.splitlines()[-1]
    assert (70, "tidemark: a fault ended the process: OSError: [Errno 28] No space left on device: 'store'") == (
        ended.returncode,
        last,
    )
    assert closed == ended.stdout
    assert "AttributeError" not in ended.stderr
    assert "Unclosed" not in ended.stderr


async def test_an_admin_port_that_is_taken_is_a_refusal_that_names_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        admin = AdminServer(WorkerSettings(admin_port=port), dict)
        with pytest.raises(BadSettings, match=rf"worker\.admin_port: expected to listen on 127\.0\.0\.1:{port}"):
            await admin.start()
        await admin.stop()
