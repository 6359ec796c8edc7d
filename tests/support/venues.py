"""Packages of venues, installed for as long as a test needs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def install(package: Path, site: Path) -> Path:
    """Install a package, without what it depends on, into a directory that Python can be told to look into.

    Args:
        package: Its directory.
        site: Where to.
    """
    subprocess.run(
        [
            sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet",
            "--no-deps", "--no-build-isolation", "--target", site, package,
        ],
        check=True,
    )  # fmt: skip
    return site
