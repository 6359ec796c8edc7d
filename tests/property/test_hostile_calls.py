"""What it costs in calls that no log is lost, on a long chain of which either endpoint may be wrong at any time."""

from __future__ import annotations

import os
from typing import Literal

from tests.support.hostile_node import Traits
from tests.support.hostile_runs import Outcome, Script, differing, play

# `make hostile` asks for 20,000 blocks; the shares are the same on a shorter chain.
_BLOCKS = 20_000 if os.environ.get("TIDEMARK_TEST_HOSTILE") == "all" else 3_000
_AT_HEAD = _BLOCKS // 10
_AT_HEAD_AT_MOST, _IN_HISTORY_AT_MOST = 1.3, 2.2
_LIES = Traits(lags=0.1, lag_s=10_000.0, cuts=0.3, drops=0.1, reorders=0.5, repeats=0.1)


def played(*endpoints: Traits, witness: Literal["off", "all"]) -> Outcome:
    return play(
        Script(
            seed=3,
            endpoints=endpoints,
            history=_BLOCKS - _AT_HEAD,
            forks=0.0,
            witness=witness,
            blocks=_BLOCKS,
            finality=64,
            is_measured=True,
        )
    )


def test_a_witness_of_every_final_block_loses_no_log_and_costs_few_calls() -> None:
    honest = played(Traits(), Traits(), witness="off")
    hostile = played(_LIES, _LIES, witness="all")

    assert set() == differing(hostile.script.chain, hostile.records)
    assert (None, set(), True) == (hostile.failure, hostile.doubted, hostile.is_settled)
    history = hostile.history_calls / honest.history_calls
    head = (hostile.calls - hostile.history_calls) / (honest.calls - honest.history_calls)
    print(f"{_BLOCKS} blocks, calls: {history:.2f} x in history, {head:.2f} x at the head, {hostile.mended} mended")  # noqa: T201
    assert history <= _IN_HISTORY_AT_MOST
    assert head <= _AT_HEAD_AT_MOST
