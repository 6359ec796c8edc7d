"""What was kept of a receiver's progress, whatever else stands in its topic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from aiokafka import TopicPartition

from streams.process.clock import SystemClock
from streams.settings import Settings
from streams.webhooks.progress import KeptProgress
from tests.support.fetched import Fetched

SETTINGS = Settings(kafka="nowhere:1", data_dir=Path("unused"))
PLACE = TopicPartition("webhook-progress", 0)


def test_a_record_that_cannot_be_read_takes_nothing_back_and_ends_nothing() -> None:
    progress = KeptProgress(SETTINGS, "pager", cast("Any", None), SystemClock())
    prefix = f"pager:{SETTINGS.epoch}".encode()
    bad = (b"", b"nonsense", b"{}", b"[]", b'{"taken": null}', b'{"taken": "7"}', b'{"taken": -1}', b"\xff")
    progress._take(
        {
            PLACE: [
                Fetched(prefix + b":main:0xa", json.dumps({"taken": 3}).encode()),
                *(Fetched(prefix + b":main:0xa", value) for value in bad),
                Fetched(b"\xff", b"nonsense"),
                Fetched(prefix + b":\xff", b"nonsense"),
                Fetched(prefix + b":main:0xb", json.dumps({"taken": 5}).encode()),
                Fetched(prefix, b"{}"),
            ]
        }
    )

    assert (3, 5, True) == (progress.of(b"main:0xa"), progress.of(b"main:0xb"), progress.has_begun)
