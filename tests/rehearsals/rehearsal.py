"""One rehearsal: something goes wrong, is noticed as promised, is cured as the runbook says, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp

from streams.process.http_bodies import WITHOUT_END
from tests.rehearsals.watcher import Absence
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.rehearsals.alerts import Alerts
    from tests.rehearsals.cluster import Cluster
    from tests.rehearsals.pods import Pod
    from tests.rehearsals.watcher import Watcher


@dataclass
class Stage:
    """What a rehearsal is played on, and what it has noted.

    Attributes:
        cluster: What runs.
        watcher: Who looks.
        alerts: Prometheus; None where no alerts are waited for.
        previous: A checkout of the version before; None where there is none.
        absences: When which part was gone.
        notes: Figures for the table.
        began_s: When the day began, by the clock that only goes forward, in s.
    """

    cluster: Cluster
    watcher: Watcher
    alerts: Alerts | None
    previous: Path | None = None
    absences: list[Absence] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    began_s: float = field(default_factory=time.monotonic)

    @asynccontextmanager
    async def gone(self, part: str, bound_s: float) -> AsyncIterator[None]:
        """Note that a part is gone for as long as the block lasts.

        Args:
            part: Its name in docs/freshness.md, or how that begins.
            bound_s: Its bound there, in s.
        """
        from_s = time.time()
        yield
        self.absences.append(Absence(part, from_s, time.time(), bound_s))

    async def alerted(self, alert: str, **labels: str) -> None:
        """Wait for an alert of the real rules, where Prometheus runs, and note how long after the day began it fired.

        Args:
            alert: Its name.
            labels: Those that it has to have.
        """
        if self.alerts is None:
            return
        await self.alerts.fired(alert, labels)
        self.notes.append(f"`{alert}` after {time.monotonic() - self.began_s:.0f} s")


class Rehearsal(NamedTuple):
    """A bad day: its name, and what happens in it until it is over."""

    name: str
    happens: Callable[[Stage], Awaitable[None]]


class Outcome(NamedTuple):
    """What was seen: how long it took until it was over, which claims were looked at, and notes."""

    name: str
    took_s: float
    claims: int
    notes: tuple[str, ...]


async def played(rehearsal: Rehearsal, stage: Stage) -> Outcome:
    """Play a rehearsal until it is over; that nothing was lost is for ``proven`` to say.

    Raises:
        AssertionError: Something stayed gone, or was claimed to be fresh while it was not.
    """
    stage.absences.clear()
    stage.notes.clear()
    await stage.cluster.all_ready()
    for pod in stage.cluster.pods.values():
        pod.forgive()
    stage.began_s, before = time.monotonic(), len(stage.watcher.claims)
    await rehearsal.happens(stage)
    await stage.cluster.all_ready()
    await everybody_hears(stage)
    took_s = time.monotonic() - stage.began_s
    for absence in stage.absences:
        claims = stage.watcher.false_claims(absence)
        assert not claims, (rehearsal.name, absence, claims[:5])
        unheard = stage.watcher.unheard(absence)
        assert not unheard, (rehearsal.name, absence, unheard)
    return Outcome(rehearsal.name, took_s, len(stage.watcher.claims) - before, tuple(stage.notes))


async def everybody_hears(stage: Stage) -> None:
    """Wait until every kind of client is served, and what they hear is fresh."""
    since_s = time.time()
    await eventually(lambda: stage.watcher.surfaces(since_s) >= {"readyz", "status", "native", "legacy"}, 90)

    def is_fresh() -> bool:
        last = {claim.surface: claim for claim in stage.watcher.claims if claim.asked_s >= since_s}
        return not last["status"].stale and not last["native"].stale

    await eventually(is_fresh, 90)


async def status_of(pod: Pod) -> dict[str, Any]:
    """What a worker says of itself; nothing while it does not answer."""
    said = await _asked(pod, "/status")
    return dict(json.loads(said)) if said else {}


async def metrics_of(pod: Pod) -> str:
    """What a pod is scraped for; nothing while it does not answer."""
    return await _asked(pod, "/metrics")


async def _asked(pod: Pod, path: str) -> str:
    try:
        async with (
            asyncio.timeout(5),
            aiohttp.ClientSession(timeout=WITHOUT_END) as session,
            session.get(pod.url("admin") + path) as answer,
        ):
            return await answer.text()
    except (aiohttp.ClientError, TimeoutError):
        return ""
