"""How old what is shown may be, on clocks that the tests set."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.freshness import (
    AS_IT_SAYS,
    SETTLE_MS,
    Age,
    Aging,
    Bounds,
    State,
    Steady,
    aged,
    ages_of,
    aging_of,
    chain_known_ms,
    dated,
    part_of,
)
from models.heartbeats import ChainBeat, FunderBeat, HistoryBeat, PricesBeat, WorkerBeat
from tests.support.feed import valuation_body

if TYPE_CHECKING:
    from models.heartbeats import Beat

NOW_MS = 1_745_970_800_000
BOUNDS = Bounds(broker_ms=6_000, process_ms=6_000, outside_ms=15_000, head_ms=120_000, row_ms=120_000)


def _over(beat: Beat, heard_ms: int = NOW_MS) -> list[str]:
    return [age.since for age in ages_of(beat, heard_ms, NOW_MS, BOUNDS) if age.is_over]


def _chain(at_ms: int = NOW_MS, in_step_ms: int | None = None, head_time_s: int = NOW_MS // 1_000) -> ChainBeat:
    return ChainBeat("host:1", at_ms, at_ms if in_step_ms is None else in_step_ms, 7, head_time_s)


@pytest.mark.parametrize("ahead_ms", [0, 1, 3_600_000])
def test_a_writer_whose_clock_is_ahead_does_not_hide_how_long_it_has_heard_nothing(ahead_ms: int) -> None:
    at_ms, heard_ms = NOW_MS + ahead_ms, NOW_MS + ahead_ms - 15_001

    assert ["the last time in step with its node"] == _over(_chain(at_ms=at_ms, in_step_ms=heard_ms))
    assert ["the newest price"] == _over(PricesBeat("host:1", at_ms, heard_ms))
    assert NOW_MS - 15_001 == chain_known_ms(_chain(at_ms=at_ms, in_step_ms=heard_ms, head_time_s=1), NOW_MS)


def test_what_a_writer_says_to_have_heard_after_its_heartbeat_is_as_good_as_never() -> None:
    assert ["the last time in step with its node"] == _over(_chain(in_step_ms=NOW_MS + 3_600_000))
    assert ["the newest price"] == _over(PricesBeat("host:1", NOW_MS, NOW_MS + 3_600_000))


@pytest.mark.parametrize(
    ("beat", "over"),
    [
        (_chain(), []),
        (_chain(at_ms=NOW_MS - 6_000), []),
        (_chain(at_ms=NOW_MS - 6_001), ["its last word"]),
        (_chain(in_step_ms=NOW_MS - 15_001), ["the last time in step with its node"]),
        (_chain(in_step_ms=0), ["the last time in step with its node"]),
        (_chain(head_time_s=NOW_MS // 1_000 - 121), ["the newest block"]),
        (PricesBeat("host:1", NOW_MS, NOW_MS - 15_000), []),
        (PricesBeat("host:1", NOW_MS, NOW_MS - 15_001), ["the newest price"]),
        (WorkerBeat("host:1", NOW_MS, NOW_MS, 10_000, 3_000), []),
        (WorkerBeat("host:1", NOW_MS, NOW_MS, 10_001, 3_000), ["the row that waits longest"]),
        (WorkerBeat("host:1", NOW_MS, NOW_MS, 100_000, 60_000), []),
        (FunderBeat("host:1", NOW_MS - 6_001), ["its last word"]),
        (HistoryBeat("host:1", NOW_MS, NOW_MS - 60_000), []),
        (HistoryBeat("host:1", NOW_MS, NOW_MS - 60_001), ["the last time it had read all that was shown"]),
        (HistoryBeat("host:1", NOW_MS, 0), ["the last time it had read all that was shown"]),
    ],
)
def test_a_part_is_over_its_bound_by_its_word_or_by_what_it_says(beat: Beat, over: list[str]) -> None:
    assert over == _over(beat)


def test_a_writer_whose_clock_is_ahead_is_no_fresher_than_when_it_was_heard() -> None:
    assert ["its last word"] == _over(FunderBeat("host:1", NOW_MS + 60_000), heard_ms=NOW_MS - 6_001)


def test_a_word_that_comes_late_is_as_old_as_its_writer_says() -> None:
    assert ["its last word"] == _over(FunderBeat("host:1", NOW_MS - 6_001), heard_ms=NOW_MS)


def test_what_was_never_heard_of_is_unknown_and_not_stale() -> None:
    part = part_of("worker:1", (), Steady(), NOW_MS)

    assert (State.UNKNOWN, "worker:1 was never heard of") == (part.state, part.reason)


@pytest.mark.parametrize(
    ("beat", "since"),
    [
        (PricesBeat("host:1", NOW_MS, 0), "the newest price"),
        (PricesBeat("host:1", NOW_MS, NOW_MS + 1), "the newest price"),
        (_chain(in_step_ms=0), "the last time in step with its node"),
        (_chain(head_time_s=0), "the newest block"),
        (HistoryBeat("host:1", NOW_MS, 0), "the last time it had read all that was shown"),
    ],
)
def test_what_has_not_come_yet_is_stale_and_has_no_age_since_1970(beat: Beat, since: str) -> None:
    ages = ages_of(beat, NOW_MS, NOW_MS, BOUNDS)
    part = part_of("part:x", ages, Steady(), NOW_MS)

    assert (State.STALE, f"part:x: {since} is not known yet") == (part.state, part.reason)
    assert part.age_ms == part.bound_ms + 1


def test_a_part_names_the_age_that_is_furthest_beyond_its_bound() -> None:
    ages = Age("its last word", 6_500, 6_000), Age("the newest price", 90_000, 15_000)
    part = part_of("prices:demo", ages, Steady(), NOW_MS)

    assert "prices:demo: the newest price is 90000 ms old, expected at most 15000 ms" == part.reason
    assert ("prices", State.STALE) == (part.kind, part.state)


def test_a_part_that_is_back_says_that_it_is_still_watched() -> None:
    steady = Steady()
    part_of("broker", (Age("the newest answer", 9_000, 6_000),), steady, NOW_MS)
    part = part_of("broker", (Age("the newest answer", 10, 6_000),), steady, NOW_MS + 100)

    assert (State.STALE, "broker: the newest answer is recent again, and is watched for 5000 ms") == (
        part.state,
        part.reason,
    )
    assert State.FRESH is part_of("broker", (Age("", 10, 6_000),), steady, NOW_MS + SETTLE_MS).state


def test_what_comes_and_goes_for_eleven_seconds_makes_one_transition_each_way() -> None:
    steady, said = Steady(), []
    for at_ms in range(0, 30_000, 100):
        seen_stale = 2_000 < at_ms < 13_000 and at_ms // 1_000 % 2 == 0
        said.append((at_ms, steady.is_stale(seen_stale=seen_stale, now_ms=at_ms)))
    turns = [(next(group)[0], is_stale) for is_stale, group in groupby(said, key=lambda one: one[1])]

    assert [(0, False), (2_100, True), (12_900 + SETTLE_MS, False)] == turns


def test_a_clock_that_is_set_back_does_not_hold_what_was_stale() -> None:
    steady = Steady()
    steady.is_stale(seen_stale=True, now_ms=NOW_MS)

    assert not steady.is_stale(seen_stale=False, now_ms=NOW_MS - 3_600_000)


@given(st.lists(st.tuples(st.integers(1, 4_000), st.booleans()), max_size=60))
def test_stale_is_said_at_once_and_fresh_only_after_it_was_so_long_enough(seen: list[tuple[int, bool]]) -> None:
    steady, now_ms, last_stale_ms = Steady(), 0, None
    for passed_ms, seen_stale in seen:
        now_ms += passed_ms
        last_stale_ms = now_ms if seen_stale else last_stale_ms
        expected = last_stale_ms is not None and now_ms - last_stale_ms < SETTLE_MS
        assert expected == steady.is_stale(seen_stale=seen_stale, now_ms=now_ms)


def _aging(*causes: str, stale_symbols: frozenset[int] = frozenset(), now_ms: int = NOW_MS) -> Aging:
    return aging_of(causes, valuation_body(), stale_symbols, now_ms=now_ms, row_ms=120_000)


def test_a_row_is_as_fresh_as_it_says_while_all_it_depends_on_is() -> None:
    body = valuation_body()

    assert AS_IT_SAYS == _aging(stale_symbols=frozenset({2}))
    assert body is aged(body, AS_IT_SAYS)


def test_positions_are_stale_whose_marks_are_and_all_are_where_the_row_is() -> None:
    assert Aging(("prices",), (1,)) == _aging(stale_symbols=frozenset({1, 2}))
    assert Aging(("row",)) == _aging(now_ms=NOW_MS + 120_000)
    assert Aging(("chain", "worker")) == _aging("worker", "chain")


@pytest.mark.parametrize(
    ("aging", "stale", "because"),
    [
        (Aging(("prices",), (1,)), [True, False, False], ["prices"]),
        (Aging(("worker",)), [True, True, False], ["worker"]),
        (Aging(("broker", "prices"), (2,)), [True, True, False], ["broker", "prices"]),
    ],
)
def test_an_aged_body_says_why_and_counts_again(aging: Aging, stale: list[bool], because: list[str]) -> None:
    one: dict[str, Any] = valuation_body()["positions"][0]
    body = valuation_body(positions=[one, {**one, "symbol": 2}, {**one, "symbol": 3, "mark": None}])
    said = aged(body, aging)

    assert (stale, because) == ([position["stale"] for position in said["positions"]], said["stale_because"])
    assert sum(stale) == said["stale"]
    assert not any(position["stale"] for position in body["positions"])


def test_a_row_that_says_itself_that_its_marks_are_stale_says_why() -> None:
    one: dict[str, Any] = {**valuation_body()["positions"][0], "stale": True}

    assert ["prices"] == aged(valuation_body(positions=[one], stale=1), AS_IT_SAYS)["stale_because"]


def test_an_account_without_positions_says_that_its_balances_are_old() -> None:
    said = aged(valuation_body(positions=[]), Aging(("chain",)))

    assert (0, ["chain"]) == (said["stale"], said["stale_because"])


def test_nothing_is_dated_later_than_it_is_known() -> None:
    last = {"as_of_ms": NOW_MS - 5, "upnl": "1"}
    body = valuation_body(as_of_ms=NOW_MS, last_complete=last)

    assert (NOW_MS - 9, NOW_MS - 9) == (
        (said := dated(body, NOW_MS - 9))["as_of_ms"],
        said["last_complete"]["as_of_ms"],
    )
    assert (NOW_MS - 4, NOW_MS - 5) == (
        (said := dated(body, NOW_MS - 4))["as_of_ms"],
        said["last_complete"]["as_of_ms"],
    )
    assert body is dated(body, None)


def test_a_chain_is_known_as_of_when_it_was_in_step_or_else_of_its_newest_block() -> None:
    assert NOW_MS - 50 == chain_known_ms(_chain(in_step_ms=NOW_MS - 50, head_time_s=1_000), NOW_MS)
    assert 1_000_000 == chain_known_ms(_chain(in_step_ms=0, head_time_s=1_000), NOW_MS)
    assert NOW_MS - 99 == chain_known_ms(_chain(), NOW_MS - 99)


def test_a_mark_by_which_amounts_become_money_makes_all_of_its_account_old() -> None:
    body = {**valuation_body(), "stale": 1, "conversions": {"tUSTUSD": {}}}
    assert not any(position["stale"] for position in body["positions"])
    aging = aging_of((), body, {"tUSTUSD", "tOTHER"}, now_ms=body["as_of_ms"], row_ms=1_000)
    assert Aging(("prices",), ("tUSTUSD",)) == aging
    old = aged(body, aging)
    assert all(position["stale"] for position in old["positions"])
    # A wallet that was counted stays counted.
    assert 1 + len(body["positions"]) == old["stale"]
    assert ["prices"] == old["stale_because"]


def test_markets_of_ids_of_both_kinds_have_an_order() -> None:
    body = {**valuation_body(), "conversions": {"BTC": {}}}
    (symbol, *_) = (position["symbol"] for position in body["positions"])
    aging = aging_of((), body, {"BTC", symbol}, now_ms=body["as_of_ms"], row_ms=1_000)
    assert (symbol, "BTC") == aging.symbols


def test_an_account_without_positions_is_as_old_as_its_conversions() -> None:
    body = {**valuation_body(), "positions": [], "stale": 0}
    late = {"now_ms": body["as_of_ms"] + 1_001, "row_ms": 1_000}
    assert AS_IT_SAYS == aging_of((), body, set(), **late)
    assert ("row",) == aging_of((), {**body, "conversions": {"tUSTUSD": {}}}, set(), **late).because
