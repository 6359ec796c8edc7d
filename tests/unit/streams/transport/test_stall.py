from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiokafka.errors import KafkaConnectionError
from faust.types import TP

from streams.settings import Bootstrap
from streams.transport import stall
from streams.transport.stall import Stalled, StallWatch
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiokafka import TopicPartition

    Make = Callable[..., tuple[StallWatch, list[BaseException]]]

TICKS = TP("ticks", 0)


class Broker:
    """Answers where a partition ends, as long as it is reachable."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.is_reachable = True
        self.asked = 0
        self.client = self

    async def bootstrap(self) -> None:
        """Learn what there is."""

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        self.asked += 1
        if not self.is_reachable:
            raise KafkaConnectionError
        return dict.fromkeys(partitions, self.end)

    async def start(self) -> None:
        """Connect."""

    async def stop(self) -> None:
        """Disconnect."""


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[StallWatch, list[BaseException]]]:
    monkeypatch.setattr(stall, "_LOOK_EVERY_S", 0.005)
    monkeypatch.setattr(stall, "_STALLED_AFTER_S", 0.05)

    def make(broker: Broker, position: Callable[[], Mapping[TP, int] | None]) -> tuple[StallWatch, list[BaseException]]:
        monkeypatch.setattr(stall, "AIOKafkaConsumer", lambda **_: broker)
        fatal: list[BaseException] = []
        return StallWatch(Bootstrap(""), position, fatal.append), fatal

    return make


async def test_records_that_wait_and_are_not_fetched_end_the_worker(
    watch: Make,
) -> None:
    watching, fatal = watch(Broker(end=10), lambda: {TICKS: 7})
    await watching.start()
    await eventually(lambda: bool(fatal))
    await watching.stop()

    assert [Stalled] == [type(error) for error in fatal]
    assert "{'ticks[0]': 3}" in str(fatal[0])


@pytest.mark.parametrize("standing", [None, {TICKS: 10}, {}])
async def test_a_consumer_that_is_held_or_has_nothing_to_fetch_is_left_alone(
    watch: Make, standing: Mapping[TP, int] | None
) -> None:
    broker, looks = Broker(end=10), 0

    def position() -> Mapping[TP, int] | None:
        nonlocal looks
        looks += 1
        return standing

    watching, fatal = watch(broker, position)
    await watching.start()
    await eventually(lambda: looks > 30)
    await watching.stop()

    assert [] == fatal


async def test_a_consumer_that_moves_or_a_broker_that_is_gone_is_no_stall(
    watch: Make,
) -> None:
    broker, position = Broker(end=10_000), 0

    def moving() -> Mapping[TP, int]:
        nonlocal position
        position += 1
        return {TICKS: position}

    watching, fatal = watch(broker, moving)
    await watching.start()
    await eventually(lambda: broker.asked > 30)
    await watching.stop()
    broker.is_reachable = False
    unreached, fatal_too = watch(broker, lambda: {TICKS: 7})
    await unreached.start()
    await eventually(lambda: broker.asked > 60)
    await unreached.stop()

    assert [] == fatal + fatal_too
