"""Writes records of a venue: python records_producer.py BOOTSTRAP TOPIC < FILE, a key, a space and a record a line."""

import asyncio
import sys

from aiokafka import AIOKafkaProducer


async def write(bootstrap: str, topic: str, lines: list[bytes]) -> None:
    """Write the record of each line under its key, and print where it stands."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True) as producer:
        for line in lines:
            key, _, record = line.partition(b" ")
            written = await producer.send_and_wait(topic, record, key=key)
            print(key.decode(), written.partition, written.offset)


asyncio.run(write(sys.argv[1], sys.argv[2], sys.stdin.buffer.read().splitlines()))
