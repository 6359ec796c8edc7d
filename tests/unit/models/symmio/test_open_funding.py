"""Since when records of funding are needed by whoever charges next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.symmio.funding_records import (
    NOBODY,
    CeilingMet,
    Epoch,
    Frozen,
    Missed,
    Outcome,
    Plan,
    Refused,
    Settled,
    Transaction,
)
from models.symmio.open_funding import OpenFunding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.symmio.funding_records import Record

DAY_S = 86_400
ALICE, HEDGER, SIGNER = "0x0a", "0x0b", "0x05"


def epoch(number: int, epoch_s: int = 14_400) -> Epoch:
    return Epoch(epoch_s, 420, number * epoch_s)


def frozen(number: int, *, final: bool = False, epoch_s: int = 14_400, party_b: str = HEDGER) -> Frozen:
    of = epoch(number, epoch_s)
    return Frozen(of, of.pays_s, of.pays_s + 420, of.pays_s + 4, of.pays_s, {}, {}, 1, party_b=party_b, final=final)


def outcome(number: int) -> Outcome:
    return Outcome(epoch(number), ALICE, paid=(1,), free=(), clipped={}, culprits={}, missed={}, party_b=HEDGER)


def sent(nonce: int, closes_s: int, *, final: bool) -> Transaction:
    return Transaction(SIGNER, nonce, ALICE, (), "sent", closes_s, "0x", (), signed_s=closes_s - 100, final=final)


def refused(number: int) -> Refused:
    return Refused(epoch(number), 0, 1, HEDGER, NOBODY)


def since(*records: Record) -> int | None:
    """Since when they are needed, where each was written at its place in the list."""
    found = OpenFunding()
    for at, record in enumerate(records):
        found.add(record, at)
    return found.since_ms


def test_nothing_is_needed_where_there_is_nothing() -> None:
    assert since() is None


def test_an_epoch_is_needed_from_its_plans_on_until_it_is_final() -> None:
    plan = Plan(epoch(1), ALICE, ((1, 1),), HEDGER)
    one = plan, frozen(1), outcome(1), frozen(2), frozen(2, final=True)
    assert 0 == since(*one)
    # The newest of all is needed, so that windows after it are known to be missed.
    assert 4 == since(*one, frozen(1, final=True))


def test_an_epoch_is_over_in_whatever_order_its_records_are_read() -> None:
    assert 1 == since(frozen(1, final=True), frozen(2, final=True), outcome(1), Plan(epoch(1), ALICE, (), HEDGER))


def test_each_hedger_and_kind_has_a_newest_epoch_that_is_needed() -> None:
    other = "0x0c"
    assert 0 == since(frozen(9, final=True, party_b=other), frozen(10, final=True))
    # A day's epochs beside those of four hours, of which none has come since.
    assert 0 == since(frozen(1, final=True, epoch_s=DAY_S), frozen(11, final=True))


def test_a_kind_that_no_market_has_any_more_holds_nothing_back() -> None:
    assert 1 == since(frozen(1, final=True), frozen(1, final=True, epoch_s=DAY_S))


def test_a_kind_whose_next_window_is_still_to_come_is_needed_where_another_one_is_charged_long_before_its_epoch() -> (
    None
):
    hour_s = 3_600
    early = Epoch(8 * hour_s, 2 * hour_s, 8 * hour_s)
    charged_before = Frozen(early, 6 * hour_s, 8 * hour_s - 1, 6 * hour_s, 6 * hour_s, {}, {}, 1, party_b=HEDGER)
    assert 0 == since(frozen(6, final=True, epoch_s=hour_s), msgspec.structs.replace(charged_before, final=True))


def test_a_refusal_is_needed_until_the_epoch_is_charged_or_missed() -> None:
    assert 0 == since(refused(2), Missed(epoch(1), 0, 1, HEDGER))
    assert 1 == since(refused(2), Missed(epoch(2), 0, 1, HEDGER))
    assert 1 == since(refused(2), frozen(2))
    # It was of a kind that no market had any more when its window closed.
    assert 1 == since(Refused(epoch(1, 3_600), 3_600, 4_020, HEDGER, NOBODY), frozen(2, final=True))
    # Read from another partition it comes afterwards.
    assert 0 == since(frozen(2), refused(2))


def test_a_transaction_is_needed_until_it_is_final_and_for_a_day_of_spending() -> None:
    day = [sent(1, 1_000, final=True), sent(2, 1_000 + DAY_S, final=True)]
    assert 0 == since(*day)
    # It was signed 100 s before its window closes, and the first one counts until then.
    assert 0 == since(*day, sent(3, 1_100 + DAY_S, final=True))
    assert 1 == since(*day, sent(3, 1_101 + DAY_S, final=True))
    # Another key may sign by now.
    other = msgspec.structs.replace(sent(1, 1_101 + DAY_S, final=True), signer="0x02")
    assert 1 == since(sent(1, 1_000, final=True), other)
    assert 0 == since(sent(1, 1_000, final=False), sent(3, 10**9, final=True))


def test_a_ceiling_is_needed_while_it_is_met() -> None:
    met = CeilingMet(SIGNER, "fee", "said", 1)
    assert 0 == since(met, sent(1, 1, final=True))
    assert 1 == since(met, sent(1, 1, final=True), msgspec.structs.replace(met, until_s=2))


def test_what_is_settled_is_not_needed_itself() -> None:
    assert since(Settled(1)) is None


records = st.one_of(
    st.builds(frozen, st.integers(1, 4), final=st.booleans()),
    st.builds(outcome, st.integers(1, 4)),
    st.builds(refused, st.integers(1, 5)),
    st.builds(sent, st.integers(1, 4), st.integers(1, 4).map(lambda days: days * DAY_S), final=st.booleans()),
)


@pytest.mark.parametrize("epochs_are_final", [False, True])
@given(st.lists(records, max_size=30))
def test_who_reads_only_what_is_needed_finds_the_same_to_be_needed(
    epochs_are_final: bool,  # noqa: FBT001 - a case of the table above
    written: Sequence[Record],
) -> None:
    some = [*written, *(frozen(number, final=True) for number in range(1, 5) if epochs_are_final)]
    whole = OpenFunding()
    for at, record in enumerate(some):
        whole.add(record, at)
    since_ms = whole.since_ms
    assert since_ms is not None or not some
    again = OpenFunding()
    for at, record in enumerate(some):
        if at >= (since_ms or 0):
            again.add(record, at)
    assert since_ms == again.since_ms
