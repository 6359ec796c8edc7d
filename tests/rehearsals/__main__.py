"""``make rehearse``: plays every rehearsal under load, prints what was seen, and writes it into docs/rehearsals.md."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tool_cache import ensure_prometheus

from tests.rehearsals.alerts import Alerts
from tests.rehearsals.bad_days import CHEAP, DEAR
from tests.rehearsals.cluster import MARKETS, cluster
from tests.rehearsals.rehearsal import Stage, played
from tests.rehearsals.rendered import ROOT
from tests.rehearsals.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.rehearsals.rehearsal import Outcome, Rehearsal

PAGE = ROOT / "docs" / "rehearsals.md"
BEGIN, END = "<!-- figures: make rehearse -->", "<!-- end of figures -->"
PRICES_PER_S = 10
# How much later than documented this machine may be, which runs broker, clients and Prometheus beside.
_ROOM_S = 10


async def main(directory: Path, wanted: Sequence[str]) -> None:
    """Play the rehearsals whose names hold one of some words; all, if none is given."""
    chosen = [one for one in (*CHEAP, *DEAR) if not wanted or any(word in one.name for word in wanted)]
    outcomes: list[Outcome] = []
    async with cluster(directory, PRICES_PER_S) as running:
        running.start_all()
        await running.all_ready()
        watcher = Watcher(running, _ROOM_S)
        alerts = Alerts(ensure_prometheus(), running)
        alerts.start()
        try:
            await watcher.start()
            outcomes += [await _played(one, Stage(running, watcher, alerts)) for one in chosen]
        finally:
            await watcher.stop()
            alerts.stop()
    if not wanted:
        _write(outcomes)


async def _played(one: Rehearsal, stage: Stage) -> Outcome:
    outcome = await played(one, stage)
    sys.stdout.write(_row(outcome) + "\n")
    sys.stdout.flush()
    return outcome


def _row(one: Outcome) -> str:
    proof = one.proof
    said = "; ".join(one.notes) or "-"
    seen = (f"{one.took_s:.0f}", proof.records, proof.rows, proof.valuations, one.claims, said)
    return f"| {one.name} | {' | '.join(map(str, seen))} |"


def _write(outcomes: Sequence[Outcome]) -> None:
    head = "| what happens | over after s | records folded | rows the same | valuations the same | claims | seen |"
    table = [
        f"Load: {PRICES_PER_S * MARKETS} prices and one block a second.",
        "",
        head,
        "|---|---|---|---|---|---|---|",
    ]
    text = PAGE.read_text()
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    PAGE.write_text("\n".join([before, "", *table, *map(_row, outcomes), "", after]))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="tidemark-rehearsal-") as scratch:
        asyncio.run(main(Path(scratch), sys.argv[1:]))
