from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from models.position_states import EMPTY, shown
from models.symmio.position_states import (
    GAP_S,
    STATES_MAX,
    YOUNG_MS,
    due_ms,
    pushed_since,
    released,
    with_chain_states,
    with_engine_state,
    without_blocks_above,
)
from tests.support.positions import MADE, TIME_S, chain_state, engine_state

Body = Mapping[str, Any]
NOW_MS = TIME_S * 1000


def said(body: Body = EMPTY, *, fresh: bool = True, gaps: bool = True, **changes: object) -> Body:
    return with_engine_state(body, engine_state(**changes), MADE, fresh=fresh, gaps=gaps)


def done(*made: dict[str, Any], body: Body = EMPTY, fresh: bool = True, gaps: bool = True) -> Body:
    return with_chain_states(body, made, fresh=fresh, gaps=gaps, now_ms=NOW_MS)


def ids(body: Body) -> list[str]:
    return [state["id"] for state in body["states"]]


def test_what_the_engine_says_stands_and_is_pushed_once() -> None:
    body = said(id="a")

    assert ["a"] == ids(body)
    assert ["a"] == [state["id"] for state in pushed_since(body, 0)]
    assert [] == pushed_since(body, body["count"])
    assert body is said(body, id="a")


def test_a_later_version_takes_the_place_of_an_earlier_and_an_earlier_one_changes_nothing() -> None:
    body = said(said(id="a"), id="a", version=2, action_status="success")
    late = said(body, id="a", version=1, action_status="failed")

    assert [("a", 2, "success")] == [(s["id"], s["version"], s["action_status"]) for s in late["states"]]
    assert [2] == [state["seq"] for state in pushed_since(late, 1)]
    assert [] == pushed_since(late, 2)


@pytest.mark.parametrize("changes", [{"should_send": False}, {"fresh": False}])
def test_what_is_not_to_be_sent_or_no_news_is_stored_and_not_pushed(changes: dict[str, Any]) -> None:
    body = said(id="a", **changes)

    assert ["a"] == [state["id"] for state in shown(body)]
    assert [] == pushed_since(body, 0)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_temporary_quote_id_joins_the_quote_whichever_is_said_first(is_first: bool) -> None:  # noqa: FBT001
    temporary = {"id": "a", "quote_id": None, "temp_quote_id": -711}
    joined = {"id": "b", "quote_id": 7, "temp_quote_id": -711}
    first, second = (temporary, joined) if is_first else (joined, temporary)
    body = said(said(**first), **second)

    assert {("a", 7, -711), ("b", 7, -711)} == {(s["id"], s["quote_id"], s["temp_quote_id"]) for s in body["states"]}


def test_states_are_newest_first_and_no_more_than_fit() -> None:
    body: Body = EMPTY
    for at in range(STATES_MAX + 40):
        body = said(body, id=f"{at}", modify_time=TIME_S + at * 7 % 997, failure_message="\x00" * 500, quote_id=at + 1)

    times = [state["modify_time"] for state in body["states"]]
    assert sorted(times, reverse=True) == times
    assert STATES_MAX == len(times)
    assert len(json.dumps(dict(body))) < 900_000


