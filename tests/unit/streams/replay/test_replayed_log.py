"""A log that is replayed: what it comes to at each instant is what stood then, however far the steps are apart."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from models.codec import decode_row
from models.engine.tables import MARKETS, MARKS, VALUATIONS
from models.ids import split_key
from streams.replay.bounded_log import BadWindow
from streams.replay.replay_clock import ReplayClock
from streams.replay.replay_controls import Go, NextRecord, Pause, StandAt, read_control
from streams.replay.replayed_log import ReplayedLog, ReplayWindow, replaying
from tests.support.golden import (
    DEPLOYMENT,
    FORKS,
    FORKS_SYMBOL,
    SYMBOL,
    forked_chain,
    forked_deployment,
    golden_chain,
    golden_deployment,
)
from tests.support.told_log import START_MS, Story, tell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from streams.replay.replayed_log import Moved


@pytest.fixture(scope="module")
def golden() -> Story:
    return tell(DEPLOYMENT, golden_deployment(), golden_chain(), SYMBOL)


@pytest.fixture(scope="module")
def forks() -> Story:
    return tell(FORKS, forked_deployment(), forked_chain(), FORKS_SYMBOL)


class Shown:
    """What somebody sees who is told what a replay comes to."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, bytes], bytes] = {}

    def take(self, moved: Moved) -> None:
        for table, rows in moved.rows.items():
            self.rows |= {(table, key): row for key, row in rows}

    def of(self, table: str) -> dict[bytes, dict[str, Any]]:
        return {key: decode_row(row).body for (of, key), row in self.rows.items() if of == table}


def figures(body: dict[str, Any]) -> dict[str, Any]:
    """Without what follows from when somebody looked: provenance, stale marks, and the complete figures before."""
    left = {name: one for name, one in body.items() if name not in {"made_from", "last_complete", "stale"}}
    left.pop("account_order")
    return {**left, "positions": [{**one, "stale": None} for one in body["positions"]]}


def end_ms(story: Story) -> int:
    return max(one.time_ms for one in story.records)


@asynccontextmanager
async def replayed(
    story: Story, since_ms: int, until_ms: int | None = None
) -> AsyncIterator[tuple[ReplayedLog, ReplayClock, Shown]]:
    clock, shown = ReplayClock(since_ms), Shown()
    window = ReplayWindow(since_ms, end_ms(story) if until_ms is None else until_ms)
    async with replaying(
        story.log(), story.settings, window, clock, told=("p-whitelist",), on_record=lambda _: None
    ) as replay:
        shown.take(await replay.begin())
        yield replay, clock, shown


@pytest.mark.parametrize("name", ["golden", "forks"])
async def test_at_each_instant_rows_are_those_that_stood_then(name: str, request: pytest.FixtureRequest) -> None:
    story: Story = request.getfixturevalue(name)
    instants = sorted({at_ms for at_ms, _ in story.shown})
    first = len(instants) // 2
    chosen = sorted(random.Random(5).sample(instants[first:], 10))
    compared = 0
    async with replayed(story, instants[first]) as (replay, clock, shown):
        for at_ms in (instants[first], *chosen):
            shown.take(await replay.advance(at_ms))
            assert at_ms == clock.now_ms()
            stood = {key: figures(body) for (of_ms, key), body in story.shown.items() if of_ms == at_ms}
            rows = shown.of(VALUATIONS)
            assert stood == {key: figures(rows[key]) for key in stood}
            compared += len(stood)
    assert compared > 10
    assert shown.of(MARKETS)
    assert shown.of(MARKS)


async def test_steps_of_one_record_come_to_the_same_as_one_step(forks: Story) -> None:
    last_ms = end_ms(forks)
    since_ms = last_ms - 60_000
    async with replayed(forks, since_ms) as (replay, _, at_once):
        at_once.take(await replay.advance(last_ms + 10_000))
        assert replay.is_over
    async with replayed(forks, since_ms) as (replay, clock, by_steps):
        steps = 0
        while not replay.is_over:
            by_steps.take(await replay.advance(replay.next_ms))
            steps += 1
        assert last_ms == clock.now_ms()

    assert steps > 5
    expected, found = at_once.of(VALUATIONS), by_steps.of(VALUATIONS)
    assert {key: figures(body) for key, body in expected.items()} == {key: figures(body) for key, body in found.items()}
    assert {FORKS} == {split_key(key)[0] for key in found}


async def test_what_the_log_has_not_is_said_and_a_window_that_ends_before_it_begins_is_refused(golden: Story) -> None:
    async with replayed(golden, START_MS + 10_000) as (replay, _, _):
        assert any("instrument-facts is not held" in doubt for doubt in replay.doubts)
    with pytest.raises(BadWindow, match="begins before it ends"):
        async with replayed(golden, START_MS + 10_000, START_MS):
            pass


def test_lines_steer_a_replay_and_one_that_is_not_known_is_refused_with_those_that_are() -> None:
    at_ms = 1_795_000_000_000
    assert NextRecord() == read_control("\n", at_ms)
    assert StandAt(at_ms + 90_000) == read_control("90s", at_ms) == read_control("+90s", at_ms)
    assert StandAt(at_ms - 60_000) == read_control("-1m", at_ms)
    assert StandAt(1_795_000_000_000) == read_control("2026-11-18T11:06:40Z", 0)
    assert (Pause(), Go(), Go(1_000)) == tuple(read_control(one, at_ms) for one in ("pause", "go", "speed 1000"))
    for line in ("speed 0", "speed 1001", "faster", "10"):
        with pytest.raises(BadWindow, match="pause, go, speed 1 to 1000"):
            read_control(line, at_ms)
