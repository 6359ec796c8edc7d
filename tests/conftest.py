"""Fixtures of every test."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as examples

from tests.support.broker import Slices, running_kafka, settings_of_a_test

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from streams.settings import Settings

pytest_plugins = ["tests.support.hangs"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slice-records", type=int, help="records in a slice, where a test does not say itself")
    parser.addoption("--venue-scripts", type=int, default=500, help="how many scripts a hostile venue plays")


def pytest_configure(config: pytest.Config) -> None:
    Slices.records = config.getoption("--slice-records")
    # How long an example takes is the machine's affair.
    examples.register_profile(
        "without deadline", examples.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    examples.load_profile("without deadline")
    # Brokers of tests live for seconds: optimising their code would cost a third of what they need to start.
    os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Bootstrap address of a real broker, started once a test run."""
    with running_kafka() as bootstrap:
        yield bootstrap


@pytest.fixture
def settings(kafka: str, tmp_path: Path) -> Callable[..., Settings]:
    """Makes Settings of the keyword arguments given: this run's broker, a topic prefix and a data directory alone."""
    return partial(settings_of_a_test, kafka, tmp_path)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TIDEMARK_")]:
        monkeypatch.delenv(name)
