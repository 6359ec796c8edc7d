"""Packages of venues and of what goes with them, installed for as long as a test needs them."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def environment(directory: Path, *packages: Path) -> Path:
    """Make an environment that sees Tidemark and what it depends on, and install packages into it.

    Args:
        directory: Where to; it is made.
        packages: Their directories.

    Returns:
        Its Python.
    """
    venv.create(directory, symlinks=True)
    python = directory / "bin" / "python"
    ours = sysconfig.get_path("purelib")
    own = Path(sysconfig.get_path("purelib", "venv", {"base": str(directory)}))
    # The folders that our environment names in turn are looked into as well.
    (own / "tidemark.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    _pip("--python", python, "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", *packages)
    return python


def install(package: Path, site: Path) -> Path:
    """Install a package, without what it depends on, into a directory that Python can be told to look into.

    Args:
        package: Its directory.
        site: Where to.
    """
    _pip("install", "--quiet", "--no-deps", "--no-build-isolation", "--target", site, package)
    return site


def announce(directory: Path, kind: str, value: str, group: str = "tidemark.venues") -> Path:
    """Say in a directory that Python looks into that a package brings a kind, as an installed package does.

    Args:
        directory: The directory; it is made.
        kind: The kind.
        value: Where its object is found, such as ``"module:NAME"``.
        group: The group of its entry point.
    """
    name = f"{kind}_{directory.name}"
    about = directory / f"{name}-0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0\n")
    (about / "entry_points.txt").write_text(f"[{group}]\n{kind} = {value}\n")
    return directory


def _pip(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments], check=True)
