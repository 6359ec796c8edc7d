"""A process that says prices at a steady rate, each at the instant at which it is due: an open loop.

``python -m bench.load.tick_sender KAFKA TOPIC`` reads lines, each a ``Round``, and answers ``sent`` once all of its
ticks are acknowledged. Tick number *n* moves market *n* mod ``SYMBOLS`` to a price of its own.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import NamedTuple, Self

import uvloop
from aiokafka import AIOKafkaProducer

from bench.load.rows import numbered_tick

SYMBOLS = 500


class Round(NamedTuple):
    """Ticks to be sent at a steady rate: number *n* is due at ``began_s + (n - first) / rate``.

    Attributes:
        first: The number of the first one, a multiple of ``SYMBOLS``.
        rate: How many are due a second.
        seconds: For how long.
        began_s: When the first one is due, by the machine's monotonic clock.
    """

    first: int
    rate: int
    seconds: int
    began_s: float

    @classmethod
    def of(cls, line: bytes) -> Self:
        """Read it out of a line of numbers."""
        first, rate, seconds, began_s = line.split()
        return cls(int(first), int(rate), int(seconds), float(began_s))

    @property
    def next_first(self) -> int:
        """The first number that ticks after these may have."""
        return self.first + -(-self.rate * self.seconds // SYMBOLS) * SYMBOLS

    @property
    def line(self) -> bytes:
        """The line that says it."""
        return " ".join(map(str, self)).encode() + b"\n"


async def _send(sender: AIOKafkaProducer, topic: str, told: Round) -> None:
    for at in range(told.rate * told.seconds):
        await asyncio.sleep(max(0.0, told.began_s + at / told.rate - time.monotonic()))
        key, value = numbered_tick(told.first + at, SYMBOLS, time.time_ns() // 10**6)
        await sender.send(topic, value, key=key)
    await sender.flush()


async def _main(kafka: str, topic: str) -> None:
    sender = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
    await sender.start()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while line := await reader.readline():
            await _send(sender, topic, Round.of(line))
            print("sent", flush=True)
    finally:
        await sender.stop()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(*sys.argv[1:]))
