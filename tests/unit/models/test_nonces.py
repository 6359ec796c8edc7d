"""The fold of nonces."""

from __future__ import annotations

import pytest

from models.errors import BadRecord
from models.nonces import NonceMarks, NonceUse, decode_nonce, encode_nonce, nonce_key


def test_a_number_is_accepted_above_all_before_it_alone_and_a_lower_one_sinks_the_mark_until_it_is_said_again() -> None:
    marks, key = NonceMarks(), nonce_key("bitfinex", "k1")
    assert [True, False, True, False] == [marks.take(key, nonce) for nonce in (0, 0, 10, 5)]
    assert [key] == list(marks.sunk)
    assert not marks.take(key, 10)
    assert [] == list(marks.sunk)
    assert 10 == marks.of(key)
    assert -1 == marks.of(b"other")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"k", b""),
        (b"k", b"x"),
        (b"k", b'{"nonce":-1}'),
        (b"k", b'{"nonce":1,"x":2}'),
        (None, b'{"nonce":1}'),
        (b"k" * 300, b'{"nonce":1}'),
        (b"k", None),
    ],
)
def test_what_is_no_use_of_a_nonce_is_refused(key: bytes | None, value: bytes | None) -> None:
    with pytest.raises(BadRecord):
        decode_nonce(key, value)


def test_a_record_is_read_as_it_was_written() -> None:
    assert NonceUse(2**53, "u") == decode_nonce(b"k", encode_nonce(NonceUse(2**53, "u")))
