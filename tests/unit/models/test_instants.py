from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.instants import ns_text, rfc3339


@pytest.mark.parametrize(
    ("unix_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_745_970_777_999, "2025-04-29T23:52:57.999Z"),
        (1_745_970_777_000, "2025-04-29T23:52:57.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_an_instant_has_its_milliseconds_and_is_in_utc(unix_ms: int, text: str) -> None:
    assert text == rfc3339(unix_ms)


@pytest.mark.parametrize(("unix_ms", "nearest_ms"), [(-1, 0), (253_402_300_800_000, 253_402_300_799_999)])
def test_what_rfc_3339_cannot_write_is_the_nearest_that_it_can(unix_ms: int, nearest_ms: int) -> None:
    assert rfc3339(nearest_ms) == rfc3339(unix_ms)


@given(st.integers(0, 253_402_300_799_999))
def test_an_instant_reads_back_as_itself(unix_ms: int) -> None:
    read = datetime.fromisoformat(rfc3339(unix_ms))

    assert unix_ms == round(read.timestamp() * 1000)


@pytest.mark.parametrize(("unix_ms", "text"), [(0, "0"), (-5, "0"), (1, "1000000"), (2**62, f"{2**62}000000")])
def test_nanoseconds_are_exact_whatever_their_size(unix_ms: int, text: str) -> None:
    assert text == ns_text(unix_ms)
