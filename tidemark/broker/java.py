"""Finds a Java that is new enough for the broker."""

from __future__ import annotations

import re
import shutil
import subprocess

from tidemark.broker.errors import BrokerFailed

OLDEST_JAVA = 17
_INSTALL = f"install Java {OLDEST_JAVA} or newer (Debian: apt-get install openjdk-17-jre-headless)"


def find_java(name: str = "java") -> str:
    """Return the path of ``name`` on PATH.

    Raises:
        BrokerFailed: There is none, or it is older than ``OLDEST_JAVA``.
    """
    path = shutil.which(name)
    if path is None:
        msg = f"expected Java for the embedded broker, found no {name} on PATH: {_INSTALL}"
        raise BrokerFailed(msg)
    # A busy machine may take long for this; where it never ends, Ctrl-C does.
    answer = subprocess.run([path, "-version"], capture_output=True, text=True, check=False)
    said = (answer.stderr or answer.stdout).strip()
    version = java_major(said)
    if version is None or version < OLDEST_JAVA:
        found = said.splitlines()[0] if said else f"exit code {answer.returncode}"
        msg = f"expected Java {OLDEST_JAVA} or newer at {path}, found {found}: {_INSTALL}"
        raise BrokerFailed(msg)
    return path


def java_major(said: str) -> int | None:
    """Read the major version in the output of ``java -version`` (8 in ``"1.8.0_392"``); None where there is none."""
    match = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(match.group(1)) if match else None
