"""A library that says the same again and again is heard a few times, and nothing of others is left out."""

from __future__ import annotations

import logging

from streams.process.log_repeats import FewRepeats


class Heard:
    """What passes the filter, of records made at given instants."""

    def __init__(self) -> None:
        self._filter = FewRepeats("aiokafka")
        self.lines: list[str] = []

    def say(self, at_s: float, message: str, *args: object, name: str = "aiokafka.client") -> None:
        record = logging.LogRecord(name, logging.ERROR, __file__, 1, message, args, None)
        record.created = at_s
        if self._filter.filter(record):
            self.lines.append(record.getMessage())


def test_of_a_thousand_lines_of_one_kind_a_few_are_written_and_the_next_says_how_many_were_not() -> None:
    heard = Heard()
    for number in range(1_000):
        heard.say(100.0 + number / 1_000, "no connection to node %s", number % 3)
    assert [f"no connection to node {number % 3}" for number in range(5)] == heard.lines

    heard.say(111.0, "no connection to node %s", 1)
    assert "no connection to node 1 left_out=995" == heard.lines[-1]
    heard.say(111.5, "no connection to node %s", 2)
    assert "no connection to node 2" == heard.lines[-1]


def test_each_kind_is_counted_apart_and_others_pass() -> None:
    heard = Heard()
    for _ in range(10):
        heard.say(100.0, "one")
        heard.say(100.0, "two")
        heard.say(100.0, "one", name="streams.ingest")
        heard.say(100.0, "one", name="aiokafkaesque")
    assert (25, 5) == (heard.lines.count("one"), heard.lines.count("two"))


def test_few_lines_are_never_said_to_be_more() -> None:
    heard = Heard()
    for second in range(0, 100, 20):
        for _ in range(5):
            heard.say(float(second), "five at a time")
    assert ["five at a time"] * 25 == heard.lines


def test_a_clock_that_was_set_back_begins_anew() -> None:
    heard = Heard()
    for _ in range(6):
        heard.say(100.0, "again")
    heard.say(50.0, "again")
    assert "again left_out=1" == heard.lines[-1]


def test_texts_that_differ_each_time_take_no_memory_without_end() -> None:
    heard = Heard()
    for number in range(5_000):
        heard.say(100.0, f"made {number}")
    assert 5_000 == len(heard.lines)
    assert len(heard._filter._seen) <= 1_000
