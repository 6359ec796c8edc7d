"""What is said of parts that need not be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from models.findings import Verdict
from models.heartbeats import WorkerBeat, worker_key
from streams.checks.part_checks import check_parts
from streams.settings import Settings
from streams.settings.effective import UnavailableDeployment
from tests.support.api import api_settings
from tests.support.clocks import WallClock

if TYPE_CHECKING:
    from streams.process.clock import Clock
    from streams.replicas.heartbeat_reader import Heartbeats


class Silent:
    """A reader of heartbeats of which there are none."""

    def __init__(self, _settings: Settings, heard: Heartbeats, _clock: Clock) -> None:
        self.heard = heard

    async def start(self) -> None:
        pass

    async def wait_ready(self) -> None:
        pass

    async def stop(self) -> None:
        pass


class Told(Silent):
    """A reader that hears a worker which folds the deployment ``main`` alone."""

    async def wait_ready(self) -> None:
        self.heard.take(worker_key(3), WorkerBeat("host:1", 1_000, 1_000, 0, 500, folds=("main",)), 1_000)


async def test_a_deployment_without_history_is_as_it_should_be_and_told_how_to_have_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.checks.part_checks.HeartbeatReader", Silent)

    found = {one.check: one for one in await check_parts(Settings(), WallClock(lambda: 1_000), [])}

    assert Verdict.WRONG is found["parts"].verdict
    assert Verdict.FINE is found["history"].verdict
    assert "tidemark history" in found["history"].to_do


@pytest.mark.parametrize(
    ("reader", "said"),
    [(Silent, "install the package that brings it"), (Told, "these do not fold its accounts: worker:3")],
)
async def test_a_venue_that_is_not_installed_here_or_where_accounts_are_folded_is_found(
    monkeypatch: pytest.MonkeyPatch, reader: type[Silent], said: str
) -> None:
    monkeypatch.setattr("streams.checks.part_checks.HeartbeatReader", reader)
    settings = api_settings("main")
    game = UnavailableDeployment(kind="paper-gone")
    settings = settings.model_copy(update={"deployments": {**settings.deployments, "game": game}})

    found = {one.check: one for one in await check_parts(settings, WallClock(lambda: 1_000), [])}

    assert (Verdict.WRONG, Verdict.FINE) == (found["venue of game"].verdict, found["venue of main"].verdict)
    assert said in found["venue of game"].found
    assert "'paper-gone'" in found["venue of game"].found + found["venue of game"].to_do
