from __future__ import annotations

import logging

import pytest

from streams.process.faults import cause_of, print_last_line, print_traceback
from streams.process.log_secrets import HidingFormatter


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (AssertionError(), "AssertionError"),
        (ValueError("two\n  lines"), "ValueError: two lines"),
        (ExceptionGroup("g", [KeyError("a"), ExceptionGroup("h", [ValueError("b")])]), "KeyError: 'a'; ValueError: b"),
    ],
)
def test_a_cause_is_one_line_with_the_type_and_message_of_each_error(error: Exception, said: str) -> None:
    assert said == cause_of(error)


def test_what_is_said_at_the_end_hides_what_the_log_hides(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(HidingFormatter(logging.Formatter("%(message)s"), frozenset({"abcdefghij"})))
    error = RuntimeError("https://node.example/v2/abcdefghij")
    logging.getLogger().addHandler(handler)
    try:
        print_traceback(error)
        print_last_line(error)
    finally:
        logging.getLogger().removeHandler(handler)

    said = capsys.readouterr().err
    assert "abcdefghij" not in said
    assert said.endswith("tidemark: a fault ended the process: RuntimeError: https://node.example/v2/**********\n")
