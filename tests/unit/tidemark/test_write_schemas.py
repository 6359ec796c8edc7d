"""The JSON schemas of rows and records: as written, and a ledger's as strict as the fold in what they can say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import msgspec
import pytest

from models.errors import BadRecord
from models.ledger.ledger_records import decode_ledger_record
from models.ledger.ledger_settings import decode_settings
from tests.support.ledger import inputs, order, position, said, wallet
from tidemark.write_schemas import main, schema_files

if TYPE_CHECKING:
    from collections.abc import Iterator

WRITTEN = Path(__file__).parents[3] / "docs" / "schemas"


def schema(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((WRITTEN / "ledger" / "v1" / f"{name}.json").read_text())
    return read


def test_the_schemas_in_the_docs_are_those_of_the_code() -> None:
    found = {path.relative_to(WRITTEN): path.read_text() for path in WRITTEN.rglob("*.json")}
    assert found == schema_files(), "run make schemas"


def test_what_is_of_no_schema_any_more_is_taken_away(tmp_path: Path) -> None:
    stale = tmp_path / "ledger" / "v0" / "gone.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    main(tmp_path)
    assert not stale.exists()
    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*.json")} == schema_files().keys()


@pytest.mark.parametrize("path", schema_files(), ids=str)
def test_a_schema_is_one(path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads((WRITTEN / path).read_text()))


def _columns(said: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - JSON
    """The columns of all objects of a schema."""
    for one in said.values() if isinstance(said, dict) else said if isinstance(said, list) else ():
        yield from _columns(one)
    if isinstance(said, dict):
        yield from said.get("properties", {}).items()


@pytest.mark.parametrize("path", schema_files(), ids=str)
def test_no_time_is_scaled_as_amounts_are(path: Path) -> None:
    columns = _columns(json.loads((WRITTEN / path).read_text()))
    times = [(name, said) for name, said in columns if name.endswith(("_s", "_ms", "_ns"))]

    assert [] == [name for name, said in times if "1e18" in str(said)]


RECORDS: list[tuple[str, dict[str, Any]]] = [
    ("account_opened", {"owner": "ann"}),
    ("wallet_set", {"wallet": wallet("-1.5")}),
    ("position_set", {"position": position("1", "100")}),
    ("order_set", {"order": order(1, "1", "100")}),
    ("snapshot", {"wallets": [wallet("1")], "positions": [position("1", "100")]}),
]


@pytest.mark.parametrize(("kind", "what"), RECORDS)
def test_a_record_that_is_folded_is_valid(kind: str, what: dict[str, Any]) -> None:
    record = said(kind, 1, **what)
    jsonschema.validate(record, schema(kind))
    assert decode_ledger_record(json.dumps(record).encode()).seq == 1


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("wallet.balance", 1.5), ("wallet.balance", "1e3"), ("wallet.balance", "1\n"), ("wallet.balance", ""),
        ("wallet.currency", "U"), ("wallet.type", "other"), ("wallet.balance_available", "1"),
        ("seq", 0), ("v", 2), ("time_ms", -1), ("cause", None), ("more", 1),
    ],
)  # fmt: skip
def test_a_schema_refuses_what_the_fold_refuses(path: str, value: object) -> None:
    record = said("wallet_set", 1, wallet=wallet("1"))
    *way, name = path.split(".")
    inner = record[way[0]] if way else record
    inner[name] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record, schema("wallet_set"))
    with pytest.raises(BadRecord):
        decode_ledger_record(json.dumps(record).encode())


def test_settings_that_are_taken_are_valid() -> None:
    for name, settings in inputs({"tBTCUSD": "1"}, paths={"UST": ["tUSTUSD"]}).settings.items():
        body = msgspec.to_builtins(settings)
        assert decode_settings(name, json.dumps(body).encode()) == settings
        # A field that is None may be left out, and is where people write it.
        body = json.loads(json.dumps(body))
        jsonschema.validate(body, schema(f"settings-{name.partition(':')[0]}"))
