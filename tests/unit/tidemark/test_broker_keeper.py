"""A broker that is gone is started again, whatever keeps it from coming back."""

from __future__ import annotations

import asyncio
import errno
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from streams.settings import Bootstrap
from tests.support.eventually import eventually
from tidemark import broker_keeper as module
from tidemark.broker import BrokerFailed, DiskFull
from tidemark.broker_keeper import BrokerKeeper
from tidemark.presence import Presence

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FULL = "expected room for the broker's data in /data, found a full disk (No space left on device)"


class FakeBroker:
    """A broker whose starts meet the given errors, one a start, and that is ready when a test says so."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.pid: int | None = None
        self.doing = ""
        self.is_up = True
        self.starts = 0

    def spawn(self) -> None:
        self.starts += 1
        if self.errors:
            raise self.errors.pop(0)
        self.pid = 1

    def is_ready(self) -> bool:
        return self.is_up

    def kill(self) -> None:
        self.pid = None


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_LOOK_EVERY_S", "_READY_POLL_S", "_AGAIN_S", "_ROOM_AGAIN_S"):
        monkeypatch.setattr(module, name, 0.001)
    monkeypatch.setattr(module, "does_answer", lambda *_: True)


@asynccontextmanager
async def kept(broker: FakeBroker, presence: Presence, said: list[str]) -> AsyncIterator[BrokerKeeper]:
    keeper = BrokerKeeper(broker, "127.0.0.1:9092", presence, said.append)  # type: ignore[arg-type]
    keeping = asyncio.create_task(keeper.keep())
    yield keeper
    keeping.cancel()
    await asyncio.wait([keeping])
    assert keeping.cancelled(), keeping


async def test_a_full_disk_is_said_once_and_the_broker_is_back_when_there_is_room() -> None:
    said: list[str] = []
    presence = Presence(is_here=True)
    broker = FakeBroker(*(DiskFull(FULL) for _ in range(3)))
    async with kept(broker, presence, said) as keeper:
        await eventually(lambda: broker.pid is not None and presence.is_here)
        assert "127.0.0.1:9092, started again" == keeper.state
    assert [f"broker: {FULL}"] == said
    assert 4 == broker.starts


@pytest.mark.parametrize(
    "error", [BrokerFailed("the broker ended before it was ready"), OSError(errno.EAGAIN, "no more processes")]
)
async def test_no_failed_start_is_the_last_one(error: Exception) -> None:
    said: list[str] = []
    presence = Presence(is_here=True)
    broker = FakeBroker(error)
    async with kept(broker, presence, said):
        await eventually(lambda: broker.pid is not None and presence.is_here)
    assert [f"broker: {error}"] == said


async def test_while_the_disk_is_full_the_state_says_so() -> None:
    presence = Presence(is_here=True)
    broker = FakeBroker(*(DiskFull(f"{FULL}\nand more") for _ in range(1_000)))
    async with kept(broker, presence, []) as keeper:
        await eventually(lambda: broker.starts > 1)
        assert f"ended, starting again: {FULL}" == keeper.state
        assert not presence.is_here


async def test_a_broker_that_recovers_its_logs_is_not_here_yet_and_the_state_shows_what_it_does() -> None:
    presence = Presence(is_here=True)
    broker = FakeBroker()
    broker.is_up = False
    async with kept(broker, presence, []) as keeper:
        await eventually(lambda: broker.pid is not None)
        broker.doing = "Recovering unflushed segment 7. 3 recovered for rows-1."
        assert f"127.0.0.1:9092, does not answer yet: {broker.doing}" == keeper.state
        assert not presence.is_here
        broker.is_up = True
        await eventually(lambda: presence.is_here)
    assert 1 == broker.starts


async def test_a_given_cluster_is_watched_and_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [False]
    monkeypatch.setattr(module, "does_answer", lambda *_: answers[0])
    presence = Presence(is_here=True)
    keeper = BrokerKeeper(None, Bootstrap("kafka-1:9092"), presence, pytest.fail)
    keeping = asyncio.create_task(keeper.keep())
    await eventually(lambda: not presence.is_here)
    assert "kafka-1:9092 (given), does not answer" == keeper.state
    answers[0] = True
    await eventually(lambda: presence.is_here)
    assert "kafka-1:9092 (given)" == keeper.state
    keeping.cancel()
