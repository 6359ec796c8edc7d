"""Heartbeats as they stand on the topic."""

from __future__ import annotations

import pytest

from models.errors import BadRecord
from models.heartbeats import (
    HISTORY_KEY,
    Beat,
    ChainBeat,
    FunderBeat,
    HistoryBeat,
    PricesBeat,
    WorkerBeat,
    chain_key,
    decode_beat,
    encode_beat,
    funder_key,
    prices_key,
    worker_key,
)


@pytest.mark.parametrize(
    ("key", "beat"),
    [
        (worker_key(3), WorkerBeat("host:1", 1_000, newest_mark_ms=900, behind_ms=20, behind_max_ms=500)),
        (chain_key("main"), ChainBeat("host:1", 1_000, in_step_ms=990, head=7, head_time_s=1)),
        (prices_key("binance-futures"), PricesBeat("host:1", 1_000, heard_ms=0)),
        (funder_key("main"), FunderBeat("host:1", 1_000)),
        (HISTORY_KEY, HistoryBeat("host:1", 1_000, in_step_ms=990)),
    ],
)
def test_a_heartbeat_is_read_as_it_was_written(key: str, beat: Beat) -> None:
    assert (key, beat) == decode_beat(key.encode(), encode_beat(beat))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, encode_beat(FunderBeat("host:1", 1))),
        (b"funder:main", None),
        (b"funder:main", b"{}"),
        (b"funder:main", b"\xff"),
        (b"funder:\xff", encode_beat(FunderBeat("host:1", 1))),
        (b"worker:main", encode_beat(FunderBeat("host:1", 1))),
        (b"funder", encode_beat(FunderBeat("host:1", 1))),
        (b"funder:main", encode_beat(FunderBeat("host:1", -1))),
        (b"funder:main", encode_beat(FunderBeat("x" * 301, 1))),
        (b"worker:0", encode_beat(WorkerBeat("host:1", 1, 0, 10**30, 5))),
        (b"prices:venue", encode_beat(PricesBeat("host:1", 1, -(10**30)))),
        (b"funder:main", b'{"kind": "funder", "x": ' + b"[" * 100_000),
        (b"funder:" + b"x" * 250, encode_beat(FunderBeat("host:1", 1))),
    ],
)
def test_what_is_no_heartbeat_of_its_key_is_refused(key: bytes | None, value: bytes | None) -> None:
    with pytest.raises(BadRecord, match="expected"):
        decode_beat(key, value)
