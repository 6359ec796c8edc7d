"""The example notebook shows what its cells come to, over data that is in the repository."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streams.replay.captured_log import CapturedLog
from tests.support.notebooks import outputs_of, read_notebook
from tests.support.replaying import EXAMPLE, write_example
from tests.support.server import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_every_cell_of_the_notebook_shows_what_is_written_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    notebook = read_notebook(ROOT / "examples" / "replay.ipynb")

    found = outputs_of(notebook)

    assert [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"] == found
    assert any(found)


def test_the_capture_that_it_asks_is_what_the_recorded_chain_comes_to(tmp_path: Path) -> None:
    written = asyncio.run(write_example(tmp_path / "log"))

    assert CapturedLog(EXAMPLE / "log").manifest.digest == CapturedLog(written).manifest.digest
