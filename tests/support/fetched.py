"""A record as a consumer hands it out, without Kafka."""

from __future__ import annotations

from typing import NamedTuple


class Fetched(NamedTuple):
    """What ``streams.kafka.record.Record`` asks for."""

    key: bytes
    value: bytes | None
    offset: int = 0
    timestamp: int = 0
