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

    from tidemark.presence import Presence

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
        broker: Tells whether the broker answers that the process needs; None where it needs none.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        log_file: Path,
        environment: Mapping[str, str],
        *,
        finishes: bool = False,
        broker: Presence | None = None,
    ) -> None:
        self.name = name
        self.log_file = log_file
        self.restarts = 0
        self.exit_code: int | None = None
        self._command = command
        self._finishes = finishes
        self._environment = dict(environment)
        self._process: asyncio.subprocess.Process | None = None
        self._broker = broker
        self._backoff_s = _FIRST_BACKOFF_S
        self._next_start_s = 0.0
        self._not_started = ""

    @property
    def pid(self) -> int | None:
        """The id of the running process, None while none runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def state(self) -> str:
        """How the process is, in a few words: ``running``, or how it ended, its last line and when it starts again."""
        if self.pid is not None:
            return "running" if not self.restarts else f"running, {started_again(self.restarts)}"
        is_waiting = self._broker is not None and not self._broker.is_here
        if self.exit_code is None and not self._not_started:
            return "waiting for the broker" if is_waiting else "starting"
        if self._is_finished:
            return "finished"
        ended = self._not_started or f"ended (exit {self.exit_code})"
        again = (
            "when the broker is back" if is_waiting else f"in {max(0.0, self._next_start_s - time.monotonic()):.0f} s"
        )
        return f"{ended}, again {again}: {self.last_line()}"

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
        """Start the process, and again each time it ends, after growing pauses, until cancelled or finished.

        A process that needs the broker is started only while that answers. When the broker is back, the process is
        started at once: that it failed while the broker was away says nothing about it.
        """
        while True:
            if self._broker is not None:
                await self._broker.wait()
            started_s = time.monotonic()
            try:
                await self._start()
            except OSError as error:
                self._not_started = f"not started ({error})"
            else:
                self._not_started = ""
                assert self._process is not None  # noqa: S101 - for the type checker
                self.exit_code = await self._process.wait()
            if self._is_finished:
                return
            if time.monotonic() - started_s > _SETTLED_S:
                self._backoff_s = _FIRST_BACKOFF_S
            await self._pause()
            self.restarts += 1

    async def _pause(self) -> None:
        self._next_start_s = time.monotonic() + self._backoff_s
        if self._broker is None:
            await asyncio.sleep(self._backoff_s)
        elif await _returned_during(self._broker, self._backoff_s):
            self._backoff_s = _FIRST_BACKOFF_S
            return
        self._backoff_s = min(2 * self._backoff_s, _LONGEST_BACKOFF_S)

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


async def _returned_during(broker: Presence, pause_s: float) -> bool:
    """Wait for ``pause_s``, or until the broker is back if it is away; return whether it came back meanwhile."""
    try:
        await asyncio.wait_for(broker.returned(), pause_s)
    except TimeoutError:
        if broker.is_here:
            return False
        await broker.wait()
    return True
