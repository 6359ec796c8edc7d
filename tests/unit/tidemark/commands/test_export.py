"""``tidemark export``: the same rows in every format, to the last digit, once more by their manifest, or not at all."""

from __future__ import annotations

import json
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from models.codec import decode_row, encode_row
from streams.kafka.topics import PRICE_TICKS, served_name, topic_name
from streams.replay import export_files
from streams.replay.bounded_log import Held, LogRecord, Place
from streams.replay.export_files import ExportWriter
from streams.replay.export_kinds import SCHEMAS
from streams.replay.exported_rows import by_column
from streams.replay.row_lines import RowLines
from streams.replay.row_tables import NumberTooLong, arrow_table
from streams.replay.unreadable_records import NAMED_MAX, UnreadableRecords
from tests.support.golden import DEPLOYMENT, SYMBOL, golden_chain, golden_deployment
from tests.support.listed_log import ListedLog
from tests.support.told_log import Story, tell
from tidemark import cli as command_line

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

HUGE_E18 = 10**40
# As many digits as decimal128 holds.
LONG_E18 = -(10**38 - 1)
EXACT = Context(prec=60)


@pytest.fixture(scope="module")
def story() -> Story:
    return tell(DEPLOYMENT, golden_deployment(), golden_chain()[:80], SYMBOL)


def shown_log(story: Story, *, breaks_after: int | None = None) -> tuple[ListedLog, str]:
    """A log with what was shown, one of it with more than decimal128 holds, and its window as offsets."""
    topic = served_name(story.settings)
    records = []
    for offset, ((now_ms, key), body) in enumerate(list(story.shown.items())[-200:]):
        row = body if offset else {**body, "equity": str(-HUGE_E18), "available_balance": str(LONG_E18)}
        records.append(LogRecord(now_ms, topic, 0, offset, key, encode_row(3, offset, row)))
    held = story.log()._held
    nothing = {Place(topic, number): Held(0, 0, None) for number in range(4)}
    log = ListedLog(
        [*story.records, *records],
        {**held, **nothing, Place(topic, 0): Held(0, len(records), None)},
        breaks_after=breaks_after,
    )
    return log, f"{topic}:0:0-{len(records)}"


def run(monkeypatch: pytest.MonkeyPatch, story: Story, log: ListedLog, *arguments: str) -> Result:
    settings = story.settings.model_copy(update={"kafka": "127.0.0.1:1"})
    monkeypatch.setattr("tidemark.local_stack.settings_here", lambda: settings)
    monkeypatch.setattr("tidemark.kafka.require_broker", lambda bootstrap: bootstrap)
    monkeypatch.setattr("tidemark.replay_window.open_log", lambda *_: log)
    return CliRunner().invoke(command_line.cli, ["export", *arguments])


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_format_has_the_same_rows_to_the_last_digit(
    monkeypatch: pytest.MonkeyPatch, story: Story, tmp_path: Path
) -> None:
    log, window = shown_log(story)
    digests = set()
    for name in ("ndjson", "parquet", "arrow"):
        out = tmp_path / f"shown.{name}"
        result = run(monkeypatch, story, log, "valuations", "--offsets", window, "--format", name, "--out", str(out))
        assert 0 == result.exit_code, result.output
        digests.add(json.loads(out.with_name(out.name + ".manifest.json").read_text())["sha256"])
    assert 1 == len(digests)

    rows = rows_of(tmp_path / "shown.ndjson")
    parquet = pq.read_table(tmp_path / "shown.parquet")
    assert parquet == pa.ipc.open_file(str(tmp_path / "shown.arrow")).read_all()
    assert b"1" == parquet.schema.metadata[b"tidemark.schema_version"]
    assert pa.timestamp("ns", tz="UTC") == parquet.schema.field("time").type
    assert pa.decimal128(38, 18) == parquet.schema.field("upnl").type
    for name in ("upnl", "equity", "available_balance"):
        plain, text = parquet.column(name).to_pylist(), parquet.column(f"{name}_text").to_pylist()
        found = [one if one is not None else None if two is None else Decimal(two).scaleb(-18, EXACT)
                 for one, two in zip(plain, text, strict=True)]  # fmt: skip
        assert [None if row[name] is None else Decimal(row[name]).scaleb(-18, EXACT) for row in rows] == found
    assert str(-HUGE_E18) == parquet.column("equity_text").to_pylist()[0]
    path = str(tmp_path / "shown.parquet")
    with duckdb.connect() as database:
        rows_of_sum = database.execute("select sum(upnl) from read_parquet(?)", [path]).fetchall()
    assert rows_of_sum == [(sum(Decimal(row["upnl"]).scaleb(-18) for row in rows if row["upnl"] is not None),)]


