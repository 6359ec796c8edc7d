"""Environments of clients that are other people's, each with what it is pinned to; they are made once and kept."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
_CACHE = HERE / ".cache"
_LONGEST_S = 240
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")
_AS_PINNED = ("--quiet", "--require-hashes", "--no-compile")


def python_of(name: str) -> Path:
    """The interpreter of an environment that has what ``requirements-NAME.txt`` pins."""
    pinned, home = HERE / f"requirements-{name}.txt", _CACHE / name
    installed, python = home / "installed.txt", home / "bin" / "python"
    _CACHE.mkdir(exist_ok=True)
    with pinned.open() as only_one:
        # Tests run in several processes.
        fcntl.flock(only_one, fcntl.LOCK_EX)
        if not installed.exists() or installed.read_bytes() != pinned.read_bytes():
            # Our own pip installs into it, and compiles nothing: most of what ccxt brings is never imported.
            _run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(home)])
            _run([*_PIP, "--python", str(python), "install", *_AS_PINNED, "-r", str(pinned)])
            shutil.copyfile(pinned, installed)
    return python


def _run(command: list[str]) -> None:
    subprocess.run(command, cwd=HERE, check=True, capture_output=True, timeout=_LONGEST_S)
