"""Records of funding: read as they were written, one key for what replaces each other."""

from __future__ import annotations

import pytest

from models.errors import BadRecord
from models.symmio.funding import FundingRates
from models.symmio.funding_plan import Charge, Terms, Window
from models.symmio.funding_records import (
    CeilingMet,
    Epoch,
    Frozen,
    FrozenMarket,
    Missed,
    Outcome,
    Plan,
    Record,
    Transaction,
    cells_of,
    decode_record,
    encode_record,
    record_key,
)

EPOCH = Epoch(14_400, 420, 1_744_070_400)
MARKET = FrozenMarket(mark="110", mark_key="venue:AAA", venue_rate="-5", long="4", short="-5")
FROZEN = Frozen(
    EPOCH, 1_744_070_400, 1_744_070_820, 1_744_070_401, 1_744_070_400, {1: MARKET}, {2: "it has no mark"}, 1
)
PLAN = Plan(EPOCH, "0xa", ((1, 1), (7, 1)), "0xb1")
TRANSACTION = Transaction(
    signer="0xb",
    nonce=5,
    party_a="0xa",
    charges=(cells_of(Charge(1, 10**30, -(10**40)), EPOCH, 2),),
    state="sent",
    closes_s=1_744_070_820,
    raw="0x02",
    hashes=("0x01",),
)
OUTCOME = Outcome(EPOCH, "0xa", (1,), (2,), {1: ("1", "2")}, {3: "cursed"}, {4: "late"}, {5: "shut"}, final=True)
MISSED = Missed(EPOCH, 1_744_070_400, 1_744_070_820, "0xb1")
CEILING = CeilingMet("0xb", "day", "too dear", 1_744_070_400)


@pytest.mark.parametrize(
    ("record", "key"),
    [
        (FROZEN, b"main:epoch:14400:420:1744070400"),
        (PLAN, b"main:plan:14400:420:1744070400:0xa:0xb1"),
        (TRANSACTION, b"main:transaction:0xb:5"),
        (OUTCOME, b"main:outcome:14400:420:1744070400:0xa"),
        (MISSED, b"main:missed:14400:420:1744070400:0xb1"),
        (CEILING, b"main:ceiling:0xb:day"),
    ],
)
def test_a_record_is_read_as_it_was_written_and_has_a_key_of_its_own(record: Record, key: bytes) -> None:
    assert record == decode_record(encode_record(record))
    assert key == record_key("main", record)


def test_every_quote_of_an_outcome_is_counted_once() -> None:
    assert {"paid": 1, "free": 1, "closed": 1, "culprits": 1, "missed": 1} == OUTCOME.counts
    assert [1, 2, 3, 4, 5] == OUTCOME.quotes


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\xff", b'{"kind":"plan"}'])
def test_what_is_no_record_is_refused(value: bytes | None) -> None:
    with pytest.raises(BadRecord, match="expected a record of funding"):
        decode_record(value)


def test_frozen_terms_are_numbers_again() -> None:
    assert Terms(110, FundingRates(4, -5)) == MARKET.terms
    assert Window(14_400, 1_744_070_400, 1_744_070_400, 1_744_070_820) == FROZEN.window
