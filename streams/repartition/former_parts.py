"""Who still writes to the topics before, so that it is known when nothing more will be written there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.heartbeats import HistoryBeat, WorkerBeat
from streams.replicas.heartbeat_reader import HeartbeatReader, Heartbeats

if TYPE_CHECKING:
    from streams.process.clock import Clock
    from streams.settings import Settings


async def parts_that_beat(settings: Settings, former_prefix: str, clock: Clock) -> list[str]:
    """The ingests and executors of funding of the deployment before that have beaten a moment ago.

    Args:
        settings: Of the deployment that goes on; they say for how long a part may be silent.
        former_prefix: The prefix of the topics before.
        clock: Tells the instant.

    Raises:
        KafkaError: The broker cannot be reached.
        TopicMissing: There are no heartbeats under the prefix.
    """
    before = settings.model_copy(update={"topics": settings.topics.model_copy(update={"prefix": former_prefix})})
    heartbeats = Heartbeats()
    reader = HeartbeatReader(before, heartbeats, clock)
    await reader.start()
    try:
        await reader.wait_ready()
    finally:
        await reader.stop()
    least_ms = clock.now_ms() - round(settings.api.freshness.process_s * 1_000)
    return sorted(
        name
        for name, heard in heartbeats.newest.items()
        if heard.beat.at_ms > least_ms and not isinstance(heard.beat, WorkerBeat | HistoryBeat)
    )
