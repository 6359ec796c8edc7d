"""Scripts of records, instants and kills come to the very tables that they came to before the engine was carved out."""

from __future__ import annotations

import json

import pytest

from tests.support.scripted import DIGESTS, NAMES, digests


@pytest.mark.parametrize("name", NAMES)
def test_every_table_is_what_it_was_after_a_script(name: str) -> None:
    assert json.loads(DIGESTS.read_text())[name] == digests(name)
