"""Tells Tidemark what a ledger's figures depend on: python ledger_settings.py BOOTSTRAP TOPIC < settings.json."""

import asyncio
import json
import sys

from aiokafka import AIOKafkaProducer


async def write(bootstrap: str, topic: str, settings: dict[str, object]) -> None:
    """Write each setting under its key; null takes one away."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True) as producer:
        for key, value in settings.items():
            await producer.send_and_wait(topic, None if value is None else json.dumps(value).encode(), key=key.encode())


asyncio.run(write(sys.argv[1], sys.argv[2], json.load(sys.stdin)))
