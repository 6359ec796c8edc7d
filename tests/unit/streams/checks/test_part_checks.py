"""What is said of parts that need not be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.findings import Verdict
from streams.checks.part_checks import check_parts
from streams.settings import Settings
from tests.support.clocks import WallClock

if TYPE_CHECKING:
    import pytest


class Silent:
    """A reader of heartbeats of which there are none."""

    def __init__(self, *_: object) -> None:
        pass

    async def start(self) -> None:
        pass

    async def wait_ready(self) -> None:
        pass

    async def stop(self) -> None:
        pass


async def test_a_deployment_without_history_is_as_it_should_be_and_told_how_to_have_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.checks.part_checks.HeartbeatReader", Silent)

    found = {one.check: one for one in await check_parts(Settings(), WallClock(lambda: 1_000), [])}

    assert Verdict.WRONG is found["parts"].verdict
    assert Verdict.FINE is found["history"].verdict
    assert "tidemark history" in found["history"].to_do
