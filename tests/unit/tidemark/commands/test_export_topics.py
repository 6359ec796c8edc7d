"""``tidemark export`` of account events, rows of tables and what a replica made figures of; and the same file again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from models.account_events import Final, Transaction, encode_account_record
from models.codec import encode_row
from models.engine.tables import ALERTS, POSITION_STATES, QUOTE_HISTORY
from models.kept_inputs import CalculationsMade, FundingMade, KeptFunding, KeptMark, encode_kept, kept_key
from streams.kafka.topics import changelog_name, served_name
from streams.replay.bounded_log import Held, LogRecord, Place
from streams.settings import Settings
from tests.support.golden import golden_deployment
from tests.support.listed_log import ListedLog
from tidemark import cli as command_line

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

SETTINGS = Settings(kafka="127.0.0.1:1", topics={"partitions": 1}, deployments=golden_deployment())  # type: ignore[arg-type]
EVENTS = "account-events-1"
ACCOUNT = b"golden:0xaa"


def stands(topic: str, key: bytes, *values: bytes | None) -> list[LogRecord]:
    return [LogRecord(1_000 + at, topic, 0, at, key, value) for at, value in enumerate(values)]


ODD = {
    "account-events": 2,
    "alerts": 3,
    "position-states": 2,
    "quote-history": 3,
    "fundings": 4,
    "calculations": 3,
}
"""How many records there are of each that cannot be read."""


def log() -> ListedLog:
    body = {"b": 1, "a": "text"}
    served = served_name(SETTINGS)
    asked = [("0xaa", 3, 4, "position_tBTC"), ("0xbb", 5, 6, "balance")]
    calculated = CalculationsMade(77, asked, {"tBTC": KeptMark("v:tBTC", 9, stale=True), "tETH": None}, {"fx": (0, 2)})
    funded = FundingMade(
        88,
        "0.5",
        "0.01",
        is_scaled=True,
        markets={"B": KeptFunding(2, 7, "5", 60, None), "A": KeptFunding(1, 8, "-6", 60, 9)},
    )
    much, far = KeptFunding(2, 7, "much", 60, None), {"fx": (0, 2**70)}
    row = encode_row(1, 2, body)
    records = [
        *stands(EVENTS, ACCOUNT, encode_account_record(Transaction((5, 1), 12, 34, "0xtx", ())), b"nonsense"),
        LogRecord(9_000, EVENTS, 0, 2, b"golden", encode_account_record(Final((6, -1), 13, 35, 11))),
        *stands(changelog_name(SETTINGS, ALERTS), ACCOUNT, row, None, b"nonsense"),
        LogRecord(1_003, changelog_name(SETTINGS, ALERTS), 0, 3, b"golden", row),
        *stands(
            changelog_name(SETTINGS, POSITION_STATES), ACCOUNT, encode_row(1, 2, body), encode_row(1, 2, body)[:-1]
        ),
        *stands(changelog_name(SETTINGS, QUOTE_HISTORY), ACCOUNT + b":17", row, b"{}"),
        LogRecord(1_002, changelog_name(SETTINGS, QUOTE_HISTORY), 0, 2, ACCOUNT + b":x", row),
        # Nobody can take these keys apart.
        LogRecord(9_000, EVENTS, 0, 3, b"\xff", b"nonsense"),
        LogRecord(9_000, changelog_name(SETTINGS, ALERTS), 0, 4, b"\xff", row),
        LogRecord(9_000, changelog_name(SETTINGS, POSITION_STATES), 0, 2, b"golden", None),
        LogRecord(9_000, changelog_name(SETTINGS, QUOTE_HISTORY), 0, 3, b"golden:\xff:17", row),
        LogRecord(1, served, 0, 0, kept_key("calc", "golden"), encode_kept(calculated)),
        LogRecord(2, served, 0, 1, kept_key("funding", "golden"), encode_kept(funded)),
        LogRecord(3, served, 0, 2, kept_key("funding", "golden"), b"nonsense"),
        LogRecord(4, served, 0, 3, kept_key("funding", "golden"), encode_kept(calculated)),
        LogRecord(5, served, 0, 4, kept_key("funding", "golden"), encode_kept(replace(funded, markets={"A": much}))),
        LogRecord(6, served, 0, 5, b":funding:\xff", encode_kept(funded)),
        LogRecord(7, served, 0, 6, kept_key("calc", "golden"), b"\xff" * 30),
        LogRecord(8, served, 0, 7, kept_key("calc", "golden"), encode_kept(replace(calculated, at_ms=2**60))),
        LogRecord(9, served, 0, 8, kept_key("calc", "golden"), encode_kept(replace(calculated, references=far))),
    ]
    ends = {one.place: one.offset + 1 for one in records}
    return ListedLog(records, {Place(*place): Held(0, end, None) for place, end in ends.items()})


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, settings: Settings = SETTINGS) -> Result:
    monkeypatch.setattr("tidemark.local_stack.settings_here", lambda: settings)
    monkeypatch.setattr("tidemark.kafka.require_broker", lambda bootstrap: bootstrap)
    monkeypatch.setattr("tidemark.replay_window.open_log", lambda *_: log())
    return CliRunner().invoke(command_line.cli, ["export", *arguments])


def exported(monkeypatch: pytest.MonkeyPatch, directory: Path, what: str) -> list[dict[str, Any]]:
    out = directory / what
    given = ("--from", "1970-01-01T00:00:00Z", "--format", "ndjson", "--out", str(out))
    result = run(monkeypatch, what, *given)
    assert 4 == result.exit_code, result.output
    assert ODD[what] == json.loads((directory / f"{what}.manifest.json").read_text())["unreadable"]
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    return [{name: cell for name, cell in row.items() if name not in {"time", "partition"}} for row in rows]


def test_account_events_are_exported_with_where_they_stand_in_the_chain(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, last = exported(monkeypatch, tmp_path, "account-events")
    body = json.loads(first.pop("body"))
    assert ("transaction", []) == (body["kind"], body["logs"])
    assert first == {
        "offset": 0, "deployment": "golden", "account": "0xaa", "kind": "transaction", "log_offset": 5, "log_index": 1,
        "block": 12, "block_time": 34 * 10**9, "tx": "0xtx",
    }  # fmt: skip
    assert (2, None, "final", 6) == (last["offset"], last["account"], last["kind"], last["log_offset"])


def test_rows_of_tables_are_exported_with_their_order_and_body(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    row = {
        "offset": 0,
        "deployment": "golden",
        "account": "0xaa",
        "term": 1,
        "version": 2,
        "body": '{"a":"text","b":1}',
    }
    gone = {**row, "offset": 1, "term": None, "version": None, "body": None}
    assert [row, gone] == exported(monkeypatch, tmp_path, "alerts")
    assert [row] == exported(monkeypatch, tmp_path, "position-states")
    assert [{**row, "quote": "17"}] == exported(monkeypatch, tmp_path, "quote-history")


def test_what_figures_were_made_of_is_a_row_for_each_market_and_each_calculation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fundings = exported(monkeypatch, tmp_path, "fundings")
    assert [("A", 8, "-6", 9, 88 * 10**6, 1), ("B", 7, "5", None, 88 * 10**6, 1)] == [
        (one["market"], one["tick_offset"], one["rate"], one["interval_s"], one["at"], one["scaled"])
        for one in fundings
    ]
    calculations = exported(monkeypatch, tmp_path, "calculations")
    assert [(0, "0xaa", 3, "position_tBTC"), (1, "0xbb", 5, "balance")] == [
        (one["number"], one["account"], one["statement_term"], one["calculation"]) for one in calculations
    ]
    marks = {"tBTC": {"mark_key": "v:tBTC", "mark_offset": 9, "stale": True}, "tETH": None}
    assert marks == json.loads(calculations[0]["marks"])


@pytest.mark.parametrize("file_format", ["parquet", "arrow", "ndjson"])
def test_a_manifest_alone_gives_the_same_file_once_more_and_says_where_the_configuration_is_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file_format: str
) -> None:
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    window = ("--from", "1970-01-01T00:00:00Z", "--format", file_format)
    first = run(monkeypatch, "fundings", *window, "--out", str(one), "--json")
    manifest = str(one) + ".manifest.json"
    again = run(monkeypatch, "--manifest", manifest, "--out", str(two))

    assert (4, 4) == (first.exit_code, again.exit_code), again.output
    assert json.loads(first.stdout) == json.loads((tmp_path / "one.manifest.json").read_text())
    assert one.read_bytes() == two.read_bytes()
    other = SETTINGS.model_copy(update={"epoch": 1, "deployments": {}})
    moved = run(monkeypatch, "--manifest", manifest, "--out", str(three), settings=other)
    assert 4 == moved.exit_code
    assert "the configuration is not the one of the manifest" in moved.stderr
    assert 2 == run(monkeypatch, "alerts", "--manifest", manifest, "--out", str(tmp_path / "four")).exit_code
    assert 2 == run(monkeypatch, "--out", str(tmp_path / "five")).exit_code
