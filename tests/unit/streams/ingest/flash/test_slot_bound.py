"""Which slots are believed of a chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streams.ingest.flash.slot_bound import SlotAhead, SlotBound
from tests.support.clocks import WallClock

if TYPE_CHECKING:
    from models.flash.chain_accounts import Layer

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000


class Bounded:
    """A bound, and the clock that it goes by."""

    def __init__(self, layer: Layer = "rollup") -> None:
        self.now_ms = NOW_MS
        self.bound = SlotBound(WallClock(lambda: self.now_ms), layer)

    def believes(self, slot: int) -> bool:
        try:
            self.bound.take(slot)
        except SlotAhead:
            return False
        return True


def test_a_chain_goes_on_as_fast_as_chains_do_and_may_be_silent_for_any_time() -> None:
    bounded, slot = Bounded(), 400_000_000
    bounded.bound.begin([slot])
    for pause_ms in (10, 400, 10, HOUR_MS, 400, 1_000 * HOUR_MS, 10):
        bounded.now_ms += pause_ms
        slot += pause_ms // 10
        assert bounded.believes(slot)


def test_one_lie_is_refused_whatever_came_before_and_changes_nothing() -> None:
    bounded = Bounded()
    assert not bounded.believes(400_000_000)
    bounded.bound.begin([400_000_000])
    assert not bounded.believes(2**63 - 1)
    assert not bounded.believes(500_000_000)
    assert bounded.believes(400_000_001)


def test_who_lies_again_and_again_gains_no_more_than_the_time_permits() -> None:
    bounded, slot = Bounded(), 1_000
    bounded.bound.begin([slot])
    for _ in range(10_000):
        slot += 1_500 if bounded.believes(slot + 1_500) else 0
    assert slot == 2_500


def test_older_slots_and_a_clock_that_is_put_back_keep_no_true_slot_out() -> None:
    bounded = Bounded()
    bounded.bound.restore(1_000_000, NOW_MS - HOUR_MS)
    assert bounded.believes(1_000_000 + HOUR_MS // 100)
    bounded.now_ms -= HOUR_MS
    slot = 1_000_000 + HOUR_MS // 100
    for _ in range(100):
        assert bounded.believes(slot - 100_000)
        bounded.now_ms += 400
        slot += 1
        assert bounded.believes(slot)


def test_the_newest_of_the_slots_that_are_restored_is_the_one_that_counts() -> None:
    bounded = Bounded()
    for slot, before_ms in ((5_000, HOUR_MS), (9_000, 0), (7_000, 2 * HOUR_MS)):
        bounded.bound.restore(slot, NOW_MS - before_ms)
    with pytest.raises(SlotAhead, match="since 9000 is the newest known, found 10501"):
        bounded.bound.take(10_501)
    assert bounded.believes(10_500)


@pytest.mark.parametrize(
    ("said", "begun"),
    [
        ([7], 7),
        ([400_000_000, 9_000_000_000], 400_000_000),
        ([9_000_000_000, 400_000_000], 400_000_000),
        ([400_000_002, 9_000_000_000, 400_000_000], 400_000_002),
        ([400_000_002, 0, 400_000_000], 400_000_000),
    ],
)
def test_a_chain_begins_at_the_middle_of_what_its_endpoints_say(said: list[int], begun: int) -> None:
    bounded = Bounded()
    bounded.bound.begin(said)
    assert bounded.believes(begun + 1_500)
    assert not bounded.believes(begun + 1_501)


def test_the_base_chain_is_believed_a_minute_ahead_and_twice_its_pace() -> None:
    bounded = Bounded("base")
    bounded.bound.begin([400_000_000])
    assert not bounded.believes(400_000_151)
    assert bounded.believes(400_000_150)
    # Who goes on from the lie is refused as long as Solana takes to come there.
    assert not bounded.believes(400_000_301)
    bounded.now_ms += 60_000
    assert bounded.believes(400_000_150 + 150)
    assert not bounded.believes(400_000_150 + 150 + 151)


@pytest.mark.parametrize(("layer", "per_s"), [("base", 5), ("rollup", 200)])
def test_no_slot_is_possible_beyond_what_a_chain_makes_since_solana_began(layer: Layer, per_s: int) -> None:
    bounded = Bounded(layer)
    highest = (NOW_MS - 1_584_316_800_000) // 1_000 * per_s
    assert bounded.bound.expect_possible(highest) == highest
    with pytest.raises(SlotAhead, match=f"of the {layer} chain of at most {highest}, found {highest + 1}"):
        bounded.bound.expect_possible(highest + 1)
