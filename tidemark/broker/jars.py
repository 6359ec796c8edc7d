"""The broker's jars, fetched once from Maven's repositories as pom.xml names them. ``python -m`` fetches them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tidemark.broker.errors import BrokerFailed

POM = Path(__file__).with_name("pom.xml")
KAFKA_JAR = "kafka_2.13-4.3.1.jar"
_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_FETCH_TIMEOUT_S = 600


def has_jars(directory: Path) -> bool:
    """Whether the jars of this version are in ``directory``."""
    return (directory / KAFKA_JAR).is_file()


def ensure_jars(directory: Path) -> None:
    """Fetch the jars into ``directory`` unless they are there: 44 MB on the first run of a machine.

    Raises:
        BrokerFailed: Maven is missing or failed.
    """
    if has_jars(directory):
        return
    maven = shutil.which("mvn")
    if maven is None:
        msg = (
            f"expected {KAFKA_JAR} in {directory} or Maven (mvn) to fetch it with, found neither: "
            "install Maven (Debian: apt-get install maven)"
        )
        raise BrokerFailed(msg)
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Two runs may fetch at once: each into a directory of its own, which then takes the final name in one step.
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix="fetching-") as scratch:
        fetched = Path(scratch).resolve() / "libs"
        command = [maven, "-q", "-B", "-f", str(POM), _GOAL, f"-DoutputDirectory={fetched}", "-DincludeScope=runtime"]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_FETCH_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            msg = f"expected Maven to fetch the broker's jars in {_FETCH_TIMEOUT_S} s: is its repository reachable?"
            raise BrokerFailed(msg) from error
        if done.returncode != 0 or not has_jars(fetched):
            said = f"{done.stdout[-2000:]}{done.stderr[-500:]}"
            msg = f"Maven could not fetch the broker's jars (exit {done.returncode}):\n{said}"
            raise BrokerFailed(msg)
        if not has_jars(directory):
            shutil.rmtree(directory, ignore_errors=True)
            fetched.rename(directory)


def main() -> None:
    """Fetch the jars into the directory given as the only argument."""
    try:
        ensure_jars(Path(sys.argv[1]))
    except BrokerFailed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
