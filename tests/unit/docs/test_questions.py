"""The worked questions of the guide to replay are answered by the very lines that stand there."""

from __future__ import annotations

import re
import shlex
from decimal import Decimal
from typing import TYPE_CHECKING

import duckdb
from click.testing import CliRunner

from tests.support.server import ROOT
from tidemark.cli import cli

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_WORKED = re.compile(r"^    \$ (tidemark --config tests/data/replay/\S+ .+|duckdb -c .+)$", re.MULTILINE)
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
