from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tidemark.broker import BrokerFailed
from tidemark.broker.jars import KAFKA_JAR, ensure_jars, has_jars
from tidemark.broker.java import find_java, java_major

MAKEFILE = Path(__file__).parents[2] / "Makefile"


@pytest.fixture
def bin_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on PATH."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    return directory


def _program(directory: Path, name: str, script: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.usefixtures("bin_dir")
def test_without_java_the_message_names_the_package() -> None:
    with pytest.raises(BrokerFailed, match=r"found no java on PATH: install Java 17 .*openjdk-17-jre-headless"):
        find_java()


def test_an_old_java_is_named_and_refused(bin_dir: Path) -> None:
    _program(bin_dir, "java", """echo 'openjdk version "11.0.22" 2024-01-16' >&2""")
    with pytest.raises(BrokerFailed, match=r'expected Java 17 or newer at .*, found openjdk version "11\.0\.22"'):
        find_java()


@pytest.mark.parametrize(
    ("said", "major"),
    [
        ('java version "1.8.0_392"', 8),
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "21"', 21),
        ("", None),
    ],
)
def test_the_major_version_is_read(said: str, major: int | None) -> None:
    assert major == java_major(said)


@pytest.mark.usefixtures("bin_dir")
def test_without_maven_and_jars_the_message_names_the_package(tmp_path: Path) -> None:
    with pytest.raises(BrokerFailed, match="found neither: install Maven"):
        ensure_jars(tmp_path / "libs")


def test_what_maven_said_is_in_the_message_and_nothing_half_fetched_stays(bin_dir: Path, tmp_path: Path) -> None:
    _program(bin_dir, "mvn", "echo no route to the repository; exit 1")
    with pytest.raises(BrokerFailed, match=r"\(exit 1\):\nno route to the repository"):
        ensure_jars(tmp_path / "libs")
    assert ["bin"] == [path.name for path in tmp_path.iterdir()]


def test_jars_that_are_there_are_not_fetched_again(tmp_path: Path, bin_dir: Path) -> None:
    _program(bin_dir, "mvn", "exit 1")
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / KAFKA_JAR).touch()
    ensure_jars(tmp_path / "libs")
    assert has_jars(tmp_path / "libs")


def test_what_make_runs_to_fetch_jars_says_nothing_where_they_are(tmp_path: Path) -> None:
    (tmp_path / KAFKA_JAR).touch()
    (module,) = re.findall(r"python -m (\S+) \.kafka/libs", MAKEFILE.read_text())
    done = subprocess.run([sys.executable, "-m", module, tmp_path], capture_output=True, text=True, check=True)
    assert ("", "") == (done.stdout, done.stderr)
