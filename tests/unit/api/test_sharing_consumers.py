"""Which readers of a replica share a consumer: of each topic one, whoever else reads it."""

from __future__ import annotations

from typing import Any

from api.server import _share_consumers
from streams.kafka.feed import Feed
from streams.process.clock import SystemClock
from streams.settings.kafka_client import Bootstrap
from tests.support.pacing import Even


def test_two_readers_of_one_topic_as_of_two_dialects_of_one_kind_have_a_consumer_each() -> None:
    bootstrap = Bootstrap("nowhere:1")
    marks, whitelist, other, names = readers = [
        Feed(bootstrap, topic, SystemClock(), table=topic) for topic in ("marks", "whitelist", "whitelist", "names")
    ]

    _share_consumers(bootstrap, [marks], readers, Even(0.01))

    consumers: list[Any] = [reader._consumer for reader in (marks, whitelist, other, names)]
    assert consumers[1] is consumers[3]
    assert 3 == len(set(map(id, consumers)))
