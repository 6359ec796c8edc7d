"""Sequence numbers as clients audit them, and values as flags spell them."""

from __future__ import annotations

import json
from typing import Any

from api.dialects.bitfinex.numbered_frames import NumberedFrames
from api.dialects.bitfinex.wire_flags import DEC_S, SEQ_ALL, TIME_S, TIMESTAMP, Ms, are_flags

NOTICE, REQUEST = [1, "info", None, None, None, None, "INFO", "x"], [1, "on-req", None, None, None, None, "INFO", "x"]


TIME_END = "9999-12-31T23:59:59.999Z"


def frames(flags: int = SEQ_ALL) -> NumberedFrames:
    made = NumberedFrames(lambda: 77)
    made.flags = flags
    return made


def read(frame: bytes) -> Any:  # noqa: ANN401 - whatever JSON has
    return json.loads(frame)


def test_snapshots_have_account_number_0_and_frames_after_them_count_from_1() -> None:
    made = frames()
    assert [0, "ps", [], 1, 0] == read(made.of_account("ps", []))
    assert [0, "hb", 2] == read(made.heartbeat(0))
    made.is_synced = True
    assert [0, "wu", [1], 3, 1] == read(made.of_account("wu", [1]))
    assert [4, [5], 4] == read(made.of_channel(4, [5]))
    assert [0, "pu", [2], 5, 2] == read(made.of_account("pu", [2]))


def test_a_notification_repeats_the_account_number_and_one_of_a_request_takes_no_public_number() -> None:
    made = frames()
    made.is_synced = True
    made.of_account("wu", [1])
    assert [0, "n", NOTICE, 2, 1] == read(made.of_account("n", NOTICE))
    assert [0, "n", REQUEST, 1] == read(made.of_account("n", REQUEST))
    assert [0, "wu", [1], 3, 2] == read(made.of_account("wu", [1]))


def test_without_flags_frames_have_no_tail_and_with_a_timestamp_it_is_last() -> None:
    assert [0, "pu", [1]] == read(frames(0).of_account("pu", [1]))
    assert [0, "hb"] == read(frames(0).heartbeat(0))
    assert [0, "pu", [1], 1, 0, 77] == read(frames(SEQ_ALL | TIMESTAMP).of_account("pu", [1]))
    assert [0, "hb", 77] == read(frames(TIMESTAMP).heartbeat(0))


def test_decimals_and_times_are_texts_where_that_is_asked_for() -> None:
    payload = [1, 0.1, 1e-7, 1e21, -2.0, Ms(1_700_000_000_123), {"price": 0.5}, None, "x"]
    assert payload == read(frames(0).of_account("pu", payload))[2]
    spelt = read(frames(DEC_S | TIME_S).of_account("pu", payload))[2]
    date = "2023-11-14T22:13:20.123Z"
    assert [1, "0.1", "0.0000001", "1000000000000000000000", "-2", date, {"price": "0.5"}, None, "x"] == spelt


def test_a_time_that_no_calendar_has_which_a_venue_may_say_of_its_next_funding_is_the_last_that_there_is() -> None:
    assert [0, [TIME_END], 1] == read(frames(TIME_S | SEQ_ALL).of_channel(0, [Ms(2**63 - 1)]))


def test_flags_that_do_not_exist_and_what_is_no_number_are_none() -> None:
    assert are_flags(0)
    assert are_flags(32_768 + 65_536 + 131_072 + 536_870_912)
    assert not any(map(are_flags, (1, -8, "8", None, True, 8.0)))
