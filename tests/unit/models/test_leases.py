"""Leases in a log: their records, and what becomes of a claim."""

from __future__ import annotations

import pytest

from models.codec import NUMBER_MAX
from models.errors import BadRecord
from models.leases import (
    LEASE_EVERY_S,
    LEASE_TTL_MAX_MS,
    LEASE_TTL_MS,
    Claim,
    Hold,
    LeaseRecord,
    Ledger,
    Limit,
    Release,
    Verdict,
    decode_lease,
    encode_lease,
    lease_key,
)

CONNECTIONS, NONCE = Limit("connections", 2), Limit("nonce", 1, ttl_ms=60_000)
KEY = lease_key(CONNECTIONS, "desk-1")
T = 1_000_000


def claim(number: int, holder: str = "one", *, limit: Limit = CONNECTIONS, units: int = 1) -> Claim:
    return Claim(holder, number, units, limit.capacity, limit.ttl_ms)


@pytest.mark.parametrize(
    "record", [claim(1), Hold("one", ((1, 1), (NUMBER_MAX, NUMBER_MAX)), 1), Hold("one", (), 1), Release("one", 0)]
)
def test_a_record_is_read_as_it_was_written(record: LeaseRecord) -> None:
    assert record == decode_lease(KEY, encode_lease(record))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, encode_lease(claim(1))),
        (b"x" * 257, encode_lease(claim(1))),
        (KEY, None),
        (KEY, b"{}"),
        (KEY, b'{"kind":"claim"}'),
        (KEY, b"\xff"),
        (KEY, encode_lease(claim(-1))),
        (KEY, encode_lease(claim(1, ""))),
        (KEY, encode_lease(claim(1, "x" * 65))),
        (KEY, encode_lease(claim(1, units=0))),
        (KEY, encode_lease(Claim("one", 1, 1, 0, 1))),
        (KEY, encode_lease(Claim("one", 1, 1, 1, LEASE_TTL_MAX_MS + 1))),
        (KEY, encode_lease(Hold("one", ((1, 0),), 1))),
        (KEY, encode_lease(Release("one", -1))),
    ],
)
def test_what_is_no_record_of_a_lease_is_refused(key: bytes | None, value: bytes | None) -> None:
    with pytest.raises(BadRecord):
        decode_lease(key, value)


def test_a_key_is_bounded_whatever_its_owner_is_called() -> None:
    assert b"connections:desk-1" == KEY
    first, second = (lease_key(NONCE, "x" * 10_000 + end) for end in "ab")
    assert first != second
    assert claim(1) == decode_lease(first, encode_lease(claim(1)))


def test_a_lease_lasts_for_several_holds() -> None:
    assert 3 * LEASE_EVERY_S * 1_000 <= LEASE_TTL_MS < LEASE_TTL_MAX_MS


def test_claims_are_granted_in_the_order_of_the_log_until_no_room_is_left() -> None:
    ledger = Ledger(0)
    verdicts = [ledger.claim(KEY, claim(1, holder), T) for holder in ("one", "two", "three")]
    assert [Verdict.GRANTED, Verdict.GRANTED, Verdict.REFUSED] == verdicts
    ledger.release(KEY, Release("one", 1), T)
    assert Verdict.GRANTED is ledger.claim(KEY, claim(2, "three"), T)
    assert (2, 1) == (ledger.units(KEY, T), ledger.units(KEY, T, but_of="two"))


def test_a_lease_ends_by_itself_unless_it_is_held() -> None:
    ledger = Ledger(0)
    ledger.claim(KEY, claim(1), T)
    ledger.claim(KEY, claim(2), T)
    assert [] == ledger.hold(KEY, Hold("one", ((1, 1),), LEASE_TTL_MS), T + LEASE_TTL_MS - 1)
    assert 2 == ledger.units(KEY, T + LEASE_TTL_MS - 1)
    assert 1 == ledger.units(KEY, T + LEASE_TTL_MS)
    assert [2] == ledger.hold(KEY, Hold("one", ((1, 1), (2, 1)), LEASE_TTL_MS), T + LEASE_TTL_MS)


def test_a_lease_that_ended_is_not_revived_over_those_who_took_its_place() -> None:
    ledger = Ledger(0)
    ledger.claim(KEY, claim(1, "paused", units=2), T)
    later_ms = T + LEASE_TTL_MS
    assert Verdict.GRANTED is ledger.claim(KEY, claim(1, "two", units=2), later_ms)
    assert [1] == ledger.hold(KEY, Hold("paused", ((1, 2),), LEASE_TTL_MS), later_ms)
    assert Verdict.REFUSED is ledger.claim(KEY, claim(2, "paused", units=2), later_ms)
    assert 2 == ledger.units(KEY, later_ms)


def test_a_claim_that_comes_twice_counts_once() -> None:
    ledger = Ledger(0)
    assert [Verdict.GRANTED] * 3 == [ledger.claim(KEY, claim(1), T) for _ in range(3)]
    assert 1 == ledger.units(KEY, T)


def test_of_a_nonce_the_first_wins_for_as_long_as_it_lives() -> None:
    ledger, key = Ledger(0), lease_key(NONCE, "0xabc")
    assert Verdict.GRANTED is ledger.claim(key, claim(1, limit=NONCE), T)
    assert Verdict.REFUSED is ledger.claim(key, claim(1, "two", limit=NONCE), T + 59_999)
    assert Verdict.GRANTED is ledger.claim(key, claim(2, "two", limit=NONCE), T + 60_000)


def test_leases_that_are_not_held_bound_what_is_let_in_within_any_such_time() -> None:
    limit = Limit("calculations", 10, ttl_ms=1_000)
    ledger, key = Ledger(0), lease_key(limit, "desk-1")
    granted = [
        at_ms
        for number, at_ms in enumerate(range(T, T + 5_000, 37))
        if ledger.claim(key, claim(number, limit=limit, units=2), at_ms) is Verdict.GRANTED
    ]
    assert 25 == len(granted)
    for since_ms in granted:
        assert len([at_ms for at_ms in granted if since_ms <= at_ms < since_ms + 1_000]) <= 5


def test_who_begins_in_the_middle_is_not_sure_until_all_that_may_last_was_seen() -> None:
    ledger = Ledger(T)
    assert Verdict.UNSURE is ledger.claim(KEY, claim(1), T)
    assert [] == ledger.hold(KEY, Hold("two", ((7, 1),), LEASE_TTL_MAX_MS), T + 1)
    assert 2 == ledger.units(KEY, T + 1)
    complete_ms = T + LEASE_TTL_MAX_MS
    assert Verdict.GRANTED is ledger.claim(KEY, claim(2), complete_ms)
    # The lease of "two" may have been refused once, and be none: whether another fits, only others know.
    assert Verdict.UNSURE is ledger.claim(KEY, claim(3), complete_ms)
    assert Verdict.REFUSED is ledger.claim(KEY, claim(4, units=2), complete_ms)


def test_a_clock_of_a_broker_that_steps_back_revives_nothing() -> None:
    ledger = Ledger(0)
    ledger.claim(KEY, claim(1, units=2), T)
    assert Verdict.GRANTED is ledger.claim(KEY, claim(2, "two", units=2), T + LEASE_TTL_MS)
    assert [1] == ledger.hold(KEY, Hold("one", ((1, 2),), LEASE_TTL_MS), T)
    assert 2 == ledger.units(KEY, T)
