"""``make rehearse``: plays rehearsals under load, and writes what was seen of each into docs/rehearsals.md."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from tool_cache import ensure_kustomize, ensure_prometheus

from tests.rehearsals.alerts import Alerts
from tests.rehearsals.bad_days import CHEAP, DEAR
from tests.rehearsals.checkout import checked_out
from tests.rehearsals.cluster import MARKETS, PARTITIONS, cluster, fresh_directory
from tests.rehearsals.figures import Row, write_rows
from tests.rehearsals.machine import processors_busy
from tests.rehearsals.machine_faults import NotOnThisMachine, built
from tests.rehearsals.proof import proven
from tests.rehearsals.rehearsal import Stage, played
from tests.rehearsals.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.rehearsals.rehearsal import Rehearsal

# How much later than documented this machine may be, which runs broker, clients and Prometheus beside.
_ROOM_S = 10
_MEASURED_S = 10
_PROOF_WITHIN_S = 300


class Load(NamedTuple):
    """What is said a second, and how many processors are busy with it while nothing goes wrong."""

    prices_per_s: int
    processors: float

    def __str__(self) -> str:
        said = f"{self.prices_per_s * MARKETS} prices, 1 block"
        return f"{said}: {self.processors:.1f} of {os.cpu_count()} processors"


async def main(
    directory: Path, wanted: Sequence[str], prices_per_s: int, partitions: int, previous: str | None
) -> list[str]:
    """Play the rehearsals whose names hold one of some words, all if none is given, and return which failed.

    Args:
        directory: Where everything is.
        wanted: The words.
        prices_per_s: How many times a second the venue says the prices of its markets.
        partitions: How many each topic has.
        previous: The commit of the version before; None where it is not played.
    """
    chosen = [one for one in (*CHEAP, *DEAR) if not wanted or any(word in one.name for word in wanted)]
    failed: list[str] = []
    before = None if previous is None else checked_out(previous, directory / "previous")
    async with cluster(directory, prices_per_s, partitions) as running:
        running.faults = built(directory)
        running.start_all()
        await running.all_ready()
        watcher = Watcher(running, _ROOM_S)
        alerts = Alerts(ensure_prometheus(), running)
        alerts.start()
        try:
            await watcher.start()
            load = Load(prices_per_s, await processors_busy(running, _MEASURED_S))
            _say(f"load a second: {load}")
            for one in chosen:
                try:
                    await _play(one, Stage(running, watcher, alerts, before), load)
                except (AssertionError, NotOnThisMachine) as error:
                    failed.append(one.name)
                    _say(f"not as promised: {one.name}: {error}")
        finally:
            await watcher.stop()
            alerts.stop()
    return failed


async def _play(one: Rehearsal, stage: Stage, load: Load) -> None:
    began_s = time.monotonic()
    _say(f"{one.name} …")
    outcome = await played(one, stage)
    proof = await proven(stage.cluster, _PROOF_WITHIN_S)
    said = "; ".join(outcome.notes) or "-"
    today = datetime.fromtimestamp(time.time(), UTC).date()
    row = Row(one.name, today, str(load), outcome.took_s, proof, outcome.claims, said)
    _say(f"{row.text}  ({time.monotonic() - began_s:.0f} s with the proof)")
    write_rows([row], [each.name for each in (*CHEAP, *DEAR)])


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make rehearse", description=__doc__)
    parser.add_argument("words", nargs="*", help="play the rehearsals whose names hold one of these; all by default")
    parser.add_argument("--prices-per-s", type=int, default=1, help=f"how often {MARKETS} prices are said")
    parser.add_argument("--partitions", type=int, default=PARTITIONS, help="how many each topic has")
    parser.add_argument("--previous", help="the commit of the version before, for an upgrade and a rollback")
    told = parser.parse_args()
    ensure_kustomize()
    lost = asyncio.run(
        main(fresh_directory("rehearsal"), told.words, told.prices_per_s, told.partitions, told.previous)
    )
    sys.exit(1 if lost else 0)
