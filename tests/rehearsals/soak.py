"""``make soak``: runs the overlay "prod" at its load for long, then at ten times of it, and looks at what it holds.

Memory must be flat and no descriptor be lost; in the burst figures may grow old, and must be young again after it, with
nothing lost. What was seen is kept as docs/soak.svg, with the figures of every sample in .cache/soak.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from tool_cache import ensure_kustomize

from tests.rehearsals.cluster import MARKETS, cluster, fresh_directory
from tests.rehearsals.machine import held_by, processors_busy
from tests.rehearsals.plot import Line, write_plot
from tests.rehearsals.proof import proven
from tests.rehearsals.rehearsal import Stage, everybody_hears, status_of
from tests.rehearsals.rendered import ROOT
from tests.rehearsals.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.rehearsals.cluster import Cluster
    from tests.rehearsals.machine import Held

PLOT, SAMPLES = ROOT / "docs" / "soak.svg", ROOT / ".cache" / "soak.json"
BURST_TIMES = 10
_EVERY_S = 5.0
# Some 800,000 records of an hour and its burst are folded again, by one process beside the still running cluster.
_PROOF_WITHIN_S = 1800
_ROOM_S = 30
# By how much a process may hold more in the last quarter of the steady hour than in the second: caches that fill.
_MORE_SHARE, _MORE_MB, _MORE_DESCRIPTORS = 0.05, 10.0, 16
# By how much more may wait for workers, and frames be older: what a crowded machine puts off for some seconds.
_MORE_WAITING, _OLDER_S = 500, 10.0


class Sample(NamedTuple):
    """One look: when, in s since the beginning; what each pod holds; records that wait; how old frames are, in s.

    ``age_s`` is None where no frame used a mark.
    """

    at_s: float
    held: Mapping[str, Held]
    waiting: int
    age_s: float | None


async def main(directory: Path, *, steady_s: float, burst_s: float, prices_per_s: int) -> list[str]:
    """Run it, and return what was otherwise than promised.

    Args:
        directory: Where everything is.
        steady_s: How long it runs at its load, in s.
        burst_s: How long at ten times of it, in s.
        prices_per_s: How many times a second the venue says the prices of its markets.
    """
    async with cluster(directory, prices_per_s) as running:
        running.start_all()
        await running.all_ready()
        watcher = Watcher(running, _ROOM_S)
        try:
            await watcher.start()
            began_s = time.monotonic()
            steady = await _looked(running, watcher, began_s, steady_s, prices_per_s)
            await running.world.tell(times=BURST_TIMES)
            burst = await _looked(running, watcher, began_s, burst_s, BURST_TIMES * prices_per_s)
            await running.world.tell(times=1)
            await everybody_hears(Stage(running, watcher, None))
            after = await _looked(running, watcher, began_s, 2 * _EVERY_S, prices_per_s)
            # Kept before the proof is tried: what was seen counts, and is wanted most, where that fails.
            _keep([*steady, *burst, *after], steady_s, burst_s)
            proof = await proven(running, _PROOF_WITHIN_S)
        finally:
            await watcher.stop()
        restarts = {pod.name: pod.restarts for pod in running.pods.values() if pod.restarts}
    _say(f"nothing is lost: {proof.records} records folded again, {proof.rows} rows and {proof.valuations} values same")
    faults = [f"{name} was restarted {count} times" for name, count in restarts.items()]
    return [*faults, *grown(steady), *late(steady)]


async def _looked(
    cluster: Cluster, watcher: Watcher, began_s: float, seconds: float, prices_per_s: int
) -> list[Sample]:
    # Over all of that time: a worker takes twice as much in its first minute as in the ones after it.
    busy, samples = await asyncio.gather(
        processors_busy(cluster, seconds), _sampled(cluster, watcher, began_s, seconds)
    )
    _say(f"{prices_per_s * MARKETS} prices a second kept {busy:.2f} processors busy for {seconds:.0f} s")
    return samples


async def _sampled(cluster: Cluster, watcher: Watcher, began_s: float, seconds: float) -> list[Sample]:
    samples = []
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        since_s = time.time()
        await asyncio.sleep(_EVERY_S)
        said = [await status_of(pod) for pod in cluster.of("worker")]
        found = {pod.name: held_by(pod.pid) for pod in cluster.pods.values()}
        ages = [
            claim.asked_s - claim.dated_s
            for claim in watcher.claims
            if claim.asked_s >= since_s and claim.dated_s is not None
        ]
        samples.append(
            Sample(
                time.monotonic() - began_s,
                {name: held for name, held in found.items() if held is not None},
                sum(sum(one.get("lag_records", {}).values()) for one in said),
                max(ages, default=None),
            )
        )
    return samples


def grown(steady: Sequence[Sample]) -> list[str]:
    """What held more in the last quarter of a steady time than in the second, beyond what caches take.

    Args:
        steady: The samples, in order. Those of the first quarter do not count: everything is read for the first time.
    """
    quarters = _quarters(steady)
    faults = []
    for name in sorted({name for part in quarters for one in part for name in one.held}):
        # One that had just ended at a look is not known there, and everywhere else it is.
        known = [[one.held[name] for one in part if name in one.held] for part in quarters]
        if any(2 * len(held) < len(part) for held, part in zip(known, quarters, strict=True)):
            faults.append(f"{name} was not there for half of a quarter of the time")
            continue
        was, is_now = (median(held.memory_mb for held in part) for part in known)
        if is_now > was * (1 + _MORE_SHARE) + _MORE_MB:
            faults.append(f"{name} held {was:.0f} MB, and later {is_now:.0f} MB")
        few, many = (median(held.descriptors for held in part) for part in known)
        if many > few + _MORE_DESCRIPTORS:
            faults.append(f"{name} held {few:.0f} descriptors, and later {many:.0f}")
    return faults


def late(steady: Sequence[Sample]) -> list[str]:
    """What was put off for longer in the last quarter of a steady time than in the second.

    Args:
        steady: The samples, in order.
    """
    faults = []
    quarters = _quarters(steady)
    if quarters:
        few, many = (median(one.waiting for one in part) for part in quarters)
        if many > few + _MORE_WAITING:
            faults.append(f"{few:.0f} records waited for workers, and later {many:.0f}")
        ages = [[one.age_s for one in part if one.age_s is not None] for part in quarters]
        if any(2 * len(known) < len(part) for known, part in zip(ages, quarters, strict=True)):
            return [*faults, "no frame said how old its marks were for half of a quarter of the time"]
        young, old = (median(known) for known in ages)
        if old > young + _OLDER_S:
            faults.append(f"frames were {young:.0f} s old, and later {old:.0f} s")
    return faults


def _quarters(steady: Sequence[Sample]) -> tuple[Sequence[Sample], ...]:
    """The second and the last quarter, none where the time was too short for them."""
    quarter = len(steady) // 4
    return (steady[quarter : 2 * quarter], steady[-quarter:]) if quarter else ()


def _keep(samples: Sequence[Sample], steady_s: float, burst_s: float) -> None:
    SAMPLES.parent.mkdir(exist_ok=True)
    SAMPLES.write_text(json.dumps([{**one._asdict(), "held": dict(one.held)} for one in samples]))
    at_s = [one.at_s for one in samples]
    names = sorted({name for one in samples for name in one.held})
    memory = [Line(name, [one.held[name].memory_mb if name in one.held else None for one in samples]) for name in names]
    files = [
        Line(name, [one.held[name].descriptors if name in one.held else None for one in samples]) for name in names
    ]
    write_plot(
        PLOT,
        at_s,
        {
            "resident memory, MB": memory,
            "open descriptors": files,
            "records that wait for workers": [Line("all topics", [one.waiting for one in samples])],
            "age of the oldest frame, s": [Line("legacy sockets", [one.age_s for one in samples])],
        },
        f"{steady_s / 60:.0f} min at the load, {burst_s / 60:.0f} min at {BURST_TIMES} times of it",
    )
    _say(f"kept: {PLOT.relative_to(ROOT)}, {SAMPLES.relative_to(ROOT)}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="at the load")
    parser.add_argument("--burst-minutes", type=float, default=5, help=f"at {BURST_TIMES} times of it")
    parser.add_argument("--prices-per-s", type=int, default=1, help=f"how often {MARKETS} prices are said")
    told = parser.parse_args()
    ensure_kustomize()
    wrong = asyncio.run(
        main(
            fresh_directory("soak"),
            steady_s=told.minutes * 60,
            burst_s=told.burst_minutes * 60,
            prices_per_s=told.prices_per_s,
        )
    )
    for fault in wrong:
        _say(f"not as promised: {fault}")
    sys.exit(1 if wrong else 0)
