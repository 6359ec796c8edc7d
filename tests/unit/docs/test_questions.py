"""The worked questions of the guide to replay are answered by the very lines that stand there."""

from __future__ import annotations

import asyncio
import re
import shlex
from decimal import Decimal
from typing import TYPE_CHECKING

import duckdb
from click.testing import CliRunner

from streams.archive.archive_store import opened_store
from streams.archive.archiving import archive_due, find_due
from streams.process.clock import SystemClock
from streams.replay.captured_log import CapturedLog
from tests.support.replaying import EXAMPLE
from tests.support.server import ROOT
from tidemark.cli import cli

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_WORKED = re.compile(r"^    \$ (tidemark --config tests/data/replay/\S+ .+|duckdb -c .+)$", re.MULTILINE)
_RECIPE = re.compile(r"^    \$ (duckdb -c .+)$", re.MULTILINE)
_EXPECTED = {
    "asof": '"upnl": "2625364518538489377999928"',
    "explain": "change of uPnL 263545.122719569668264055",
    "verify": "7 are the same, 7 of these valued twice, 0 differ",
    "whatif": "7 accounts: 5 others than before",
    "export": "rows, digest",
}


def test_every_worked_question_is_answered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "replay.md").read_text()
    lines = [shlex.split(line) for line in _WORKED.findall(guide[guide.index("## Worked questions") :])]
    # The command line sets it for the process, which goes on with other tests.
    monkeypatch.setenv("TIDEMARK_CONFIG", "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    asked = []
    for program, *arguments in lines:
        if program == "duckdb":
            found = duckdb.sql(arguments[1])
            assert found is not None
            ((symbol, ticks, low, high),) = found.fetchall()
            assert ("BTCUSDT", True) == (symbol, Decimal(50_000) < low < high < Decimal(120_000))
            assert ticks > 100
            continue
        result = CliRunner().invoke(cli, arguments)
        assert 0 == result.exit_code, result.output
        command = arguments[2]
        assert _EXPECTED[command] in result.output
        asked.append(command)

    assert [*_EXPECTED] == asked


async def test_the_recipes_of_duckdb_read_what_was_exported_and_archived(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIDEMARK_CONFIG", str(EXAMPLE / "tidemark.toml"))
    monkeypatch.chdir(tmp_path)
    guide = (ROOT / "docs" / "replay.md").read_text()
    of_archive, of_export = (shlex.split(one)[-1] for one in _RECIPE.findall(guide[: guide.index("## From Python")]))
    log, store, topic = CapturedLog(EXAMPLE / "log"), opened_store("archive"), "p-price-ticks"
    due = await find_due(log, store, topic, SystemClock().now_ms())
    await archive_due(log, store, due, {}, code="test", on_record=lambda _: None)
    (tmp_path / "archive" / topic).rename(tmp_path / "archive" / "price-ticks")
    window = ["--from", "1970-01-01T00:00:00Z", "--log", str(EXAMPLE / "log"), "--out", "day.parquet"]
    exported = await asyncio.to_thread(CliRunner().invoke, cli, ["export", "valuations", *window])
    assert 0 == exported.exit_code, exported.output

    with duckdb.connect() as database:
        ((key, ticks),) = database.execute(of_archive).fetchall()
        swings = database.execute(of_export).fetchall()
    assert "binance-futures:BTCUSDT" == key
    assert ticks > 100
    assert swings == sorted(swings, key=lambda one: -one[1])
    assert len(swings) > 1
