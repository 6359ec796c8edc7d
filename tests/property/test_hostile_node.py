"""Whatever nodes answer: the rows are those of the undisturbed chain, or it is said which blocks are not proven."""

from __future__ import annotations

import os

import pytest

from tests.support.hostile_runs import (
    Outcome,
    differing,
    draw_script,
    play,
    rows_of,
    undisturbed_rows,
)

# Scripts that are drawn; TIDEMARK_TEST_SCRIPTS asks for more, TIDEMARK_TEST_SEED for others.
_SCRIPTS = int(os.environ.get("TIDEMARK_TEST_SCRIPTS", "600"))
_FIRST_SEED = int(os.environ.get("TIDEMARK_TEST_SEED", "0"))
_GROUPS = 12


def fault_of(outcome: Outcome) -> str | None:
    """What is wrong with a run's end, None where nothing is."""
    if outcome.failure is not None:
        return f"ended: {outcome.failure!r}"
    if outcome.is_settled:
        return None if rows_of(outcome.records) == undisturbed_rows(outcome.script.chain) else "the rows differ"
    lost = differing(outcome.script.chain, outcome.records)
    if lost - outcome.doubted:
        return f"blocks {sorted(lost - outcome.doubted)} differ in silence after {outcome.took_s:.0f} s"
    return None if lost else f"nothing differs, and it is not final after {outcome.took_s:.0f} s"


@pytest.mark.parametrize("group", range(_GROUPS))
def test_a_script_ends_in_the_rows_of_the_undisturbed_chain_or_says_what_is_not_proven(group: int) -> None:
    faults = {}
    for seed in range(_FIRST_SEED + group, _FIRST_SEED + _SCRIPTS, _GROUPS):
        outcome = play(draw_script(seed))
        if (fault := fault_of(outcome)) is not None:
            faults[seed] = f"{fault}; {outcome.script}"

    assert faults == {}
