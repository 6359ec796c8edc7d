"""References: what their records say, which of two holds, and what a venue that cannot read one is given."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tidemark_paper import PACKAGE

from models.codec import encode_row
from models.engine.deployment import EngineDeployment, Venues
from models.engine.registers import reference_registers
from models.engine.tables import REFERENCES, MemoryTables
from models.errors import BadRecord, BadRow
from models.references import Said, encode_said, said_by, used_of_row
from models.venue import TopicSpec


class Tiered(type(PACKAGE.venue)):  # type: ignore[misc]
    """Paper trading whose references are numbers."""

    references = TopicSpec("paper-tiers", "deployment:tier")

    def reference(self, name: str, value: bytes) -> Any:  # noqa: ANN401, ARG002
        if not value.isdigit():
            msg = f"expected a number, found {value!r}"
            raise BadRecord(msg)
        return int(value)


TIERED = Tiered()
VENUES = Venues({"game": EngineDeployment(TIERED, None), "gone": EngineDeployment(None, None)}, None)


def _row(said: Said) -> bytes:
    return encode_row(1, 1, encode_said(said))


def test_a_record_that_the_venue_cannot_read_is_refused() -> None:
    assert Said("7", 3, 5) == said_by(TIERED, "tBTCUSD", b"7", (3, 5))
    assert Said(None, 3, 6) == said_by(TIERED, "tBTCUSD", b"", (3, 6))
    for name, value in (("a", b"x"), ("a", b"\xff"), ("a b", b"7"), ("", b"7"), ("n" * 65, b"7")):
        with pytest.raises(BadRecord, match="expected"):
            said_by(TIERED, name, value, (0, 0))


def test_whatever_a_package_raises_at_a_record_it_is_refused_and_a_row_of_it_says_nothing() -> None:
    class Careless(Tiered):
        def reference(self, name: str, value: bytes) -> Any:  # noqa: ANN401, ARG002
            return json.loads(value).get("tiers")["first"]

    careless = Careless()
    for value in (b"x", b"[]", b"null", b"{}", b'{"tiers": {}}', b"[" * 3_000):
        with pytest.raises(BadRecord, match="expected a record, found"):
            said_by(careless, "a", value, (0, 0))
        row = _row(Said(value.decode(), 0, 1))
        assert used_of_row(Venues({"game": EngineDeployment(careless, None)}, None), b"game:a", row) is None


def test_the_newest_record_of_a_name_holds_and_a_repeated_one_changes_nothing() -> None:
    tables = MemoryTables()
    for text, offset, is_news in (("1", 4, True), ("2", 5, True), ("1", 4, False)):
        registers = reference_registers(tables)
        assert is_news is registers.apply(b"game:a", Said(text, 0, offset))
        tables.take(registers.take())
    row = tables.read(REFERENCES, b"game:a") or b""

    assert (2, 0, 5) == used_of_row(VENUES, b"game:a", row)


def test_there_is_no_reference_where_it_was_taken_away_or_nobody_can_read_it() -> None:
    for key, said in ((b"game:a", Said(None, 0, 1)), (b"game:a", Said("x", 0, 1)), (b"gone:a", Said("1", 0, 1))):
        assert used_of_row(VENUES, key, _row(said)) is None
    with pytest.raises(BadRow, match="expected a row of references"):
        used_of_row(VENUES, b"game:a", encode_row(1, 1, {"text": "1"}))
