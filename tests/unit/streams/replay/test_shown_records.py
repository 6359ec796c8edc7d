"""How records are shown."""

from __future__ import annotations

import json

from models.codec import encode_row
from streams.replay.bounded_log import LogRecord
from streams.replay.key_filter import KeyFilter
from streams.replay.shown_records import json_line, text_line

ROWS = frozenset({"rows"})


def of(topic: str, value: bytes | None, key: bytes | None = b"a:b") -> LogRecord:
    return LogRecord(1_500, topic, 3, 7, key, value)


def test_a_value_is_shown_as_it_was_said_however_long_its_numbers_are() -> None:
    line = json_line(of("t", b'{"n": 340282366920938463463374607431768211456,\n "d": 1.10}'), ROWS)

    assert "\n" not in line
    assert '"n":340282366920938463463374607431768211456' in line
    assert '"time":"1970-01-01T00:00:01.500Z"' in line
    assert ("t", 3, 7, "a:b", 1_500) == tuple(
        json.loads(line)[name] for name in ("topic", "partition", "offset", "key", "time_ms")
    )


def test_a_row_is_shown_with_its_term_and_version() -> None:
    shown = json.loads(json_line(of("rows", encode_row(4, 9, {"upnl": "-1"})), ROWS))

    assert (4, 9, {"upnl": "-1"}) == (shown["term"], shown["version"], shown["value"])
    assert text_line(of("rows", encode_row(4, 9, {"upnl": "-1"})), ROWS).endswith('rows:3:7 a:b 4/9 {"upnl":"-1"}')


def test_tombstones_and_what_is_no_json_are_shown_as_such() -> None:
    assert json.loads(json_line(of("t", None, None), ROWS))["value"] is None
    assert repr(b"\xffno") == json.loads(json_line(of("t", b"\xffno"), ROWS))["undecoded"]
    assert text_line(of("t", None, None), ROWS).endswith("t:3:7  null")
    assert "undecoded" in json_line(of("rows", b"short"), ROWS)


def test_keys_are_filtered_exactly_or_by_how_they_begin() -> None:
    wanted = KeyFilter(("demo:0xa", "prod:*"))

    assert [True, False, True, False] == [
        wanted.takes(key) for key in (b"demo:0xa", b"demo:0xab", b"prod:anything", None)
    ]
    assert KeyFilter(()).takes(None)
