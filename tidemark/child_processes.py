"""Processes that end with us, and processes that somebody else left behind."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path

_POLL_S = 0.02


def tied_to_us(command: list[str]) -> list[str]:
    """Return ``command`` such that the kernel kills it when this process dies, however it dies.

    The kernel ties a child to the *thread* that started it, so this is done only for the main thread; where there is
    no ``setpriv`` (it is part of every Debian) the command is returned as it is.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return command
    return [setpriv, "--pdeathsig", "KILL", *command]


def command_line(pid: int) -> str:
    """Return the arguments of a running process, joined by spaces, or ``""`` where there is none or a dead one."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def wait_gone(pid: int, timeout_s: float) -> bool:
    """Wait until a process, which need not be our child, is gone; return False if it is still there after all."""
    deadline = time.monotonic() + timeout_s
    while command_line(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def stop_process(pid: int, timeout_s: float) -> None:
    """End a process by SIGTERM, and by SIGKILL if it is still there after ``timeout_s``."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            return
        if wait_gone(pid, timeout_s):
            return