def test_a_manifest_gives_the_same_rows_once_more_or_says_that_they_are_others(
    monkeypatch: pytest.MonkeyPatch, story: Story, tmp_path: Path
) -> None:
    log, window = shown_log(story)
    key = max(story.last).decode()
    first = ("valuations", "--offsets", window, "--key", key, "--format", "ndjson", "--out", str(tmp_path / "one"))
    assert 0 == run(monkeypatch, story, log, *first).exit_code
    again = ("valuations", "--manifest", str(tmp_path / "one.manifest.json"), "--format", "ndjson", "--out")

    result = run(monkeypatch, story, log, *again, str(tmp_path / "two"))

    assert 0 == result.exit_code, result.output
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert {key} == {f"{row['deployment']}:{row['account']}" for row in rows_of(tmp_path / "one")}
    place = Place(served_name(story.settings), 0)
    log.of[place] = [one for one in log.of[place] if one.key != key.encode() or one.offset % 2]
    assert 1 == run(monkeypatch, story, log, *again, str(tmp_path / "three")).exit_code


def test_prices_are_exported_as_their_sources_said_them(
    monkeypatch: pytest.MonkeyPatch, story: Story, tmp_path: Path
) -> None:
    out = tmp_path / "prices"
    given = ("prices", "--from", "2020-01-01T00:00:00Z", "--format", "ndjson", "--out", str(out))

    result = run(monkeypatch, story, story.log(), *given)

    assert 0 == result.exit_code, result.output
    ticks = [
        json.loads(one.value or b"") for one in story.records if one.topic == topic_name(story.settings, PRICE_TICKS)
    ]
    assert [Decimal(tick["mark"]) for tick in ticks] == [Decimal(row["mark"]).scaleb(-18) for row in rows_of(out)]
    assert [tick["event_ms"] * 1_000_000 for tick in ticks] == [row["event"] for row in rows_of(out)]


@pytest.mark.parametrize("file_format", ["ndjson", "parquet", "arrow"])
def test_an_export_that_fails_at_its_last_step_is_not_in_the_way_of_the_next_one(
    monkeypatch: pytest.MonkeyPatch, story: Story, tmp_path: Path, file_format: str
) -> None:
    log, window = shown_log(story)
    given = ("valuations", "--offsets", window, "--format", file_format, "--out", str(tmp_path / "x"))

    def fails(*_: object) -> None:
        msg = "no space"
        raise OSError(msg)

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.rename", fails)
        assert run(monkeypatch, story, log, *given).exit_code
    assert [] == list(tmp_path.iterdir())
    assert 0 == run(monkeypatch, story, log, *given).exit_code


@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
def test_a_number_that_no_column_holds_is_refused_and_named(tmp_path: Path, file_format: str) -> None:
    schema = SCHEMAS["fundings"]

    def row(symbol_id: int) -> tuple[Any, ...]:
        return tuple({**dict.fromkeys(schema.columns), "symbol_id": symbol_id}.values())

    writer = ExportWriter(tmp_path / "x", file_format, schema)
    for number in (2**63, 2**64):
        writer.take([row(number)])
        with pytest.raises(NumberTooLong, match="numbers of fundings below"):
            writer.finish(offsets="", keys=(), code="", configuration="", unreadable=UnreadableRecords())
    with pytest.raises(NumberTooLong, match="numbers of fundings below"):
        arrow_table(schema, [row(2**63)])
    lines = RowLines(schema).encode(by_column(schema, [row(2**64), row(-(2**80))]))
    assert [2**64, -(2**80)] == [json.loads(line)["symbol_id"] for line in lines.splitlines()]
    writer.abandon()
    assert [] == list(tmp_path.iterdir())


def test_rows_of_long_texts_wait_in_memory_up_to_a_number_of_characters(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(export_files, "_TEXT_AT_ONCE", 1_000)
    schema = SCHEMAS["calculations"]
    row = tuple({**dict.fromkeys(schema.columns), "marks": "m" * 300, "references": "r" * 100}.values())
    writer = ExportWriter(tmp_path / "x", "parquet", schema)
    # A record may have many.
    writer.take([row] * 7)
    assert 7 == writer.finish(offsets="", keys=(), code="", configuration="", unreadable=UnreadableRecords()).rows
    file = pq.ParquetFile(tmp_path / "x")
    assert [3, 3, 1] == [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)]
    file.close()


def odd_log(story: Story) -> tuple[ListedLog, str, list[int]]:
    """A log of what was shown with rows that cannot be read among it, its window, and the offsets of the odd ones."""
    log, _ = shown_log(story)
    place = Place(served_name(story.settings), 0)
    (first, *_), body = log.of[place], decode_row(log.of[place][0].value or b"").body
    without = {name: cell for name, cell in body.items() if name != "status"}
    odd: list[tuple[bytes | None, bytes]] = [
        (first.key, b"nonsense"),
        (first.key, encode_row(3, 0, without)),
        (first.key, encode_row(3, 0, {**body, "upnl": "1e3"})),
        (first.key, encode_row(3, 0, {**body, "notional": 5})),
        (first.key, encode_row(3, 0, {**body, "as_of_ms": 2**62})),
        (first.key, encode_row(3, 2**63, body)),
        (first.key, encode_row(3, 0, {**body, "made_from": {"at": 1}})),
        (b"golden:\xff", encode_row(3, 0, body)),
        (None, encode_row(3, 0, body)),
    ]
    first_odd = len(log.of[place]) // 2
    among = [*log.of[place][:first_odd], *(LogRecord(first.time_ms, *place, 0, *one) for one in odd),
             *log.of[place][first_odd:]]  # fmt: skip
    log.of[place] = [msgspec.structs.replace(one, offset=offset) for offset, one in enumerate(among)]
    log._held = {**log._held, place: Held(0, len(among), None)}
    return log, f"{place.topic}:0:0-{len(among)}", list(range(first_odd, first_odd + len(odd)))


