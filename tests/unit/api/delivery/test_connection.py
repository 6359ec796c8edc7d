"""The bytes of a frame, at the borders of the lengths that RFC 6455 writes in one, three and nine bytes."""

from __future__ import annotations

import pytest

from api.delivery.connection import text_frame


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_frame_says_its_length_in_as_few_bytes_as_it_may(size: int, head: bytes) -> None:
    assert head + b"x" * size == text_frame(b"x" * size)
