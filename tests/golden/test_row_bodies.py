"""Every row that the scripts come to is of the type that its table states."""

from __future__ import annotations

import msgspec
import pytest

from models import row_bodies
from models.codec import decode_row
from models.engine.tables import TABLES
from models.symmio import symmio_row_bodies
from tests.support.scripted import NAMES, play

BODIES = {**row_bodies.BODIES, **symmio_row_bodies.BODIES}


@pytest.mark.parametrize("name", NAMES)
def test_every_row_of_a_script_is_of_its_tables_type(name: str) -> None:
    for table, rows in play(name).items():
        for row in rows.values():
            msgspec.convert(decode_row(row).body, BODIES[table], strict=True)


def test_every_table_states_its_type() -> None:
    assert set(TABLES) == BODIES.keys()


def test_a_row_with_another_column_or_an_amount_that_is_no_text_is_refused() -> None:
    body = {"text": "1", "partition": 0, "offset": 1}
    msgspec.convert(body, row_bodies.ReferenceBody)
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({**body, "more": 1}, row_bodies.ReferenceBody)
    with pytest.raises(msgspec.ValidationError, match=r"Expected `str \| null`, got `int`"):
        msgspec.convert({"positions": 1, "unpriced": 0, "as_of_ms": 1, "upnl": 5}, row_bodies.SubtotalBody)
