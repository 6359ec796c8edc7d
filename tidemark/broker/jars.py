"""The broker's jars, which pom.xml names; they are fetched once from Maven's repositories."""

from __future__ import annotations

from pathlib import Path

from tidemark import maven
from tidemark.broker.errors import BrokerFailed

POM = Path(__file__).with_name("pom.xml")
KAFKA_JAR = "kafka_2.13-4.3.1.jar"


def has_jars(directory: Path) -> bool:
    """Whether the jars of this version are in ``directory``."""
    return maven.has_jars(directory, [KAFKA_JAR])


def ensure_jars(directory: Path) -> None:
    """Fetch the jars into ``directory`` unless they are there: 44 MB on the first run of a machine.

    Raises:
        BrokerFailed: Maven is missing or failed.
    """
    try:
        maven.ensure_jars(POM, directory, [KAFKA_JAR])
    except maven.MavenFailed as error:
        raise BrokerFailed(str(error)) from error
