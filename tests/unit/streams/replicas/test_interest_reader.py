from __future__ import annotations

import logging
from typing import cast

import pytest
from aiokafka import TopicPartition
from prometheus_client import REGISTRY

from models import interest
from models.errors import BadRecord
from models.interest import INTEREST_EVERY_S, INTEREST_TTL_MS, Watch, Watches, decode_watch, encode_watch
from streams.replicas.interest_reader import Interest
from streams.settings import Settings
from tests.support.clocks import WallClock
from tests.support.fetched import Fetched

KEY, OTHER = b"main:0xaa", b"main:0xbb"
KEYLESS = Fetched(cast("bytes", None), None)
NOW_MS = 1_745_970_800_000
TP = TopicPartition("interest", 0)


def until(expires_ms: int, replica: str = "r1") -> Watch:
    return Watch(replica, expires_ms)


def test_a_watch_outlives_the_loss_of_two_repetitions() -> None:
    assert (15_000, 5.0) == (INTEREST_TTL_MS, INTEREST_EVERY_S)


def test_a_watch_is_json_with_its_kind() -> None:
    value = encode_watch(until(NOW_MS))

    assert b'{"kind":"watch","replica":"r1","expires_ms":1745970800000}' == value
    assert until(NOW_MS) == decode_watch(KEY, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, encode_watch(until(1))),
        (b"", encode_watch(until(1))),
        (b"x" * 257, encode_watch(until(1))),
        (KEY, None),
        (KEY, b""),
        (KEY, b"{}"),
        (KEY, b"\xff"),
        (KEY, b'{"kind":"tick","replica":"r1","expires_ms":1}'),
        (KEY, b'{"kind":"watch","replica":"r1","expires_ms":1.5}'),
        (KEY, b'{"kind":"watch","replica":7,"expires_ms":1}'),
        (KEY, encode_watch(until(1, ""))),
        (KEY, encode_watch(until(1, "r" * 65))),
        (KEY, encode_watch(until(-1))),
        (KEY, encode_watch(until(2**63))),
    ],
)
def test_what_is_no_watch_is_a_bad_record(key: bytes | None, value: bytes | None) -> None:
    with pytest.raises(BadRecord, match="expected"):
        decode_watch(key, value)


def test_an_account_is_watched_until_every_replica_has_taken_it_back() -> None:
    watches = Watches()
    watches.apply(KEY, until(NOW_MS + 9_000, "r1"), NOW_MS)
    watches.apply(KEY, until(NOW_MS + 9_000, "r2"), NOW_MS)
    assert ({KEY}, set()) == watches.take_changes()

    watches.apply(KEY, until(0, "r1"), NOW_MS)
    assert (set(), set()) == watches.take_changes()
    assert {KEY: 1} == watches.replicas

    watches.apply(KEY, until(0, "r2"), NOW_MS)
    watches.apply(KEY, until(0, "r2"), NOW_MS)
    assert (set(), {KEY}) == watches.take_changes()
    assert {} == watches.replicas


def test_a_watch_that_is_not_repeated_expires_and_one_that_is_does_not() -> None:
    watches = Watches()
    for key in (KEY, OTHER):
        watches.apply(key, until(NOW_MS + 15_000), NOW_MS)
    watches.apply(KEY, until(NOW_MS + 20_000), NOW_MS + 5_000)
    watches.take_changes()

    watches.expire(NOW_MS + 14_999)
    assert (set(), set()) == watches.take_changes()
    watches.expire(NOW_MS + 15_000)
    assert (set(), {OTHER}) == watches.take_changes()
    watches.expire(NOW_MS + 20_000)
    assert (set(), {KEY}) == watches.take_changes()


def test_a_watch_that_had_expired_when_it_came_has_no_effect() -> None:
    watches = Watches()
    watches.apply(KEY, until(NOW_MS), NOW_MS)

    assert (set(), set()) == watches.take_changes()
    assert {} == watches.replicas


def test_a_fast_clock_does_not_hold_an_account_for_longer() -> None:
    watches = Watches()
    watches.apply(KEY, until(NOW_MS + 10**9), NOW_MS)
    watches.apply(OTHER, until(NOW_MS + 15_000), NOW_MS)

    watches.expire(NOW_MS + INTEREST_TTL_MS)
    assert {} == watches.replicas


