"""The overlay "prod", as processes of this machine, goes through bad days of seconds; `make rehearse` plays all."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.rehearsals.bad_days import CHEAP, PRICES
from tests.rehearsals.cluster import cluster
from tests.rehearsals.proof import proven
from tests.rehearsals.rehearsal import Stage, played
from tests.rehearsals.watcher import Watcher

if TYPE_CHECKING:
    from pathlib import Path

# How much later than documented a machine may be on which tests run, in s.
ROOM_S = 30
# One process for each role that a day needs: who is killed has a successor.
REPLICAS = {"worker": 2, "api": 1, "ingest-chain-main": 1, PRICES: 2}

pytestmark = pytest.mark.skipif(
    not (shutil.which("kubectl") or shutil.which("kustomize")), reason="there is neither kubectl nor kustomize here"
)


@pytest.mark.timeout(900)
async def test_bad_days_of_seconds_lose_nothing_and_nobody_claims_meanwhile_to_be_fresh(tmp_path: Path) -> None:
    async with cluster(tmp_path, prices_per_s=1, partitions=2) as running:
        running.start_all(REPLICAS)
        await running.all_ready()
        watcher = Watcher(running, ROOM_S)
        try:
            await watcher.start()
            stage = Stage(running, watcher, alerts=None)
            outcomes = [await played(one, stage) for one in CHEAP]
            proof = await proven(running)
        finally:
            await watcher.stop()

    assert [one.name for one in CHEAP] == [outcome.name for outcome in outcomes]
    assert all(outcome.claims for outcome in outcomes)
    assert proof.rows
    assert proof.valuations
