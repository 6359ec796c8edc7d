"""Ends a pytest process that hangs where pytest-timeout does not look, and prints where each thread stands.

A test's timeout fires once and is cancelled by a test's failure: a teardown that follows has none. Nor has it any while
tests are imported, or when the interpreter waits for threads at its end, and a call that keeps Python's signal handlers
from running is not interrupted. Here a thread of C waits beside it, which needs neither the interpreter nor its lock.
"""

from __future__ import annotations

import faulthandler
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# Importing every test takes some 10 s, an exit at most 10 s for the workers of pytest-xdist.
_START_S = 300
_EXIT_S = 300
# What pytest-timeout is given to end a test by itself, and to report it, before the process is ended.
_GRACE_S = 60

_stderr = pytest.StashKey[int]()


def _end_after(config: pytest.Config, seconds: float) -> None:
    faulthandler.dump_traceback_later(seconds, file=config.stash[_stderr], exit=True)


def _end_after_timeout_of(item: pytest.Item) -> None:
    marker = item.get_closest_marker("timeout")
    timeout_s = float(marker.args[0] if marker else item.config.getini("timeout"))
    _end_after(item.config, timeout_s + _GRACE_S)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # While a test runs, file descriptor 2 is the file that captures its output.
    config.stash[_stderr] = os.dup(2)
    _end_after(config, _START_S)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    # From here on a process may rightly wait: for the first of its tests, or for those of the workers that it leads.
    faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _end_after_timeout_of(item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    _end_after_timeout_of(item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    _end_after_timeout_of(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    # From here on until the process is gone: fixtures that are left, threads, handlers of atexit.
    _end_after(session.config, _EXIT_S)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    # A worker of pytest-xdist rightly stays until its controller, which needs all of them to finish, ends it.
    if hasattr(config, "workerinput"):
        faulthandler.cancel_dump_traceback_later()
