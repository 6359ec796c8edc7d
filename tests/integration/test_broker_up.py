"""``tidemark up`` as a process: what it starts, and that nothing is left of it however it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.broker import JARS
from tests.support.eventually import eventually
from tidemark.broker.probe import cluster_id_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

ROOT = Path(__file__).parents[2]
CONFIG = f"""
[deployments.nowhere]
chain_id = 1
diamond = "0x{"ab" * 20}"
rpc = ["http://127.0.0.1:9"]
start_block = 1
[sources.binance-futures]
websocket = "ws://127.0.0.1:9"
rest = "http://127.0.0.1:9"
[topics]
partitions = 2
[api]
port = 0
admin_port = 0
[worker]
admin_port = 0
[broker]
port = 0
jars = "{JARS}"
"""
STARTED = ("api", "worker", "chain-nowhere", "prices-binance-futures")


class Up:
    """A ``tidemark up`` in a data directory of its own."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, more: Mapping[str, str] | None = None) -> asyncio.subprocess.Process:
        config = self.data_dir / "given.toml"
        config.write_text(CONFIG)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", ""),
            # Java starts as in other tests, whose brokers compile less and have their classes at hand.
            "JDK_JAVA_OPTIONS": os.environ["JDK_JAVA_OPTIONS"],
            "PYTHONPATH": str(ROOT),
            "TIDEMARK_CONFIG": str(config),
            "TIDEMARK_DATA_DIR": str(self.data_dir),
            **(more or {}),
        }
        with (self.data_dir / "up.out").open("wb") as out:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tidemark.cli", "up", env=environment, stdout=out, stderr=out, cwd=self.data_dir
            )
        return self.process

    def has_started_everything(self) -> bool:
        logs = {path.stem for path in (self.data_dir / "logs").glob("*.log")}
        return set(STARTED) <= logs

    def left(self) -> list[str]:
        """Command lines of processes, other than ``up`` itself, that work for this data directory."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and not (self.process and int(entry.name) == self.process.pid):
                try:
                    environment = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if str(self.data_dir).encode() in environment:
                    found.append(entry.name)
        return found


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Up]:
    up = Up(tmp_path)
    yield up
    if up.process is not None and up.process.returncode is None:
        up.process.terminate()
        await up.process.wait()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_everything_within_five_seconds(up: Up, sign: signal.Signals) -> None:
    process = await up.start()
    await eventually(up.has_started_everything, timeout_s=60)
    assert up.left()
    process.send_signal(sign)
    begun_s = time.monotonic()
    assert 0 == await process.wait()
    assert time.monotonic() - begun_s < 5
    assert [] == up.left()


async def test_a_kill_leaves_no_process_and_the_next_run_goes_on_with_the_same_data(up: Up) -> None:
    process = await up.start()
    await eventually(up.has_started_everything, timeout_s=60)
    process.kill()
    await process.wait()
    await eventually(lambda: [] == up.left())

    meta = up.data_dir / "broker" / "log" / "meta.properties"
    before = meta.read_text()
    for log in (up.data_dir / "logs").glob("*.log"):
        log.unlink()
    await up.start()
    await eventually(up.has_started_everything, timeout_s=60)
    assert before == meta.read_text()


async def test_a_killed_broker_is_back_at_its_port_and_what_needs_it_goes_on(up: Up) -> None:
    await up.start()
    await eventually(up.has_started_everything, timeout_s=60)
    state_file = up.data_dir / "broker" / "broker.json"
    killed = json.loads(state_file.read_text())

    os.kill(killed["pid"], signal.SIGKILL)

    def is_back() -> bool:
        found = json.loads(state_file.read_text())
        return found["pid"] != killed["pid"] and cluster_id_at("127.0.0.1", found["port"]) is not None

    await eventually(is_back, timeout_s=60)
    assert killed["port"] == json.loads(state_file.read_text())["port"]
    said = f"broker: 127.0.0.1:{killed['port']}, started again"
    await eventually(lambda: said in (up.data_dir / "up.out").read_text(), timeout_s=10)


async def test_a_port_that_is_set_and_taken_is_refused_before_anything_is_started(up: Up) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await up.start({"TIDEMARK_API__PORT": str(port)})
        assert 2 == await process.wait()
    said = (up.data_dir / "up.out").read_text()
    assert f"api.port: expected 127.0.0.1:{port} to be free" in said
    assert not (up.data_dir / "broker").exists()


async def test_a_second_one_in_the_same_data_directory_is_refused(up: Up) -> None:
    await up.start()
    await eventually(up.has_started_everything, timeout_s=60)
    second = Up(up.data_dir)
    assert 2 == await (await second.start()).wait()
    assert "another `tidemark up`" in (up.data_dir / "up.out").read_text()
    assert up.left()
