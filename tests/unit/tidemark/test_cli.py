from __future__ import annotations

import errno
import os
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from models.errors import BadRow, Superseded
from streams.kafka.topics import registry
from streams.process.faults import EXIT_SUPERSEDED
from streams.settings import BadSettings, Settings
from tidemark import cli as cli_module
from tidemark.cli import cli, main

DEPLOYMENT = f'{{"d": {{"chain_id": 1, "diamond": "0x{"ab" * 20}", "funding": {{"party_b": "0x{"cd" * 20}"}}}}}}'


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


def test_help_names_every_command_and_shows_how_to_begin(runner: CliRunner) -> None:
    result = runner.invoke(cli, ["--help"])
    assert 0 == result.exit_code, result.output
    for said in (
        "up",
        "worker",
        "ingest",
        "api",
        "topics",
        "token",
        "top",
        "watch",
        "fold",
        "flash",
        "audit",
        "config",
        "doctor",
        "tidemark --config tidemark.toml up",
    ):
        assert said in result.output


@pytest.mark.parametrize(
    "command",
    [
        ["up"],
        ["worker"],
        ["api"],
        ["ingest"],
        ["ingest", "prices"],
        ["ingest", "chain"],
        ["topics"],
        ["token", "issue"],
        ["config", "show"],
    ],
)
def test_help_of_a_command_says_what_it_does(runner: CliRunner, command: list[str]) -> None:
    result = runner.invoke(cli, [*command, "--help"])
    assert 0 == result.exit_code, result.output
    assert len(result.output) > 150


def test_an_unknown_command_is_refused(runner: CliRunner) -> None:
    result = runner.invoke(cli, ["upp"])
    assert 2 == result.exit_code
    assert "No such command 'upp'" in result.output


def test_the_file_given_is_in_effect_and_shown(runner: CliRunner, tmp_path: Path) -> None:
    path = tmp_path / "tidemark.toml"
    path.write_text("epoch = 7\n[api]\nport = 8181\n")
    result = runner.invoke(cli, ["--config", str(path), "config", "show"])
    shown = tomllib.loads(result.output)
    assert (7, 8181, 8) == (shown["epoch"], shown["api"]["port"], shown["topics"]["partitions"])


def test_every_topic_is_listed_with_its_partitions_retention_and_key(runner: CliRunner) -> None:
    lines = runner.invoke(cli, ["topics", "list"]).output.splitlines()
    assert len(registry(Settings())) == len(lines)
    said = ["price-ticks", "8", "partitions", "for", "7", "days", "archived", "key", "source:symbol"]
    assert said == lines[0].split()
    assert "newest of each key" in next(line for line in lines if "accounts-changelog" in line)


@pytest.mark.parametrize("command", [["list"], ["acls"], ["list", "--strimzi", "t"], ["acls", "--strimzi", "t"]])
def test_topics_and_rights_that_are_left_out_for_want_of_a_package_are_named_beside_the_output(
    runner: CliRunner, tmp_path: Path, command: list[str]
) -> None:
    path = tmp_path / "tidemark.toml"
    path.write_text('[deployments.game]\nkind = "nowhere-installed"\n')
    without = runner.invoke(cli, ["topics", *command])

    result = runner.invoke(cli, ["--config", str(path), "topics", *command])

    assert 0 == result.exit_code
    assert without.stdout == result.stdout
    assert "left out" in result.stderr
    assert "deployment game" in result.stderr
    assert "nowhere-installed" in result.stderr
    assert "" == without.stderr


def test_what_needs_a_cluster_says_so_without_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["tidemark", "topics", "create"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert 2 == ended.value.code
    said = capsys.readouterr().err
    assert "TIDEMARK_KAFKA" in said
    assert "Traceback" not in said


def test_a_directory_without_a_recording_is_refused_before_anything_is_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEMARK_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("sys.argv", ["tidemark", "up", "--recorded", str(tmp_path)])
    monkeypatch.setattr("tidemark.up.Broker", _never)
    with pytest.raises(SystemExit) as ended:
        main()
    assert 2 == ended.value.code
    assert "logs.json.gz" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def _never(*_: object) -> None:
    pytest.fail("a broker was made")


def test_several_refusals_at_once_are_each_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        msg = "tasks"
        raise ExceptionGroup(msg, [BadRow("one"), ExceptionGroup(msg, [BadSettings("two")])])

    monkeypatch.setattr(cli_module, "cli", refuse)
    with pytest.raises(SystemExit) as ended:
        main()
    assert 2 == ended.value.code
    assert "tidemark: one\ntidemark: two\n" == capsys.readouterr().err


def test_a_fault_among_refusals_keeps_its_traceback_and_ends_with_70(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        msg = "tasks"
        raise ExceptionGroup(msg, [BadRow("one"), RuntimeError("a fault")])

    monkeypatch.setattr(cli_module, "cli", fail)
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert 70 == ended.value.code
    assert "Traceback" in said
    assert said.endswith("\ntidemark: a fault ended the process: BadRow: one; RuntimeError: a fault\n")


@pytest.mark.parametrize("command", ["worker", "api", "funder", "ingest chain d", "ingest prices v"])
def test_whatever_ends_a_process_its_last_line_names_the_cause_and_the_code_is_70(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    def full(_: str) -> str:
        raise OSError(errno.ENOSPC, "No space left on device", "store")

    monkeypatch.setenv("TIDEMARK_KAFKA", "127.0.0.1:1")
    monkeypatch.setenv("TIDEMARK_DEPLOYMENTS", DEPLOYMENT)
    monkeypatch.setattr("tidemark.kafka.require_broker", full)
    monkeypatch.setattr("sys.argv", ["tidemark", *command.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    last = capsys.readouterr().err.splitlines()[-1]
    assert (70, "tidemark: a fault ended the process: OSError: [Errno 28] No space left on device: 'store'") == (
        ended.value.code,
        last,
    )


def test_a_fault_on_a_disk_that_is_full_for_the_log_too_has_its_own_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stderr", full)
        monkeypatch.setattr(cli_module, "cli", fail)
        with pytest.raises(SystemExit) as ended:
            main()
        # What could not be written is dropped, or closing the file would try again.
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())
    assert 70 == ended.value.code


def test_who_was_superseded_ends_with_a_code_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def superseded() -> None:
        msg = "work"
        raise ExceptionGroup(msg, [ExceptionGroup("more", [Superseded("another one took over")])])

    monkeypatch.setattr(cli_module, "cli", superseded)
    with pytest.raises(SystemExit) as ended:
        main()
    assert EXIT_SUPERSEDED == ended.value.code
