from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.alert_views import alerts_view
from models.alerts import (
    HEDGER_TRANSITIONS,
    KINDS,
    LIQUIDATABLE,
    QUIET,
    STALE,
    UNKNOWN,
    UNPRICED,
    Standing,
    alarms_of,
    hedgers_of,
    standing_of_row,
    with_transitions,
)
from models.codec import encode_row
from models.errors import BadRow
from tests.support.feed import no_account_body, unpriced_body, valuation_body

MADE = {"at_ms": 5, "venue": "symmio/1", "settings": "0a"}
KEY = b"main:0xa"
H1, H2 = f"0x{'b1' * 20}", f"0x{'b2' * 20}"
LIQUIDATABLE_BODY = valuation_body(liquidatable=True, available_balance="-3")
SUSPECT_BODY = {**no_account_body(), "status": "suspect"}


@pytest.mark.parametrize(
    ("body", "standing", "expected"),
    [
        (valuation_body(), QUIET, QUIET),
        (LIQUIDATABLE_BODY, QUIET, LIQUIDATABLE),
        (valuation_body(), LIQUIDATABLE | UNPRICED | UNKNOWN | STALE, QUIET),
        (valuation_body(stale=1), QUIET, STALE),
        (valuation_body(stale=2, liquidatable=True), QUIET, STALE | LIQUIDATABLE),
        (unpriced_body(last_complete=None), QUIET, UNPRICED),
        (SUSPECT_BODY, QUIET, UNKNOWN),
        ({**SUSPECT_BODY, "status": "unsupported"}, QUIET, UNKNOWN),
        (no_account_body(), LIQUIDATABLE | UNKNOWN, QUIET),
    ],
)
def test_alarms_are_what_a_valuation_shows(body: dict[str, Any], standing: int, expected: int) -> None:
    assert expected == alarms_of(body, standing)


def test_an_account_is_not_called_recovered_while_it_has_no_price() -> None:
    assert LIQUIDATABLE | UNPRICED == alarms_of(unpriced_body(last_complete=None), LIQUIDATABLE | STALE)


def test_of_an_account_that_is_unknown_nothing_else_is_said() -> None:
    assert LIQUIDATABLE | STALE | UNKNOWN == alarms_of(SUSPECT_BODY, LIQUIDATABLE | STALE)


def test_a_transition_says_what_the_account_was_worth_and_when() -> None:
    body = with_transitions(KEY, None, LIQUIDATABLE, LIQUIDATABLE_BODY, MADE)

    assert ["liquidatable"] == body["alarms"]
    assert [
        {
            "id": "main:0xa:liquidatable:1",
            "kind": "liquidatable",
            "as_of_ms": 1_745_970_777_999,
            "block": 118,
            "status": "valued",
            "stale": 0,
            "unpriced": 0,
            "upnl": "-12500000000000000000",
            "notional": "1000000000000000000000",
            "available_balance": "-3",
            "distance_bps": 1_075,
            "liquidating": False,
            "made_from": {
                **MADE,
                "account_order": [1, 7],
                "position": [40, 2],
                "marks": {"binance-futures:BTCUSDT": 5},
            },
        }
    ] == body["transitions"]


def test_transitions_are_newest_first_and_each_has_an_id_of_its_own() -> None:
    body = None
    for alarms in (LIQUIDATABLE | STALE, QUIET, LIQUIDATABLE):
        body = with_transitions(KEY, body, alarms, LIQUIDATABLE_BODY, MADE)

    assert body is not None
    assert [
        "main:0xa:liquidatable:5",
        "main:0xa:fresh:4",
        "main:0xa:recovered:3",
        "main:0xa:stale:2",
        "main:0xa:liquidatable:1",
    ] == [one["id"] for one in body["transitions"]]


def test_a_mark_that_comes_and_goes_does_not_push_out_when_the_account_became_liquidatable() -> None:
    body = with_transitions(KEY, None, LIQUIDATABLE, LIQUIDATABLE_BODY, MADE)
    for at in range(100):
        body = with_transitions(KEY, body, LIQUIDATABLE | (QUIET if at % 2 else STALE), LIQUIDATABLE_BODY, MADE)

    kinds = [one["kind"] for one in body["transitions"]]
    assert ["fresh", "stale"] * 4 + ["liquidatable"] == kinds
    assert 101 == body["count"]
    assert len(orjson.dumps(body)) < 16_000


