"""``python -m tidemark.demo.desk_producer DEPLOYMENT``: the simulated exchange, which says each second what happens."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from typing import TYPE_CHECKING

import msgspec

from models.ids import account_key
from models.ledger.ledger_venue import LEDGER_EVENTS, LEDGER_SETTINGS
from streams.kafka.producer import start_producer
from streams.kafka.topics import require_topic, topic_name
from streams.process.supervision import waited_out
from streams.settings import Settings, load_settings
from tidemark.demo.trading_desk import TradingDesk, settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiokafka import AIOKafkaProducer

    from models.ledger.ledger_records import LedgerRecord

_SEED = 1
_EVERY_S = 1.0


async def produce(configured: Settings, deployment: str, stopped: asyncio.Event) -> None:
    """Write what values the accounts, what they have, and then what happens, until it is stopped.

    Args:
        configured: Name the broker and the topics.
        deployment: The ledger's name.
        stopped: Says when to end.

    Raises:
        KafkaError: The broker cannot be reached.
        BadTopic: The topics are not there.
    """
    await require_topic(configured, LEDGER_EVENTS, LEDGER_SETTINGS)
    producer = await start_producer(configured.bootstrap)
    try:
        for name, value in settings():
            key = f"{deployment}:{name}".encode()
            await producer.send_and_wait(topic_name(configured, LEDGER_SETTINGS), msgspec.json.encode(value), key=key)
        desk = TradingDesk(_SEED, _now_ms())
        events = topic_name(configured, LEDGER_EVENTS)
        await _say(producer, events, deployment, desk.open(_now_ms()))
        while not stopped.is_set():
            await _say(producer, events, deployment, desk.step(_now_ms()))
            try:
                async with asyncio.timeout(_EVERY_S):
                    await stopped.wait()
            except TimeoutError:
                continue
    finally:
        await waited_out(producer.stop())


async def _say(
    producer: AIOKafkaProducer, topic: str, deployment: str, records: Iterable[tuple[str, LedgerRecord]]
) -> None:
    for account, record in records:
        await producer.send_and_wait(topic, msgspec.json.encode(record), key=account_key(deployment, account))


async def _main(deployment: str) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await produce(load_settings(), deployment, stopped)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