def test_a_row_that_cannot_be_read_is_named_and_the_rest_is_exported_whole(
    monkeypatch: pytest.MonkeyPatch, story: Story, tmp_path: Path
) -> None:
    log, window, odd = odd_log(story)
    topic = served_name(story.settings)
    found = {}
    for name in ("ndjson", "parquet", "arrow"):
        out = str(tmp_path / name)
        given = ("valuations", "--offsets", window, "--format", name, "--out", out, "--json")
        result = run(monkeypatch, story, log, *given)
        assert 4 == result.exit_code, result.output
        said = found[name] = json.loads(result.stdout)
        assert [(topic, 0, at) for at in odd] == [
            (one["topic"], one["partition"], one["offset"]) for one in said["unreadable_records"]
        ]
        assert all(one["cause"] for one in said["unreadable_records"])
        assert len(odd) == said["unreadable"]
        for at in odd:
            assert f"unreadable: {topic}:0:{at} expected" in result.stderr
        assert json.loads((tmp_path / f"{name}.manifest.json").read_text()) == said
    assert 1 == len({one["sha256"] for one in found.values()})
    whole = [one.offset for one in log.of[Place(topic, 0)] if one.offset not in odd]
    assert whole == [row["offset"] for row in rows_of(tmp_path / "ndjson")]

    again = ("--manifest", str(tmp_path / "ndjson.manifest.json"), "--out", str(tmp_path / "again"))
    assert 4 == run(monkeypatch, story, log, *again).exit_code
    assert (tmp_path / "ndjson").read_bytes() == (tmp_path / "again").read_bytes()


def test_an_instant_that_is_not_known_is_an_empty_cell(
    monkeypatch: pytest.MonkeyPatch, story: Story, tmp_path: Path
) -> None:
    log, window = shown_log(story)
    place = Place(served_name(story.settings), 0)
    row = decode_row(log.of[place][5].value or b"")
    value = encode_row(row.term, row.version, {**row.body, "as_of_ms": None})
    log.of[place][5] = msgspec.structs.replace(log.of[place][5], value=value)

    result = run(monkeypatch, story, log, "valuations", "--offsets", window, "--out", str(tmp_path / "x"))

    assert 0 == result.exit_code, result.output
    assert pq.read_table(tmp_path / "x").column("as_of").to_pylist()[5] is None


@pytest.mark.parametrize("file_format", ["parquet", "arrow", "ndjson"])
def test_where_no_record_can_be_read_the_export_has_no_row_and_its_manifest_says_why(
    monkeypatch: pytest.MonkeyPatch, story: Story, tmp_path: Path, file_format: str
) -> None:
    ticks = Place(topic_name(story.settings, PRICE_TICKS), 0)
    count = NAMED_MAX + 5
    log = ListedLog([LogRecord(at, *ticks, at, b"k", b"nonsense") for at in range(count)])
    given = ("prices", "--offsets", f"{ticks.topic}:0:0-{count}", "--format", file_format)

    result = run(monkeypatch, story, log, *given, "--out", str(tmp_path / "x"), "--json")

    said = json.loads(result.stdout)
    assert (4, 0, count) == (result.exit_code, said["rows"], said["unreadable"])
    assert list(range(NAMED_MAX)) == [one["offset"] for one in said["unreadable_records"]]
    assert f"{count} records are unreadable, of which the manifest names the first" in result.stderr


def test_what_cannot_be_exported_leaves_nothing(monkeypatch: pytest.MonkeyPatch, story: Story, tmp_path: Path) -> None:
    log, window = shown_log(story)
    out = str(tmp_path / "x")

    def code(of: ListedLog, *given: str) -> int:
        return run(monkeypatch, story, of, *given, "--format", "parquet", "--out", out).exit_code

    assert 1 == code(log, "valuations", "--offsets", window, "--key", "nobody")
    assert 1 == code(log, "valuations", "--offsets", window.rpartition(":")[0] + ":5-5")
    assert 3 == code(shown_log(story, breaks_after=2)[0], "valuations", "--offsets", window)
    assert 0 == code(log, "valuations", "--offsets", window, "--dry-run")
    assert 2 == code(log, "valuations")
    assert [] == list(tmp_path.iterdir())
    assert 0 == code(log, "valuations", "--offsets", window)
    assert code(log, "valuations", "--offsets", window)
