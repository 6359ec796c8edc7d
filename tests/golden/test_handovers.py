"""A worker of this version goes on from rows that one of an earlier version left, as from rows of its own."""

from __future__ import annotations

import json
from functools import cache

import pytest

from tests.support.handovers import HANDOVERS, SCRIPTS, digests_of, read_handover
from tests.support.scripted import left_in_the_middle, taken_over

VERSIONS: dict[str, str] = json.loads((HANDOVERS / "versions.json").read_text())


@cache
def digests_alone(script: str) -> dict[str, str]:
    return digests_of(taken_over(script, left_in_the_middle(script)))


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("version", VERSIONS)
def test_tables_are_the_same_whoever_was_the_worker_before(version: str, script: str) -> None:
    found = digests_of(taken_over(script, read_handover(HANDOVERS / version, script)))

    assert digests_alone(script) == found


def test_every_version_that_is_kept_is_listed_with_what_is_new_in_it() -> None:
    assert {path.name for path in HANDOVERS.iterdir() if path.is_dir()} == VERSIONS.keys()
