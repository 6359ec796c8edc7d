"""A row's body has the same bytes as one of its types and as a JSON object."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.codec import decode_order, decode_row, encode_body, encode_row, row_order
from models.row_bodies import MarkBody, ReferenceBody

_text = st.text()


@given(_text, st.integers(0, 2**31), st.integers(0, 2**63 - 1))
def test_a_body_of_a_type_has_the_bytes_of_its_columns_whatever_texts_it_has(
    text: str, partition: int, offset: int
) -> None:
    columns = {"text": text, "partition": partition, "offset": offset}
    assert encode_body(ReferenceBody(text, partition, offset)) == encode_body(columns)
    assert decode_row(encode_row(1, 2, ReferenceBody(text, partition, offset))) == (1, 2, columns)


def test_columns_that_a_row_need_not_have_are_absent() -> None:
    body = MarkBody("1", None, None, None, 5, 6, 7, max_late_ms=8)
    assert encode_body(body) == (
        b'{"mark":"1","index":null,"funding_rate":null,"next_funding_ms":null,"event_ms":5,"received_ms":6,"offset":7,'
        b'"max_late_ms":8}'
    )


AVRO = b"\x00" + (7).to_bytes(4, "big") + b"\x06a frame of Avro: magic byte, id of its schema, body"
COUNTED = (38).to_bytes(4, "big") + b"a text with its length before it, as 4"


@pytest.mark.parametrize(
    "value",
    [
        b"", b"{}", b"x" * 15, b'{"hello": "I am no row of any table"}', b"\xff" * 40, bytes(16),
        bytes(8) + b"\xff" * 8, bytes(8) + b"\xff" * 8 + b"[]", AVRO, COUNTED,
    ],
)  # fmt: skip
def test_what_is_no_row_stands_below_every_row(value: bytes) -> None:
    assert (0, 0) == decode_order(value)
    assert row_order(value) <= row_order(encode_row(0, 0, {})) < row_order(encode_row(2**48 - 1, 1, {}))
