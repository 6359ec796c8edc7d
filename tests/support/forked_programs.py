"""Programs as processes of their own, forked of one that has imported what they need, which takes longest.

``python -m MODULE`` spends more than a second of processor time on what it imports, before anything happens that a test
looks at. Here one process for each of pytest's imports it once, and waits. A program is a fork of that process which
runs ``MODULE`` as ``__main__``, and ends as the interpreter does: with its own arguments, environment, files and exit
code. What is not its own is the order of sets of strings, which all forks have in common. Tests of how a program
starts, or of environments other than ours, start it as a shell does.

As a program itself this is the process that imports and waits.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
# A request holds a whole environment; the kernel takes some 200 KiB in one message.
_LONGEST_REQUEST = 1 << 20
_LONGEST_ANSWER = 64
_LOOK_EVERY_S = 0.01
# What is told of a process: its id, and its exit code.
_EVERYTHING = 2


class Program(NamedTuple):
    """What is run: a module, as ``python -m`` would, and what is imported before, once for all that run it."""

    module: str
    imports: Sequence[str]


class _Process:
    """A process that is on its way."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._told: list[int] = []

    @property
    def pid(self) -> int:
        """Its id, which is waited for where what forks it imports something first."""
        self._hear(1, None)
        return self._told[0]

    @property
    def returncode(self) -> int | None:
        """Its exit code, less than 0 where a signal ended it; None while it runs."""
        return self.poll()

    def poll(self) -> int | None:
        """Look whether it has ended; return its exit code, None while it runs."""
        return self._told[1] if self._hear(_EVERYTHING, 0) else None

    def send_signal(self, sign: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sign)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _hear(self, count: int, timeout_s: float | None) -> bool:
        """Whether so much is known of it: its id, then its exit code."""
        while len(self._told) < count:
            looking = select.poll()
            looking.register(self._channel, select.POLLIN)
            if not looking.poll(None if timeout_s is None else timeout_s * 1_000):
                return False
            answer = self._channel.recv(_LONGEST_ANSWER)
            assert answer, "what forks programs has ended, and nobody knows what became of this one: see its traceback"
            self._told.append(int(answer))
            if len(self._told) == _EVERYTHING:
                self._channel.close()
        return True


class ForkedProcess(_Process):
    """What ``subprocess.Popen`` has of a process."""

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait until it has ended; return its exit code."""
        if not self._hear(_EVERYTHING, timeout_s):
            raise subprocess.TimeoutExpired([str(self.pid)], timeout_s or 0)
        return self._told[1]


class AwaitedProcess(_Process):
    """What ``asyncio.subprocess.Process`` has of a process."""

    async def wait(self) -> int:
        """Wait until it has ended, and let others work meanwhile; return its exit code."""
        while (code := self.poll()) is None:  # noqa: ASYNC110 - no event loop is told of it
            await asyncio.sleep(_LOOK_EVERY_S)
        return code


class _Forker:
    """The process that imports and waits, as those see it that have programs forked of it."""

    def __init__(self) -> None:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Where a program looks for modules is its own, not that of the test which happens to be the first.
        environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(its.fileno())],
                cwd=ROOT, env=environment, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self._requests = ours
        atexit.register(self._end)

    def fork(self, request: bytes, stdin: int, stdout: int, stderr: int) -> socket.socket:
        """Ask for a process; return where it is told what becomes of it."""
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            socket.send_fds(self._requests, [request], [stdin, stdout, stderr, its.fileno()])
        return ours

    def _end(self) -> None:
        self._requests.close()
        self._process.wait()


_forkers: list[_Forker] = []


def start(
    program: Program, arguments: Sequence[str], environment: Mapping[str, str], stdout: int, stderr: int
) -> ForkedProcess:
    """Start a program.

    Args:
        program: What to run.
        arguments: What follows its name.
        environment: All that it finds in its environment.
        stdout: The file, as a descriptor, that it writes to.
        stderr: The one for what it complains of.
    """
    return ForkedProcess(_forked(program, arguments, environment, stdout, stderr))


def start_awaited(
    program: Program,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    stdout: int | None = None,
    stderr: int | None = None,
) -> AwaitedProcess:
    """Start a program as ``start`` does, for those who await its end; nobody reads what has no file."""
    return AwaitedProcess(_forked(program, arguments, environment, stdout, stderr))


def _forked(
    program: Program,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    stdout: int | None,
    stderr: int | None,
) -> socket.socket:
    if not _forkers:
        _forkers.append(_Forker())
    request = json.dumps([program.module, [*program.imports], [*arguments], dict(environment)]).encode()
    with Path(os.devnull).open("r+b", buffering=0) as nothing:
        none = nothing.fileno()
        files = none if stdout is None else stdout, none if stderr is None else stderr
        return _forkers[0].fork(request, none, *files)


class _Running(NamedTuple):
    """A process that was forked: where its parent is told of its end."""

    pid: int
    channel: socket.socket


class _Start(NamedTuple):
    """What a process that was forked is to become."""

    module: str
    arguments: list[str]


def _serve(requests: socket.socket) -> _Start | None:
    """Fork what is asked for, and tell how it ended; return in each fork, and None when nobody asks any more."""
    running: dict[int, _Running] = {}
    looking = select.poll()
    looking.register(requests, select.POLLIN)
    while True:
        for file, _ in looking.poll():
            if file in running:
                looking.unregister(file)
                os.close(file)
                _tell_end(running.pop(file))
                continue
            said, files, _, _ = socket.recv_fds(requests, _LONGEST_REQUEST, 4)
            if not said:
                return None
            module, imports, arguments, environment = json.loads(said)
            for one in imports:
                importlib.import_module(one)
            pid = os.fork()
            if pid == 0:
                for other, process in running.items():
                    os.close(other)
                    process.channel.close()
                requests.close()
                _become(files, environment)
                return _Start(module, arguments)
            channel = socket.socket(fileno=files.pop())
            for one in files:
                os.close(one)
            channel.send(str(pid).encode())
            ending = os.pidfd_open(pid)
            running[ending] = _Running(pid, channel)
            looking.register(ending, select.POLLIN)


def _tell_end(process: _Running) -> None:
    _, status = os.waitpid(process.pid, 0)
    with process.channel, suppress(BrokenPipeError):
        # Where nobody waits for it any more, nobody is told.
        process.channel.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(files: Sequence[int], environment: Mapping[str, str]) -> None:
    """Have the files and the environment that were asked for, and look for modules where that says."""
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
    for file in files:
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[1:1] = [one for one in environment.get("PYTHONPATH", "").split(os.pathsep) if one]
    importlib.invalidate_caches()


def _run(started: _Start) -> None:
    # It is imported already, and runs anew as the main one.
    sys.modules.pop(started.module, None)
    sys.argv[1:] = started.arguments
    runpy.run_module(started.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    found = _serve(socket.socket(fileno=int(sys.argv[1])))
    if found is not None:
        _run(found)
