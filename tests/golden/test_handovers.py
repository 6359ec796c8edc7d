"""A worker of this version goes on from rows that one of an earlier version left, as from rows of its own."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from tests.support.handovers import HANDOVERS, SCRIPTS, digests_of, read_handover
from tests.support.scripted import Tables, left_in_the_middle, taken_over

VERSIONS: dict[str, dict[str, Any]] = json.loads((HANDOVERS / "versions.json").read_text())


@cache
def alone(script: str) -> Tables:
    return taken_over(script, left_in_the_middle(script))


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("version", VERSIONS)
def test_tables_are_the_same_whoever_was_the_worker_before(version: str, script: str) -> None:
    tables, mine = taken_over(script, read_handover(HANDOVERS / version, script)), alone(script)
    found, wanted = digests_of(tables), digests_of(mine)
    for table in VERSIONS[version]["told_anew"]:
        assert mine[table].keys() == tables[table].keys()
        del found[table], wanted[table]

    assert wanted == found


def test_every_version_of_which_there_are_rows_is_listed() -> None:
    assert {path.name for path in HANDOVERS.iterdir() if path.is_dir()} == VERSIONS.keys()
