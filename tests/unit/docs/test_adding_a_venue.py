"""What the guide to venues says is done as it stands there, by whoever has the guide and the examples alone."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from tidemark_paper import PACKAGE

from streams.settings import load_settings
from tests.support.installing import announced
from tests.support.server import ROOT
from tidemark.venue import E18
from tidemark.venue_testing import GivenInputs, TriedAccount

if TYPE_CHECKING:
    from pathlib import Path

GUIDE = (ROOT / "docs" / "adding-a-venue.md").read_text()


def blocks(language: str) -> list[str]:
    """The blocks of code in a language, without the indent of the list that they stand in."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", GUIDE, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def test_it_sends_nobody_to_files_that_an_installed_user_has_not() -> None:
    named = set(re.findall(r"`((?:[\w-]+/)+[\w.-]*)[^`]*`", GUIDE))
    elsewhere = {one for one in named if one.split("/")[0] in {"models", "streams", "api", "tests", "bench"}}

    assert not elsewhere
    assert [] == [one for one in named if one.startswith("examples/") and not (ROOT / one).exists()]


@pytest.mark.parametrize("block", blocks("python"))
def test_its_code_runs(block: str) -> None:
    exec(compile(block, "adding-a-venue.md", "exec"), {})


def test_its_entry_points_are_those_of_the_examples() -> None:
    said = {
        (group, name): value
        for block in blocks("toml")
        for group, entries in tomllib.loads(block).get("project", {}).get("entry-points", {}).items()
        for name, value in entries.items()
    }
    files = [*(ROOT / "examples").glob("*/pyproject.toml")]
    offered = {
        (group, name): value
        for file in files
        for group, entries in tomllib.loads(file.read_text())["project"]["entry-points"].items()
        for name, value in entries.items()
    }

    assert said.items() <= offered.items()
    assert {"tidemark.venues", "tidemark.dialects", "tidemark.topics", "tidemark.prices", "tidemark.ingest"} == {
        group for group, _ in said
    }
    for value in offered.values():
        module, _, name = value.partition(":")
        assert hasattr(import_module(module), name)


def test_the_configuration_to_try_it_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = (one for one in blocks("toml") if "[sources.hand]" in one)
    file = tmp_path / "game.toml"
    file.write_text(block)
    monkeypatch.setenv("TIDEMARK_CONFIG", str(file))
    prices = ("tidemark.prices", "price-file", "tidemark_plaintext.price_file:PRICES")
    with announced(tmp_path / "site", monkeypatch, ("tidemark.venues", "paper", "tidemark_paper:PACKAGE"), prices):
        settings = load_settings()

    assert ("paper", "price-file") == (settings.deployments["game"].kind, settings.sources["hand"].kind)


def test_the_records_to_try_it_come_to_what_is_said_of_them() -> None:
    (prices,) = re.findall(r"`echo '(.*?)' > prices.json`", GUIDE)
    (upnl,) = re.findall(r"answers with a uPnL of (\d+)", GUIDE)
    lines = [line.strip().partition(" ") for line in GUIDE.splitlines() if line.strip().startswith("game:")]
    account = TriedAccount(PACKAGE.venue)
    account.say(*(record.encode() for _, _, record in lines))

    assert {"game:Ann"} == {key for key, _, _ in lines}
    assert str(int(upnl) * E18) == account.value(GivenInputs(json.loads(prices)))["upnl"]
