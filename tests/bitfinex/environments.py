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


def python_of(name: str) -> Path:
    """The interpreter of an environment that has what ``requirements-NAME.txt`` pins."""
    pinned, home = HERE / f"requirements-{name}.txt", _CACHE / name
    installed, python = home / "installed.txt", home / "bin" / "python"
    _CACHE.mkdir(exist_ok=True)
    with pinned.open() as only_one:
        # Tests run in several processes.
        fcntl.flock(only_one, fcntl.LOCK_EX)
        if not installed.exists() or installed.read_bytes() != pinned.read_bytes():
            _run([sys.executable, "-m", "venv", "--clear", str(home)])
            _run([str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(pinned)])
            shutil.copyfile(pinned, installed)
    return python


def node_modules() -> Path:
    """Node, once what ``package-lock.json`` names is installed."""
    node, npm = shutil.which("node"), shutil.which("npm")
    assert node is not None, "expected Node 20 or newer, which tests/bitfinex runs a client on: install nodejs"
    assert npm is not None, "expected npm, which fetches this client: install npm"
    installed, lock = HERE / "node_modules" / ".package-lock.json", HERE / "package-lock.json"
    with lock.open() as only_one:
        fcntl.flock(only_one, fcntl.LOCK_EX)
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            _run([npm, "ci", "--no-audit", "--no-fund"])
    return Path(node)


def _run(command: list[str]) -> None:
    subprocess.run(command, cwd=HERE, check=True, capture_output=True, timeout=_LONGEST_S)
