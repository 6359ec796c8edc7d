"""Writes an archive of the classes that a broker loads: ``python -m tests.support.class_archive FILE``.

Java's class data sharing takes classes from it that are parsed and checked already. Without it every broker of a run
would spend a third of its start on that.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from streams.kafka.committed import read_committed
from streams.kafka.topics import PRICE_TICKS, topic_name
from tests.support.broker import new_broker, settings_of_a_test
from tests.support.records import create_all

_END_WITHIN_S = 60.0
_GROUP = "archive"


def write_class_archive(path: Path) -> None:
    """Let a broker do what tests have it do; Java writes the archive as it ends."""
    path.unlink(missing_ok=True)
    os.environ["JDK_JAVA_OPTIONS"] = f'-XX:TieredStopAtLevel=1 "-XX:ArchiveClassesAtExit={path.absolute()}"'
    with tempfile.TemporaryDirectory() as scratch:
        broker = new_broker(Path(scratch))
        try:
            asyncio.run(_use(broker.start(), Path(scratch)))
        finally:
            broker.stop(_END_WITHIN_S)
    if not path.is_file():
        sys.exit(f"expected Java to write {path}, found no such file; tests run without it, and brokers start slowly")


async def _use(bootstrap: str, directory: Path) -> None:
    settings = settings_of_a_test(bootstrap, directory)
    await create_all(settings)
    topic = topic_name(settings, PRICE_TICKS)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id="archive")
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=_GROUP, auto_offset_reset="earliest")
    await producer.start()
    try:
        async with producer.transaction():
            await producer.send(topic, b"value")
        await _have_coordinator(bootstrap)
        await consumer.start()
        try:
            await consumer.getone()
            await consumer.commit()
        finally:
            await consumer.stop()
    finally:
        await producer.stop()


async def _have_coordinator(bootstrap: str) -> None:
    """Wait until the broker has made the topic of all groups: a consumer that asks before logs that as an error."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await read_committed(admin, _GROUP)
    finally:
        await admin.close()


if __name__ == "__main__":
    write_class_archive(Path(sys.argv[1]))
