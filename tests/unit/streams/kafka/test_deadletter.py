from __future__ import annotations

import base64

import pytest
from prometheus_client import REGISTRY

from models.errors import BadNumber, BadRecord
from streams.kafka.deadletter import MAX_VALUE_BYTES, dead_letter, decode_dead_letter, encode_dead_letter


def test_a_letter_tells_what_was_refused_where_and_why() -> None:
    letter = dead_letter("topic", b"\xff{", BadNumber("expected a number"), at_ms=5, key=b"k", position=(3, 17))

    read = decode_dead_letter(encode_dead_letter(letter))

    assert ("topic", 3, 17, b"k", b"\xff{", 2, "BadNumber", "expected a number", 5) == (
        read.source,
        read.partition,
        read.offset,
        base64.b64decode(read.key or ""),
        base64.b64decode(read.value),
        read.value_bytes,
        read.cause,
        read.reason,
        read.at_ms,
    )


def test_a_long_value_is_cut_and_its_length_kept() -> None:
    letter = dead_letter("topic", b"x" * 1_000_000, BadRecord("long"), at_ms=5)

    assert (MAX_VALUE_BYTES, 1_000_000) == (len(base64.b64decode(letter.value)), letter.value_bytes)
    assert len(encode_dead_letter(letter)) < 1_000_000


def test_letters_are_counted_by_source_and_cause() -> None:
    labels = {"source": "counted", "cause": "BadRecord"}
    for _ in range(2):
        dead_letter("counted", b"", BadRecord("odd"), at_ms=5)

    assert 2.0 == REGISTRY.get_sample_value("tidemark_dead_letters_total", labels)


@pytest.mark.parametrize("value", [b"", b"{}", b"\xff"])
def test_what_is_no_letter_is_refused(value: bytes) -> None:
    with pytest.raises(BadRecord):
        decode_dead_letter(value)
