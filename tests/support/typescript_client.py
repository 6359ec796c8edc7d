"""The published TypeScript client under Node: built of its sources, its core driven call by call, or as a program."""

from __future__ import annotations

import asyncio
import fcntl
import json
import math
import shutil
import subprocess
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

CLIENT = Path(__file__).parents[2] / "clients" / "typescript"
_HERE = Path(__file__).parent
_NEEDED = "expected Node 20 or newer with npm, which the client is built and run with: install nodejs and npm"


def node() -> str:
    found = shutil.which("node")
    assert found is not None, _NEEDED
    return found


def npm(*arguments: str) -> str:
    """Run npm in the client's directory, and return what it printed."""
    found = shutil.which("npm")
    assert found is not None, _NEEDED
    done = subprocess.run([found, *arguments], cwd=CLIENT, check=False, capture_output=True, text=True, timeout=240)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def install() -> None:
    """Install what package-lock.json names, where it is not installed yet; other test processes wait."""
    installed, lock = CLIENT / "node_modules" / ".package-lock.json", CLIENT / "package-lock.json"
    with (CLIENT / "package.json").open() as only_one:
        fcntl.flock(only_one, fcntl.LOCK_EX)
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            npm("ci", "--no-audit", "--no-fund")


def build(directory: Path) -> Path:
    """Build the package into a directory, and return the module that it begins with."""
    install()
    npm("run", "build", "--", "--outDir", str(directory / "dist"))
    (directory / "package.json").write_text('{"type": "module"}')
    return directory / "dist" / "index.js"


class NodeCores:
    """Makes cores in a process of Node, and hands them calls."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._made = 0

    def call(self, core: int, name: str, *arguments: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([core, name, arguments]) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def make(self) -> NodeCore:
        self._made += 1
        return NodeCore(self, self._made)


class NodeCore:
    """One core; its times are in s, as those of the Python client."""

    def __init__(self, cores: NodeCores, number: int) -> None:
        self._cores = cores
        self._number = number
        self.is_settled = False
        self.wake_s = math.inf

    def use_token(self, token: str) -> None:
        self._call("useToken", token)

    def subscribe(self, now_s: float, channel: str, keys: list[str], interval_ms: int) -> None:
        self._call("subscribe", _ms(now_s), channel, keys, interval_ms)

    def unsubscribe(self, now_s: float, channel: str, keys: list[str]) -> None:
        self._call("unsubscribe", _ms(now_s), channel, keys)

    def start(self, now_s: float) -> list[dict[str, Any]]:
        return self._call("start", _ms(now_s))

    def stop(self) -> list[dict[str, Any]]:
        return self._call("stop")

    def retry(self, now_s: float) -> list[dict[str, Any]]:
        return self._call("retry", _ms(now_s))

    def receive(self, now_s: float, text: str) -> list[dict[str, Any]]:
        return self._call("receive", _ms(now_s), text)

    def lost(self, now_s: float, reason: str, code: int | None = None) -> list[dict[str, Any]]:
        return self._call("lost", _ms(now_s), reason, code)

    def tick(self, now_s: float) -> list[dict[str, Any]]:
        return self._call("tick", _ms(now_s))

    def held(self, channel: str, key: str) -> tuple[int, list[int], dict[str, Any]] | None:
        held = self._cores.call(self._number, "held", channel, key)["result"]
        return None if held is None else (held["epoch"], held["seq"], held["data"])

    def _call(self, name: str, *arguments: object) -> list[dict[str, Any]]:
        answer = self._cores.call(self._number, name, *arguments)
        self.is_settled = answer["isSettled"]
        # JSON has no infinity.
        self.wake_s = math.inf if answer["wakeMs"] is None else answer["wakeMs"] / 1000
        return answer["result"] or []


def _ms(now_s: float) -> float:
    """Milliseconds, without the rounding errors of sums of seconds."""
    return round(now_s * 1000, 6)


@contextmanager
def node_cores(module: Path) -> Iterator[NodeCores]:
    """Cores of the client that was built to ``module``."""
    command = [node(), str(_HERE / "core.mjs"), module.as_uri()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield NodeCores(process)
        finally:
            process.kill()


class NodeFollower:
    """A process that follows keys as a program does, and what it said: one JSON object a line."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.gaps = 0
        self.held: dict[tuple[str, str], tuple[int, list[int], dict[str, Any]]] = {}
        self.went_back: list[tuple[list[int], list[int]]] = []

    @asynccontextmanager
    async def following(self, module: Path, url: str, wanted: dict[str, list[str]]) -> AsyncIterator[Self]:
        arguments = [str(_HERE / "follow.mjs"), module.as_uri(), url, json.dumps(wanted)]
        process = await asyncio.create_subprocess_exec(node(), *arguments, stdout=asyncio.subprocess.PIPE, limit=2**24)
        listening = asyncio.create_task(self._listen(process))
        try:
            yield self
            assert process.returncode is None
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await listening

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            match json.loads(line):
                case {"came": came}:
                    self.came.append(came)
                case {"gap": _}:
                    self.gaps += 1
                case {"channel": channel, "key": key, "epoch": epoch, "seq": seq, "data": data}:
                    before = self.held.get((channel, key))
                    # What may follow term and version says how old the row is, and has no order.
                    if before is not None and seq[:2] < before[1][:2]:
                        self.went_back.append((before[1], seq))
                    self.held[channel, key] = epoch, seq, data
                case other:
                    raise AssertionError(other)
