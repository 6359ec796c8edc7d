"""Packages for Node that tests run as they are, installed once by the lock beside those tests."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

_LONGEST_S = 240


def node_with_packages(home: Path, *, run_scripts: bool = False) -> Path:
    """Node, once what ``package-lock.json`` of a folder of tests names is installed there.

    Args:
        home: The folder.
        run_scripts: Whether a package may run what it brings for its own installation, such as one that is a binary.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    assert node is not None, f"expected Node 20 or newer, which tests run what {home} names on: install nodejs"
    assert npm is not None, f"expected npm, which fetches what {home} names: install npm"
    installed, lock = home / "node_modules" / ".package-lock.json", home / "package-lock.json"
    with lock.open() as only_one:
        # Tests run in several processes.
        fcntl.flock(only_one, fcntl.LOCK_EX)
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            command = [npm, "ci", "--no-audit", "--no-fund", *(() if run_scripts else ("--ignore-scripts",))]
            subprocess.run(command, cwd=home, check=True, capture_output=True, timeout=_LONGEST_S)
    return Path(node)