@given(st.lists(st.integers(0, 15), max_size=30))
def test_the_row_says_the_alarms_that_are_on_and_kinds_of_one_alarm_take_turns(path: list[int]) -> None:
    body, before = None, QUIET
    for alarms in path:
        if alarms != before:
            body = with_transitions(KEY, body, alarms, LIQUIDATABLE_BODY, MADE)
        before = alarms

    if body is None:
        return
    assert (before, frozenset()) == standing_of_row(encode_row(3, 4, body))
    for on, off in KINDS.values():
        kinds = [one["kind"] for one in body["transitions"] if one["kind"] in (on, off)]
        assert all(kind != following for kind, following in itertools.pairwise(kinds))
        assert len(kinds) <= 8
        assert (kinds[:1] == [on]) is (on in body["alarms"])


def test_each_hedger_has_its_newest_transitions_and_its_own_since() -> None:
    body = None
    for at in range(40):
        # One flaps, the other has been liquidatable since the second valuation.
        hedgers = [H2] if at else []
        shown = valuation_body(liquidatable_hedgers=[*([H1] if at % 2 else []), *hedgers], as_of_ms=1_000 + at)
        body = with_transitions(KEY, body, QUIET, shown, {**MADE, "at_ms": 2_000 + at})

    assert body is not None
    of_hedgers = [one["hedger"] for one in body["hedger_transitions"]]
    assert [8, 1] == [of_hedgers.count(hedger) for hedger in (H1, H2)]
    assert {H1: 1_039, H2: 1_001} == body["hedgers_since_ms"]
    view = alerts_view("main:0xa", body)
    assert {H1: "2039000000", H2: "2001000000"} == {one: since["since_ns"] for one, since in view["hedgers"].items()}
    assert "2001000000" == view["alarms"]["hedger_liquidatable"]["since_ns"]
    assert {H1, H2} == {one["hedger"] for one in view["transitions"]}
    assert Standing(QUIET, frozenset({H1, H2})) == standing_of_row(encode_row(3, 4, body))


def test_hedgers_that_flap_do_not_push_out_since_when_another_is_liquidatable() -> None:
    flapping = [f"0x{at:040x}" for at in range(40)]
    body = with_transitions(KEY, None, QUIET, valuation_body(liquidatable_hedgers=[H1]), MADE)
    for at in range(20):
        hedgers = [H1] if at % 2 else [H1, *flapping]
        body = with_transitions(KEY, body, QUIET, valuation_body(liquidatable_hedgers=hedgers), MADE)

    assert HEDGER_TRANSITIONS == len(body["hedger_transitions"])
    assert "main:0xa:hedger_liquidatable:1" == body["hedger_transitions"][-1]["id"]


def test_hedgers_without_end_leave_a_row_within_a_record() -> None:
    position = valuation_body()["positions"][0]
    positions = [{**position, "mark_key": f"binance-futures:COIN{at}USDT", "mark_offset": 10**9} for at in range(200)]
    hedgers = [f"0x{at:040x}" for at in range(400)]
    body = with_transitions(KEY, None, LIQUIDATABLE | STALE | UNPRICED | UNKNOWN, LIQUIDATABLE_BODY, MADE)
    body = with_transitions(KEY, body, QUIET, valuation_body(liquidatable_hedgers=[H1], as_of_ms=7), MADE)
    for at in range(16):
        flapping = [] if at % 2 else hedgers
        shown = valuation_body(liquidatable_hedgers=[H1, *flapping], as_of_ms=1_000 + at, positions=positions)
        alarms = STALE if at % 2 else LIQUIDATABLE | UNPRICED | UNKNOWN
        body = with_transitions(KEY, body, alarms, shown, MADE)

    assert len(encode_row(3, 4, body)) < 700_000
    assert {H1: 7} == body["hedgers_since_ms"]
    newest_gone = body["hedger_transitions_gone"]
    assert body["count"] > newest_gone > body["count"] - 400 - len(KINDS)
    body = with_transitions(KEY, body, QUIET, valuation_body(liquidatable_hedgers=[*hedgers, H1]), MADE)
    assert Standing(QUIET, frozenset({H1, *hedgers})) == standing_of_row(encode_row(3, 4, body))
    assert HEDGER_TRANSITIONS == len(body["hedger_transitions"])
    assert 401 == len(alerts_view("main:0xa", body)["hedgers"])


