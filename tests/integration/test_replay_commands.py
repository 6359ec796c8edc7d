"""Every command that reads the log, as people and scripts start it: over real Kafka, what is data alone on stdout."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from models.codec import decode_row
from models.instants import rfc3339
from streams.kafka.topics import PRICE_TICKS
from tests.support.forked_commands import run_command
from tests.support.golden import DEPLOYMENT
from tests.support.server import environment_of
from tests.support.told_kafka import lately, told_kafka

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streams.settings import Settings
    from tests.support.told_log import Story

# As many as a small machine has processors.
_AT_ONCE = 2
NOBODY = "0x" + "1" * 40


class Said(NamedTuple):
    """What a command came to: its exit code, each line of stdout as JSON, and stderr."""

    code: int
    lines: list[Any]
    stderr: str


class World:
    """A story in Kafka, and commands that are asked about it."""

    def __init__(self, story: Story, settings: Settings, directory: Path) -> None:
        self.story = story
        self.directory = directory
        self._environment = environment_of(settings)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._runs = 0
        (last_ms, self.key), self.shown = max(
            ((when, body) for when, body in story.shown.items() if body["positions"]), key=lambda one: one[0]
        )
        self.account = self.key.decode().partition(":")[2]
        self.first, self.last = rfc3339(story.records[0].time_ms), rfc3339(last_ms)
        self.ticks = [one for one in story.records if one.topic.endswith(PRICE_TICKS)]

    async def run(self, *arguments: str) -> Said:
        """Run ``tidemark`` to its end."""
        self._runs += 1
        own = self.directory / f"run-{self._runs}"
        own.mkdir()
        async with self._turns:
            code, stdout, stderr = await run_command(arguments, self._environment, own)
        try:
            return Said(code, [json.loads(line) for line in stdout.splitlines()], stderr)
        except json.JSONDecodeError:
            pytest.fail(f"expected JSON of {arguments}, found {stdout!r:.500}; {stderr!r:.500}")

    def path(self, name: str) -> str:
        """Where a command may write."""
        return str(self.directory / name)


async def reads_records(world: World) -> None:
    said = await world.run("records", "price-ticks", "chain-blocks", "--from", world.first, "--json")
    assert (0, len(world.story.records)) == (said.code, len(said.lines)), said.stderr
    assert sorted(one["time_ms"] for one in said.lines) == [one["time_ms"] for one in said.lines]
    assert "window: " in said.stderr
    assert "records in" in said.stderr
    nothing = await world.run("records", "price-ticks", "--from", "now", "--json")
    assert (1, []) == nothing[:2]
    inverted = await world.run("records", "price-ticks", "--from", world.last, "--to", world.first, "--json")
    assert (2, []) == inverted[:2]
    assert "begins before it ends" in inverted.stderr


async def follows(world: World) -> None:
    said = await world.run("tail", "price-ticks", "--from", world.first, "--limit", "3", "--json")
    assert (0, 3) == (said.code, len(said.lines)), said.stderr
    assert {"mark"} == {one["value"]["kind"] for one in said.lines}


async def recomputes(world: World) -> None:
    given = ("asof", DEPLOYMENT, world.account, "--time", world.last, "--served", "--json")
    said = await world.run(*given)
    assert 0 == said.code, said.stderr
    (found,) = said.lines
    assert [] == found["served"]["differs"]
    assert world.shown["upnl"] == found["row"]["upnl"] == found["served"]["row"]["upnl"]
    nobody = await world.run("asof", DEPLOYMENT, NOBODY, "--time", world.last, "--json")
    assert (1, []) == nobody[:2]
    made = await world.run(
        "checkpoint", "create", DEPLOYMENT, "--time", world.last, "--out", world.path("checkpoints"), "--json"
    )
    assert (0, DEPLOYMENT) == (made.code, made.lines[0]["deployment"]), made.stderr
    assert made.lines == (await world.run("checkpoint", "list", world.path("checkpoints"), "--json")).lines
    again = await world.run(*given, "--checkpoints", world.path("checkpoints"))
    assert found == again.lines[0]
    # All that was folded before is in the checkpoint.
    assert said.stderr != again.stderr


async def explains(world: World) -> None:
    given = ("explain", DEPLOYMENT, world.account, "--from", world.first)
    said = await world.run(*given, "--to", world.last, "--json")
    assert 0 == said.code, said.stderr
    *terms, last = said.lines
    assert len(terms) == last["summary"]["terms"] > 0
    assert world.shown["upnl"] == last["summary"]["end"]["upnl"]
    assert int(world.shown["upnl"]) == sum(int(term["upnl"]) for term in terms)
    assert "window: " in said.stderr
    nobody = await world.run("explain", DEPLOYMENT, NOBODY, "--from", world.first, "--json")
    assert (1, []) == nobody[:2]
    ahead = await world.run(*given, "--to", "9000-01-01T00:00:00Z", "--json")
    assert (2, []) == ahead[:2]


async def verifies(world: World) -> None:
    said = await world.run("verify", "--json")
    assert 0 == said.code, said.stderr
    (report,) = said.lines
    assert ([], len(world.story.last)) == (report["differences"], report["same"])
    assert "records read" in said.stderr


async def supposes(world: World) -> None:
    said = await world.run("whatif", DEPLOYMENT, "--shock", "BTC=-50%", "--all", "--time", world.last, "--json")
    assert 0 == said.code, said.stderr
    *accounts, last = said.lines
    assert world.key.decode() in {one["account"] for one in accounts}
    assert "summary" in last


async def captures(world: World) -> None:
    out, since = world.path("capture"), ("--from", world.first)
    said = await world.run("capture", "chain-blocks", "price-ticks", *since, "--out", out, "--json")
    assert 0 == said.code, said.stderr
    (manifest,) = said.lines
    assert len(world.story.records) == sum(part["records"] for part in manifest["parts"])
    read = await world.run("records", "price-ticks", *since, "--log", out, "--json")
    assert (0, len(world.ticks)) == (read.code, len(read.lines)), read.stderr
    refused = await world.run("capture", "price-ticks", *since, "--out", out, "--json")
    assert (2, []) == refused[:2]


async def archives(world: World) -> None:
    url = world.path("archive")
    said = await world.run("archive", "write", url, "chain-blocks", "price-ticks", "--older-than", "0s", "--json")
    assert (0, 2) == (said.code, len(said.lines)), said.stderr
    assert len(world.story.records) == sum(one["records"] for one in said.lines)
    checked = await world.run("archive", "check", url, "--json")
    assert (0, []) == (checked.code, checked.lines[0]["findings"]), checked.stderr
    listed = await world.run("archive", "list", url, "--json")
    assert {one["topic"] for one in said.lines} == {one["topic"] for one in listed.lines}
    read = await world.run("records", "price-ticks", "--from", world.first, "--from-archive", url, "--json")
    assert (0, len(world.ticks)) == (read.code, len(read.lines)), read.stderr
    none = await world.run("archive", "check", world.path("nothing"), "--json")
    assert (2, []) == none[:2]


async def exports(world: World) -> None:
    out = world.path("prices.parquet")
    said = await world.run("export", "prices", "--from", world.first, "--out", out, "--json")
    assert 0 == said.code, said.stderr
    (manifest,) = said.lines
    assert len(world.ticks) == manifest["rows"]
    again = await world.run("export", "--manifest", f"{out}.manifest.json", "--out", f"{out}.again", "--json")
    assert (0, manifest) == (again.code, again.lines[0]), again.stderr


async def test_each_command_of_replay_prints_data_alone_and_ends_by_its_code(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    story = lately(80)
    world = World(story, await told_kafka(story, settings), tmp_path)
    assert decode_row(story.last[world.key]).body["positions"]
    async with asyncio.TaskGroup() as tasks:
        for asked in (
            reads_records, follows, recomputes, explains, verifies, supposes, captures, archives, exports,
        ):  # fmt: skip
            tasks.create_task(asked(world), name=asked.__name__)
