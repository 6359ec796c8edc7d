"""One process of the local stack: it is started, started again when it ends, and its output goes to a file."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from tidemark.child_processes import tied_to_us

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 30.0
# A process that ran for this long was well, so the pause after its end is the first one again.
_SETTLED_S = 60.0
_LAST_BYTES = 4_096


def started_again(times: int) -> str:
    """Say how often a process was started again, which is at least once."""
    return "started again" if times == 1 else f"started again {times} times"


class Child:
    """Keeps a process running until it is stopped.

    Args:
        name: What the status calls it.
        command: The program and its arguments.
        log_file: The file to which everything that it prints is appended.
        environment: The process's whole environment.
        finishes: Whether an end with exit code 0 is its proper end, after which it is not started again.
    """

    def __init__(
        self, name: str, command: list[str], log_file: Path, environment: Mapping[str, str], *, finishes: bool = False
    ) -> None:
        self.name = name
        self.log_file = log_file
        self.restarts = 0
        self.exit_code: int | None = None
        self._command = command
        self._finishes = finishes
        self._environment = dict(environment)
        self._process: asyncio.subprocess.Process | None = None
        self._backoff_s = _FIRST_BACKOFF_S
        self._next_start_s = 0.0

    @property
    def pid(self) -> int | None:
        """The id of the running process, None while none runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def state(self) -> str:
        """How the process is, in a few words: ``running``, or how it ended, its last line and when it starts again."""
        if self.pid is not None:
            return "running" if not self.restarts else f"running, {started_again(self.restarts)}"
        if self.exit_code is None:
            return "starting"
        if self._is_finished:
            return "finished"
        wait_s = max(0.0, self._next_start_s - time.monotonic())
        return f"ended (exit {self.exit_code}), again in {wait_s:.0f} s: {self.last_line()}"

    @property
    def _is_finished(self) -> bool:
        return self._finishes and self.exit_code == 0

    def last_line(self) -> str:
        """The last line of the log, ``""`` where there is none."""
        try:
            with self.log_file.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _LAST_BYTES))
                lines = log.read().decode(errors="replace").split("\n")
        except FileNotFoundError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    async def keep_running(self) -> None:
        """Start the process, and again each time it ends, after growing pauses, until cancelled or finished."""
        while True:
            started_s = time.monotonic()
            await self._start()
            assert self._process is not None  # noqa: S101 - for the type checker
            self.exit_code = await self._process.wait()
            if self._is_finished:
                return
            if time.monotonic() - started_s > _SETTLED_S:
                self._backoff_s = _FIRST_BACKOFF_S
            self._next_start_s = time.monotonic() + self._backoff_s
            await asyncio.sleep(self._backoff_s)
            self._backoff_s = min(2 * self._backoff_s, _LONGEST_BACKOFF_S)
            self.restarts += 1

    def signal(self, sign: signal.Signals) -> None:
        """Send a signal to the process and whatever it started."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, sign)

    async def stop(self, timeout_s: float) -> None:
        """End the process by SIGTERM, and by SIGKILL if it is still there after ``timeout_s``."""
        self.signal(signal.SIGTERM)
        if self._process is None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._process.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self._process.wait()

    async def _start(self) -> None:
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *tied_to_us(self._command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
