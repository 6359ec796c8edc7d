"""Fetches the jars that a pom.xml names, once, with Maven."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Sequence

_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_FETCH_TIMEOUT_S = 600


class MavenFailed(TidemarkError):
    """Jars cannot be fetched. The message says that Maven must be installed, or what Maven said."""


def has_jars(directory: Path, jars: Sequence[str]) -> bool:
    """Whether all of ``jars`` are in ``directory``."""
    return all((directory / jar).is_file() for jar in jars)


def ensure_jars(pom: Path, directory: Path, jars: Sequence[str]) -> None:
    """Fetch what ``pom`` names into ``directory``, unless it is there.

    Args:
        pom: A pom.xml.
        directory: Where the jars are put; what is in it is replaced.
        jars: Names of files that are there only where the jars of this version are.

    Raises:
        MavenFailed: Maven is missing or failed.
    """
    if has_jars(directory, jars):
        return
    maven = shutil.which("mvn")
    if maven is None:
        msg = (
            f"expected {', '.join(jars)} in {directory} or Maven (mvn) to fetch it with, found neither: "
            "install Maven (Debian: apt-get install maven)"
        )
        raise MavenFailed(msg)
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Two runs may fetch at once. Each fetches into a directory of its own, which is then renamed in one step.
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix="fetching-") as scratch:
        fetched = Path(scratch).resolve() / directory.name
        command = [maven, "-q", "-B", "-f", str(pom), _GOAL, f"-DoutputDirectory={fetched}", "-DincludeScope=runtime"]
        try:
            done = subprocess.run(  # noqa: S603 - starts mvn as found on PATH, with arguments of our own
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_FETCH_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            msg = f"expected Maven to fetch {pom} in {_FETCH_TIMEOUT_S} s: is its repository reachable?"
            raise MavenFailed(msg) from error
        if done.returncode != 0 or not has_jars(fetched, jars):
            said = f"{done.stdout[-2000:]}{done.stderr[-500:]}"
            msg = f"Maven could not fetch {', '.join(jars)} (exit {done.returncode}):\n{said}"
            raise MavenFailed(msg)
        if not has_jars(directory, jars):
            shutil.rmtree(directory, ignore_errors=True)
            fetched.rename(directory)