def test_columns_that_the_version_before_reads_say_nothing_of_hedgers() -> None:
    """Its workers refuse a name of an alarm or of a transition that is none of theirs, and end."""
    body = None
    for hedgers in ([H1], [], [H2]):
        shown = valuation_body(liquidatable=True, liquidatable_hedgers=hedgers)
        body = with_transitions(KEY, body, LIQUIDATABLE, shown, MADE)

    assert body is not None
    assert (["liquidatable"], ["liquidatable"]) == (body["alarms"], [one["kind"] for one in body["transitions"]])


def test_names_of_a_later_version_are_passed_over() -> None:
    body = with_transitions(KEY, None, STALE, valuation_body(stale=1), MADE)
    later = {**body["transitions"][0], "id": "main:0xa:hungry:2", "kind": "hungry"}
    body = {**body, "alarms": ["stale", "hungry"], "count": 2, "transitions": [later, *body["transitions"]]}

    assert Standing(STALE, frozenset()) == standing_of_row(encode_row(3, 4, body))
    view = alerts_view("main:0xa", body)
    assert ({"stale"}, ["stale"]) == (view["alarms"].keys(), [one["kind"] for one in view["transitions"]])
    after = with_transitions(KEY, body, QUIET, valuation_body(), MADE)
    assert ([], ["fresh", "hungry", "stale"]) == (after["alarms"], [one["kind"] for one in after["transitions"]])


def test_what_cannot_be_seen_of_hedgers_is_as_it_was() -> None:
    known = frozenset({H1})

    assert known == hedgers_of(unpriced_body(last_complete=None), known)
    assert known == hedgers_of(SUSPECT_BODY, known)
    assert not hedgers_of(valuation_body(), known)


@pytest.mark.parametrize("row", [b"", b"\x00" * 16 + b'{"alarms":"stale"}', b"\x00" * 16 + b"{}"])
def test_what_is_no_row_of_alerts_is_refused(row: bytes) -> None:
    with pytest.raises(BadRow, match="expected a row of alerts"):
        standing_of_row(row)


def test_a_view_has_no_null_and_every_instant_twice() -> None:
    seen = {**MADE, "at_ms": 1_745_970_778_500}
    body = with_transitions(KEY, None, UNPRICED, unpriced_body(last_complete=None), seen)
    assert {
        "account": "main:0xa",
        "deployment": "main",
        "address": "0xa",
        "alarms": {"unpriced": {"since": "2025-04-29T23:52:58.500Z", "since_ns": "1745970778500000000"}},
        "transitions": [
            {
                "id": "main:0xa:unpriced:1",
                "kind": "unpriced",
                "status": "unpriced",
                "as_of": "2025-04-29T23:52:57.999Z",
                "as_of_ns": "1745970777999000000",
                "block": 118,
                "stale": 0,
                "unpriced": 1,
                "liquidating": False,
            }
        ],
    } == alerts_view("main:0xa", body)


def test_a_view_shows_money_as_exact_text() -> None:
    view = alerts_view("main:0xa", with_transitions(KEY, None, LIQUIDATABLE, LIQUIDATABLE_BODY, MADE))

    shown = view["transitions"][0]
    assert ("-12.5", "1000", "-0.000000000000000003", 1_075) == (
        shown["upnl"],
        shown["notional"],
        shown["available_balance"],
        shown["distance_bps"],
    )


def test_a_view_of_something_else_is_refused() -> None:
    with pytest.raises(BadRow, match="alerts"):
        alerts_view("main:0xa", {"alarms": ["stale"], "transitions": []})


def test_an_alarm_is_on_since_it_was_seen_and_of_rows_of_before_since_their_oldest_mark() -> None:
    shown = valuation_body(liquidatable=True, available_balance="-3", as_of_ms=1_000)
    body = with_transitions(KEY, None, LIQUIDATABLE, shown, {**MADE, "at_ms": 60_000})
    assert "60000000000" == alerts_view("main:0xa", body)["alarms"]["liquidatable"]["since_ns"]
    for transition in body["transitions"]:
        del transition["made_from"]
    assert "1000000000" == alerts_view("main:0xa", body)["alarms"]["liquidatable"]["since_ns"]


def test_of_an_account_of_which_nothing_was_ever_known_a_transition_is_as_of_when_it_was_seen() -> None:
    body = with_transitions(KEY, None, UNKNOWN, {**SUSPECT_BODY, "as_of_ms": 0}, {**MADE, "at_ms": 60_000})

    assert ["60000000000"] == [one["as_of_ns"] for one in alerts_view("main:0xa", body)["transitions"]]
