from __future__ import annotations

import pytest

from streams.process.faults import cause_of


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
