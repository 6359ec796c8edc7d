from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from models.errors import BadRecord
from tidemark.cli import cli

VECTORS = Path(__file__).parents[3] / "data" / "flash" / "metrics_vectors.json"


def _lines(path: Path) -> list[dict[str, str]]:
    result = CliRunner().invoke(cli, ["flash", "metrics", str(path)], catch_exceptions=False)
    assert 0 == result.exit_code, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def _refusal(path: Path) -> str:
    with pytest.raises(BadRecord) as refused:
        CliRunner().invoke(cli, ["flash", "metrics", str(path)], catch_exceptions=False)
    return str(refused.value)


def _first() -> dict[str, Any]:
    vector: dict[str, Any] = json.loads(VECTORS.read_text())[0]
    return vector


def test_the_figures_of_all_vectors_are_those_of_the_venues_sdk() -> None:
    expected = [row["out"] for row in json.loads(VECTORS.read_text())]
    assert 40 == len(expected)
    printed = _lines(VECTORS)
    assert expected == printed
    assert [list(row) for row in expected] == [list(row) for row in printed], "fields stand in another order"


def test_a_vector_without_figures_has_a_line_that_says_why(tmp_path: Path) -> None:
    whole, divided = _first(), _first()
    divided["in"]["size_amount"] = 0
    path = tmp_path / "vectors.json"
    path.write_text(json.dumps([divided, whole]))
    refused, figures = _lines(path)
    assert ["err"] == list(refused)
    assert "the size not to be 0" in refused["err"]
    assert whole["out"] == figures


def test_numbers_beyond_64_bits_are_exact(tmp_path: Path) -> None:
    vector = _first()
    vector["in"] |= {"cumulative_lock_fee": 2**127, "lock_fee_snapshot": 2**127 - 10**9, "borrow_rate": 0}
    path = tmp_path / "vectors.json"
    path.write_text(json.dumps([{"in": vector["in"]}]))
    assert str(vector["in"]["size_usd"] + vector["in"]["unsettled_fees_usd"]) == _lines(path)[0]["borrow_fee_usd"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "vectors as JSON"),
        ("{}", "a JSON list"),
        ("[1]", 'vector 0 to be an object with "in"'),
        ('[{"in": {"side": "long"}}]', "mark"),
        ("[" * 100_000, "vectors as JSON"),
    ],
)
def test_what_is_no_vector_is_refused_with_what_was_expected(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "vectors.json"
    path.write_text(text)
    assert said in _refusal(path)


@pytest.mark.parametrize("change", [{"side": "both"}, {"mark": -1}, {"mark": 1.5}, {"ema": 1}, {"size_decimals": 256}])
def test_a_field_that_is_wrong_or_not_known_is_refused_by_name(tmp_path: Path, change: dict[str, object]) -> None:
    vector = _first()
    vector["in"] |= change
    path = tmp_path / "vectors.json"
    path.write_text(json.dumps([vector]))
    said = _refusal(path)
    assert "vector 0" in said
    assert next(iter(change)) in said


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.json"
    path.write_bytes(b"\xff\xfe")
    assert "UTF-8" in _refusal(path)
