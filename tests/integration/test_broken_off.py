"""A broker that is killed while a command works: it says so, ends with 3, and leaves nothing that looks whole."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from models.prices import MarkTick
from streams.kafka.topics import PRICE_TICKS, topic_name
from streams.process.clock import SystemClock
from streams.replay import kafka_log
from tests.support.broker import new_broker
from tests.support.eventually import eventually
from tests.support.golden import golden_deployment
from tests.support.pipeline import free_port, write_ticks
from tests.support.records import create_all
from tests.support.replaying import serve_replay
from tidemark import cli as command_line
from tidemark.replay_progress import Progress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from streams.replay.bounded_log import LogRecord
    from streams.settings import Settings
    from tidemark.broker import Broker

# aiokafka leaves a connection open that it was making when the broker ended.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
# A fetch brings one of them, as a symbol stands in key and value, so that what is read is fetched bit by bit; letters
# by lot do not compress.
LONG = random.Random(1).randbytes(200_000).hex()
TICKS, KILLED_AFTER = 12, 3


class World:
    """A broker of one test, with ticks that are fetched one by one."""

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self.broker = broker
        self.settings = settings
        self.began_ms = SystemClock().now_ms()

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command in a thread: its exit code, stdout and stderr."""
        result = await asyncio.to_thread(CliRunner().invoke, command_line.cli, list(arguments))
        return result.exit_code, result.stdout, result.stderr


@pytest.fixture
async def world(
    tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    broker = new_broker(tmp_path)
    try:
        own = settings(
            kafka=await asyncio.to_thread(broker.start), topics={"partitions": 1}, deployments=golden_deployment()
        )
        await create_all(own)
        made = World(broker, own)
        await write_ticks(own, [MarkTick("v", LONG, at, at, "1", None, None, None) for at in range(1, TICKS + 1)])
        monkeypatch.setattr("tidemark.local_stack.settings_here", lambda: own)
        # A broker that is silent is asked soon.
        monkeypatch.setattr(kafka_log, "_ASK_AFTER_S", 0.5)
        monkeypatch.setattr(kafka_log, "_ANSWER_WITHIN_S", 1.0)
        yield made
    finally:
        broker.kill()


def killed_in_the_middle(monkeypatch: pytest.MonkeyPatch, broker: Broker) -> None:
    """Have the broker killed when some records were read or written."""
    take = Progress.take

    def take_and_kill(self: Progress, record: LogRecord) -> None:
        take(self, record)
        if self.records == KILLED_AFTER:
            broker.kill()

    monkeypatch.setattr(Progress, "take", take_and_kill)


async def test_an_export_leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    killed_in_the_middle(monkeypatch, world.broker)
    out = tmp_path / "exported" / "prices"
    out.parent.mkdir()

    offsets = f"{topic_name(world.settings, PRICE_TICKS)}:0:0-{TICKS}"
    code, stdout, stderr = await world.run("export", "prices", "--offsets", offsets, "--out", str(out))

    assert (3, "") == (code, stdout), stderr
    assert "expected the broker to hand out" in stderr
    assert [] == list(out.parent.iterdir())


async def test_a_restore_names_the_topic_that_is_not_whole(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    url, topic = str(tmp_path / "archive"), topic_name(world.settings, PRICE_TICKS)
    written = await world.run("archive", "write", url, "price-ticks", "--older-than", "0s")
    assert 0 == written[0], written
    other = new_broker(tmp_path / "other")
    try:
        empty = world.settings.model_copy(update={"kafka": await asyncio.to_thread(other.start)})
        monkeypatch.setattr("tidemark.local_stack.settings_here", lambda: empty)
        killed_in_the_middle(monkeypatch, other)

        code, stdout, stderr = await world.run("archive", "restore", url, topic)

        assert (3, "") == (code, stdout), stderr
        assert f"expected {topic} to be written" in stderr
        assert "delete it, and restore it again" in stderr
    finally:
        other.kill()


async def test_a_replay_that_is_served_ends_where_it_cannot_go_on(world: World) -> None:
    async with serve_replay(world.settings, world.began_ms, free_port(), "--step") as replay:
        world.broker.kill()
        await replay.says("1h")
        await eventually(lambda: replay.code is not None, 120)
    assert 3 == replay.code
    assert any("expected the broker to hand out" in line for line in replay.said), replay.said