def test_what_begins_and_ends_between_two_looks_is_no_change() -> None:
    watches = Watches()
    watches.apply(KEY, until(NOW_MS + 9_000), NOW_MS)
    watches.apply(KEY, until(0), NOW_MS)
    assert (set(), set()) == watches.take_changes()

    watches.apply(KEY, until(NOW_MS + 9_000), NOW_MS)
    watches.take_changes()
    watches.apply(KEY, until(0), NOW_MS)
    watches.apply(KEY, until(NOW_MS + 9_000), NOW_MS)
    assert (set(), set()) == watches.take_changes()
    assert {KEY: 1} == watches.replicas


def test_watches_beyond_the_limit_are_dropped_and_those_within_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interest, "WATCHES_MAX", 2)
    watches = Watches()
    assert watches.apply(KEY, until(NOW_MS + 9_000, "r1"), NOW_MS)
    assert watches.apply(KEY, until(NOW_MS + 9_000, "r2"), NOW_MS)
    assert not watches.apply(OTHER, until(NOW_MS + 9_000, "r1"), NOW_MS)
    assert watches.apply(OTHER, until(0, "r1"), NOW_MS)
    assert watches.apply(KEY, until(NOW_MS + 10_000, "r1"), NOW_MS)
    assert {KEY: 2} == watches.replicas

    assert watches.apply(KEY, until(0, "r2"), NOW_MS)
    assert watches.apply(OTHER, until(NOW_MS + 9_000, "r1"), NOW_MS)
    assert {KEY: 1, OTHER: 1} == watches.replicas


class Reader:
    """The worker's side on a clock of the test's, handed records without Kafka."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.told: list[tuple[str, set[bytes]]] = []
        self.interest = Interest(
            Settings(kafka="127.0.0.1:1"),
            WallClock(lambda: self.now_ms),
            lambda keys: self.told.append(("watched", set(keys))),
            lambda keys: self.told.append(("unwatched", set(keys))),
        )

    def take(self, *records: Fetched) -> None:
        self.interest._take({TP: list(records)} if records else {})


def refused(cause: str) -> float:
    return REGISTRY.get_sample_value("tidemark_interest_refused_records_total", {"cause": cause}) or 0.0


async def test_the_worker_is_told_what_begins_and_what_ceases_to_be_watched() -> None:
    reader = Reader()
    value = encode_watch(until(NOW_MS + 15_000))
    reader.take(Fetched(KEY, value), Fetched(OTHER, value))
    reader.take(Fetched(KEY, value))
    assert {KEY, OTHER} == set(reader.interest.watched())
    assert 2 == REGISTRY.get_sample_value("tidemark_interest_accounts")

    reader.take(Fetched(OTHER, encode_watch(until(0))))
    reader.now_ms += 15_000
    reader.take()

    assert [("watched", {KEY, OTHER}), ("unwatched", {OTHER}), ("unwatched", {KEY})] == reader.told
    assert 0 == len(reader.interest.watched())
    assert 0 == REGISTRY.get_sample_value("tidemark_interest_accounts")


async def test_a_bad_record_is_counted_and_skipped_and_said_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    reader = Reader()
    before = refused("unreadable")
    with caplog.at_level(logging.WARNING, "streams.replicas.interest_reader"):
        reader.take(
            Fetched(KEY, b"?"),
            KEYLESS,
            Fetched(OTHER, encode_watch(until(NOW_MS + 15_000))),
        )
        reader.now_ms += 59_999
        reader.take(Fetched(KEY, b"?"))
        assert 1 == len(caplog.records)
        reader.now_ms += 1
        reader.take(Fetched(KEY, b"?"))

    assert 2 == len(caplog.records)
    assert 4 == refused("unreadable") - before
    assert ("watched", {OTHER}) == reader.told[0]


async def test_a_watch_without_room_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interest, "WATCHES_MAX", 1)
    reader = Reader()
    before = refused("no_room")
    value = encode_watch(until(NOW_MS + 15_000))
    reader.take(Fetched(KEY, value), Fetched(OTHER, value))

    assert [("watched", {KEY})] == reader.told
    assert 1 == refused("no_room") - before
