"""Whatever nodes answer: the rows are those of the undisturbed chain, or it is said which blocks are not proven."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from tests.support.hostile_node import Traits
from tests.support.hostile_runs import (
    Outcome,
    differing,
    draw_script,
    play,
    rows_of,
    undisturbed_rows,
)

# Scripts that are drawn; TIDEMARK_TEST_SCRIPTS asks for more, TIDEMARK_TEST_SEED for others (`make hostile`).
_SCRIPTS = int(os.environ.get("TIDEMARK_TEST_SCRIPTS", "200"))
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


@pytest.mark.parametrize(
    "traits",
    [
        Traits(hang_up=True, batch_max=1),
        Traits(hang_up=True, range_max=3),
        Traits(parts=0.4),
        Traits(batch_answers=1),
        Traits(batch_answers=3),
        Traits(call_s=3.0),
        Traits(leaps=0.3),
        Traits(misplaces=0.3),
    ],
    ids=str,
)
def test_the_only_endpoint_may_be_wrong_in_one_way_all_the_time(traits: Traits) -> None:
    scripts = (replace(draw_script(seed), endpoints=(traits,), witness="share", history=26) for seed in range(12))

    assert {} == {one.seed: fault for one in scripts if (fault := fault_of(play(one))) is not None}


def test_an_endpoint_that_takes_ten_seconds_for_a_call_is_remembered_to_take_few_at_once() -> None:
    slow = Traits(call_s=10.0)
    scripts = (replace(draw_script(seed), endpoints=(slow,), witness="share", history=1) for seed in range(12))

    assert {} == {one.seed: fault for one in scripts if (fault := fault_of(play(one))) is not None}


def test_blocks_that_one_of_two_endpoints_never_answers_well_do_not_hold_up_what_is_final_for_good() -> None:
    scripts = (
        replace(draw_script(seed), endpoints=(Traits(range_max=1), Traits(counts_anew=0.4)), witness="all", history=26)
        for seed in range(12)
    )
    outcomes = [play(script) for script in scripts]

    assert [] == [fault for one in outcomes if (fault := fault_of(one)) is not None]
    assert any(one.doubted for one in outcomes)
