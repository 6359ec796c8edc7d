"""The ingest of a venue is found by the venue's kind, by the command line and by the local stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from tidemark_paper import PACKAGE

from streams.settings import Settings, SymmioSettings
from streams.settings.installed import BadPackage
from tests.support.installing import announced
from tidemark.cli import cli
from tidemark.ingest_kinds import ingest_of
from tidemark.plan import commands

if TYPE_CHECKING:
    from pathlib import Path

INGEST = ("tidemark.ingest", "paper", "tidemark_plaintext.paper_file:INGEST")
GAME = PACKAGE.settings(kind="paper")
CHAIN = SymmioSettings(chain_id=1, diamond="0x" + "d" * 40)


def ingests(settings: Settings) -> dict[str, list[str]]:
    return {name: command[3:] for name, command in commands(settings, None, None).items() if command[3] == "ingest"}


def test_a_venue_without_an_ingest_needs_no_process_of_it() -> None:
    settings = Settings(deployments={"game": GAME, "main": CHAIN})
    assert {"chain-main": ["ingest", "chain", "main"]} == ingests(settings)


def test_the_ingest_of_a_package_is_a_command_and_a_process_for_each_deployment_of_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with announced(tmp_path, monkeypatch, INGEST):
        settings = Settings(deployments={"game": GAME, "main": CHAIN, "other-game": GAME})
        assert {
            "paper-game": ["ingest", "paper", "game"],
            "chain-main": ["ingest", "chain", "main"],
            "paper-other-game": ["ingest", "paper", "other-game"],
        } == ingests(settings)
        listed = CliRunner().invoke(cli, ["ingest", "--help"]).output
        assert all(f"\n  {name} " in listed for name in ("prices", "recorded", "chain", "paper"))
        assert "--file" in CliRunner().invoke(cli, ["ingest", "paper", "--help"]).output


def test_a_command_of_a_kind_that_is_not_installed_is_none() -> None:
    assert "No such command 'paper'" in CliRunner().invoke(cli, ["ingest", "paper", "game"]).output
    # It is called by what it follows.
    assert "No such command 'symmio'" in CliRunner().invoke(cli, ["ingest", "symmio", "main"]).output


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ((INGEST, ("tidemark.ingest", "paper", "another:INGEST")), "uninstall all but one"),
        ((("tidemark.ingest", "paper", "tidemark_plaintext.paper_file:paper"),), "expected a IngestPackage"),
        ((("tidemark.ingest", "paper", "no_such_module:INGEST"),), "expected to import no_such_module:INGEST"),
        ((("tidemark.ingest", "game", "tidemark_plaintext.paper_file:INGEST"),), "of kind 'game'"),
    ],
)
def test_what_cannot_be_used_is_refused_and_says_why(
    entries: tuple[tuple[str, str, str], ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with announced(tmp_path, monkeypatch, *entries), pytest.raises(BadPackage, match=said):
        ingest_of(entries[0][1])
