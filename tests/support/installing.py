"""Entry points as installed packages say them, for as long as a test runs."""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from api.dialects.mounting import dialect_of
from streams.settings.own_topics import topics_of
from streams.settings.prices.price_source import price_package
from streams.settings.venues import package_of
from tests.support.venues import announce
from tidemark.ingest_kinds import ingest_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest


@contextmanager
def announced(directory: Path, monkeypatch: pytest.MonkeyPatch, *entries: tuple[str, str, str]) -> Iterator[None]:
    """Have packages announce kinds.

    Args:
        directory: A place for them; they are made there.
        monkeypatch: Puts it where Python looks for packages, and takes it away again.
        entries: Of each its group, its kind, and where its object is found.
    """
    for number, (group, kind, value) in enumerate(entries):
        monkeypatch.syspath_prepend(str(announce(directory / str(number), kind, value, group)))
    _forget()
    try:
        yield
    finally:
        _forget()


def _forget() -> None:
    importlib.invalidate_caches()
    for find in (dialect_of, price_package, package_of, ingest_of, topics_of):
        find.cache_clear()
