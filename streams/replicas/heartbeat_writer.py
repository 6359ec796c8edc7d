"""The one writer of heartbeats: every process that keeps something fresh says so once a second."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError
from prometheus_client import Counter

from models.heartbeats import HEARTBEAT_EVERY_S, encode_beat
from streams.kafka.producer import start_producer
from streams.kafka.topics import HEARTBEATS, BadTopic, require_topic, topic_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiokafka import AIOKafkaProducer
    from aiokafka.structs import RecordMetadata

    from models.heartbeats import Beat
    from streams.process.clock import Clock
    from streams.settings import Settings

_log = logging.getLogger(__name__)

_WRITTEN = Counter(
    "tidemark_heartbeats_total", "Heartbeats of this process, by whether the broker took them.", ("outcome",)
)
_TAKEN, _LOST = (_WRITTEN.labels(outcome) for outcome in ("written", "lost"))

# A word that is older than this is said again in any case.
_GIVEN_UP_AFTER_MS = 3_000
_CONNECT_AGAIN_S = 2.0
# A process ends within its own bound, also where the broker does not answer.
_STOP_WITHIN_S = 1.0


class HeartbeatWriter:
    """Writes what a process keeps fresh.

    A heartbeat that cannot be written ends nothing and is only counted: whoever misses it says so.

    Args:
        settings: Name the broker and the topic.
        clock: Tells when a heartbeat is made.
        beats: Called once a second with the process's name and the instant, in Unix ms; returns what to say, by key.
    """

    def __init__(self, settings: Settings, clock: Clock, beats: Callable[[str, int], Mapping[str, Beat]]) -> None:
        self._settings = settings
        self._clock = clock
        self._beats = beats
        self._topic = topic_name(settings, HEARTBEATS)
        self._process = f"{socket.gethostname()}:{os.getpid()}"
        self._has_told = False

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            try:
                producer = await self._connected()
            except (KafkaError, BadTopic, TimeoutError) as error:
                self._tell(error)
                await asyncio.sleep(_CONNECT_AGAIN_S)
                continue
            try:
                await self._beat(producer)
            finally:
                await _stopped(producer)

    async def _connected(self) -> AIOKafkaProducer:
        await require_topic(self._settings, HEARTBEATS)
        return await start_producer(self._settings.bootstrap, given_up_after_ms=_GIVEN_UP_AFTER_MS)

    async def _beat(self, producer: AIOKafkaProducer) -> None:
        while True:
            for name, beat in self._beats(self._process, self._clock.now_ms()).items():
                try:
                    sent = await producer.send(self._topic, encode_beat(beat), name.encode())
                except KafkaError as error:
                    _LOST.inc()
                    self._tell(error)
                else:
                    sent.add_done_callback(self._answered)
            await asyncio.sleep(HEARTBEAT_EVERY_S)

    def _answered(self, sent: asyncio.Future[RecordMetadata]) -> None:
        error = None if sent.cancelled() else sent.exception()
        if error is None:
            _TAKEN.inc()
            self._has_told = False
        else:
            _LOST.inc()
            self._tell(error)

    def _tell(self, error: BaseException) -> None:
        """Say once that heartbeats are lost, until one is taken again."""
        if not self._has_told:
            self._has_told = True
            _log.warning("heartbeats are lost topic=%s error=%s", self._topic, error)


async def _stopped(producer: AIOKafkaProducer) -> None:
    # In a task of its own: it swallows a cancellation, and so a time-out too (see ``waited_out``).
    stopping = asyncio.create_task(producer.stop(), name="stop heartbeats")
    done, _ = await asyncio.wait([stopping], timeout=_STOP_WITHIN_S)
    if not done:
        stopping.cancel()
        _log.info("heartbeats ended without the broker's answer within %g s", _STOP_WITHIN_S)
        return
    try:
        stopping.result()
    except KafkaError as error:
        _log.info("heartbeats ended without the broker's answer error=%r", error)
