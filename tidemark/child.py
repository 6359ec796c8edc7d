"""One process of the local stack: started, started again when it ends, its output in a file."""

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
# What ran for so long was well: the next end counts as the first one.
_SETTLED_S = 60.0
_LAST_BYTES = 4_096


def started_again(times: int) -> str:
    """Say it of a process that was, once or more."""
    return "started again" if times == 1 else f"started again {times} times"


class Child:
    """Keeps ``command`` running until it is stopped; every line it prints is appended to ``log_file``.

    One that ``finishes`` is not started again when it ended with 0.
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
        """The running process, None between two."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def state(self) -> str:
        """Say how it is in a few words: ``running``, or with what it ended, when it starts again and what it said."""
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
        """Start the process, and again with back-off each time it ends, until cancelled or finished."""
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