def test_an_engine_that_says_ever_new_actions_does_not_fill_the_row() -> None:
    body: Body = EMPTY
    for at in range(200):
        action = chr(ord("A") + at % 26) * (at // 26 + 1)
        body = said(body, id="a", version=at, modify_time=TIME_S + at, last_seen_action=action)

    assert len(json.dumps(dict(body))) < 2_000


def test_a_record_that_is_too_old_for_a_full_row_changes_nothing() -> None:
    body: Body = EMPTY
    for at in range(STATES_MAX):
        body = said(body, id=f"{at}")

    assert body is said(body, id="old", modify_time=TIME_S - 1)


def test_what_the_chain_does_is_stored_once() -> None:
    body = done(chain_state((40, 0, 3)), chain_state((40, 0, 5)), gaps=False)

    assert ["main:0xt0:5", "main:0xt0:3"] == ids(body)
    assert ["main:0xt0:3", "main:0xt0:5"] == [state["id"] for state in pushed_since(body, 0)]
    assert body is done(chain_state((40, 0, 3)), body=body, gaps=False)


def test_states_of_one_log_are_all_stored() -> None:
    body = done(*(chain_state(id=f"main:0xt:3:{quote}", quote_id=quote) for quote in (1, 2, 3)))

    assert 3 == len(ids(body))


def test_old_blocks_are_stored_at_once_and_never_pushed() -> None:
    body = done(chain_state(), fresh=False)

    assert 1 == len(shown(body))
    assert [] == pushed_since(body, 0)
    assert due_ms(body) is None


def test_in_gaps_mode_a_state_waits_for_the_engine_and_stands_when_it_says_nothing() -> None:
    body = done(chain_state())
    assert [] == shown(body)
    assert [] == pushed_since(body, 0)
    assert NOW_MS + GAP_S * 1000 == due_ms(body)
    assert body is released(body, NOW_MS)

    late = released(body, NOW_MS + GAP_S * 1000)
    assert 1 == len(shown(late)) == len(pushed_since(late, body["count"]))
    assert due_ms(late) is None


def test_a_state_that_waited_while_no_worker_ran_is_not_pushed_any_more() -> None:
    body = released(done(chain_state()), NOW_MS + YOUNG_MS + 1)

    assert 1 == len(shown(body))
    assert [] == pushed_since(body, 0)


@pytest.mark.parametrize(
    ("changes", "stands"),
    [
        ({}, False),
        ({"modify_time": TIME_S - GAP_S}, False),
        ({"modify_time": TIME_S + GAP_S}, False),
        ({"last_seen_action": "SendQuoteTransaction"}, False),
        ({"quote_id": None, "temp_quote_id": -711}, True),
        ({"modify_time": TIME_S + GAP_S + 1}, True),
        ({"quote_id": 5}, True),
        ({"last_seen_action": "UnlockQuote"}, True),
    ],
)
def test_a_state_gives_way_to_what_the_engine_says_of_the_same_within_some_seconds(
    changes: dict[str, Any],
    stands: bool,  # noqa: FBT001
) -> None:
    before, after = done(chain_state(), body=said(id="a", **changes)), said(done(chain_state()), id="a", **changes)

    assert stands is ("main:0xt0:3" in ids(before)) is ("main:0xt0:3" in ids(after))


def test_a_state_gives_way_to_what_the_engine_has_said_in_an_earlier_version() -> None:
    spoken = said(said(id="a"), id="a", version=1, last_seen_action="FillLimitOrderOpen", modify_time=TIME_S + 60)

    assert ["a"] == ids(done(chain_state(), body=spoken))


def test_a_state_gives_way_when_a_temporary_quote_turns_out_to_be_its_own() -> None:
    waiting = said(done(chain_state()), id="a", quote_id=None, temp_quote_id=-711)
    assert 2 == len(ids(waiting))

    assert ["b", "a"] == ids(said(waiting, id="b", temp_quote_id=-711, last_seen_action="UnlockQuote"))


def test_where_all_logs_are_told_none_gives_way() -> None:
    assert 2 == len(ids(said(done(chain_state(), gaps=False), id="a", gaps=False)))


def test_a_block_that_leaves_the_chain_takes_its_states_along_and_no_other() -> None:
    body = said(done(chain_state(block=118), chain_state((41, 0, 0), block=119), gaps=False), id="a", gaps=False)
    undone = without_blocks_above(body, 118, (42, -1))

    assert {"a", "main:0xt0:3"} == set(ids(undone))
    assert undone is without_blocks_above(undone, 118, (42, -1))
    assert undone is done(chain_state((41, 0, 0), block=119), body=undone, gaps=False)
    assert 3 == len(ids(done(chain_state((43, 0, 0), block=119), body=undone, gaps=False)))


def test_a_rollback_that_concerns_no_state_changes_nothing() -> None:
    body = done(chain_state(block=118))

    assert body is without_blocks_above(body, 118, (42, -1))
    assert EMPTY is without_blocks_above(EMPTY, 1, (42, -1))
