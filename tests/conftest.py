"""Fixtures of every test."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web_app
from hypothesis import HealthCheck
from hypothesis import settings as examples

from streams.process.garbage import collect_rarely
from tests.support.broker import CLASS_ARCHIVE, Slices, running_kafka, settings_of_a_test
from tests.support.records import delete_topics_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.settings import Settings

pytest_plugins = ["tests.support.hangs"]

MEMORY = Path("/dev/shm")
# All brokers of a run, with their data, and the environments that tests install take some 2 GiB at most.
_ROOM_BYTES = 4 << 30


def has_room(directory: Path) -> bool:
    """Whether tests may keep their files there, and run programs from there."""
    if not directory.is_dir():
        return False
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize >= _ROOM_BYTES and not found.f_flag & os.ST_NOEXEC


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slice-records", type=int, help="records in a slice, where a test does not say itself")


def pytest_configure(config: pytest.Config) -> None:
    Slices.records = config.getoption("--slice-records")
    # How long an example takes is the machine's affair.
    examples.register_profile(
        "without deadline", examples.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    examples.load_profile("without deadline")
    # Brokers of tests live for seconds: optimising their code would cost a third of what they need to start, and so
    # would loading classes that are not archived (`make test` has them archived).
    archived = f' "-XX:SharedArchiveFile={CLASS_ARCHIVE}"' if CLASS_ARCHIVE.is_file() else ""
    os.environ.setdefault("JDK_JAVA_OPTIONS", f"-XX:TieredStopAtLevel=1{archived}")
    # A broker waits for the disk with each partition that it creates or deletes, some 160 of them for a test: on disks
    # of common speed that was a third of a run, on slow ones requests ran into their time limits.
    if has_room(MEMORY):
        os.environ.setdefault("TMPDIR", str(MEMORY))


def pytest_collection_finish() -> None:
    # Half a million objects of what was imported outlive every test. Looking through them again and again took more
    # than a third of the processor time of tests that need no broker.
    collect_rarely()


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Bootstrap address of a real broker, started once a test run."""
    with running_kafka() as bootstrap:
        yield bootstrap


@pytest.fixture
def settings(kafka: str, tmp_path: Path) -> Iterator[Callable[..., Settings]]:
    """Makes Settings of the keyword arguments given: this run's broker, a topic prefix and a data directory alone."""
    made: list[Settings] = []

    def make(**overrides: Any) -> Settings:  # noqa: ANN401 - as settings_of_a_test takes
        made.append(settings_of_a_test(kafka, tmp_path, **overrides))
        return made[-1]

    yield make
    # A client that connects reads of every topic where it is: what a run has made would slow down the tests that
    # follow, at last by seconds each.
    with ThreadPoolExecutor(1) as outside_of_the_tests_loop:
        outside_of_the_tests_loop.submit(asyncio.run, delete_topics_of(made)).result()


@pytest.fixture(autouse=True)
def _no_application_is_kept() -> Iterator[None]:
    """Let go of the applications that a test has served.

    aiohttp keeps the handlers of the last 1,024 routes, with their applications. Those of some thousand tests are
    millions of objects, through which each full collection of garbage would look, for half a minute at last.
    """
    yield
    web_app._cached_build_middleware.cache_clear()


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TIDEMARK_")]:
        monkeypatch.delenv(name)
