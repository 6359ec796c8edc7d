"""How commands find the local stack that runs beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from streams.settings import ApiSettings, BadSettings, Settings, SymmioSettings
from tidemark import local_stack as module
from tidemark.cli import cli
from tidemark.config_text import effective_toml
from tidemark.local_stack import AlreadyUp, StillStarting, alone_in, api_url, config_of, settings_here

if TYPE_CHECKING:
    from pathlib import Path

DEMO = SymmioSettings(chain_id=31_337, diamond="0x" + "ab" * 20)
STACK = Settings(kafka="127.0.0.1:23456", deployments={"demo": DEMO}, api=ApiSettings(host="127.0.0.1", port=23_457))


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data directory of the configuration."""
    monkeypatch.setenv("TIDEMARK_DATA_DIR", str(tmp_path))
    return tmp_path


def write(data_dir: Path, stack: Settings = STACK) -> None:
    config_of(data_dir).write_text(effective_toml(stack, reveal_secrets=True))


def test_a_stack_that_runs_here_is_found_with_its_broker_its_deployments_and_its_ports(data_dir: Path) -> None:
    with alone_in(data_dir):
        write(data_dir)
        found = settings_here()
        url = api_url(None)

    assert ("127.0.0.1:23456", ["demo"]) == (found.kafka, list(found.deployments))
    assert "http://127.0.0.1:23457" == url


def test_what_the_environment_said_when_the_stack_started_does_not_change_what_is_found(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_API__PORT", "0")
    with alone_in(data_dir):
        write(data_dir)
        assert "http://127.0.0.1:23457" == api_url(None)


def test_a_stack_that_has_ended_is_not_found(data_dir: Path) -> None:
    with alone_in(data_dir):
        write(data_dir)

    assert settings_here().kafka is None
    assert "http://127.0.0.1:8080" == api_url(None)


def test_what_an_earlier_stack_left_is_not_taken_for_that_of_one_that_starts(data_dir: Path) -> None:
    with alone_in(data_dir):
        write(data_dir)
    with alone_in(data_dir), pytest.raises(StillStarting, match="try again in some seconds"):
        settings_here()


def test_a_kafka_that_is_set_and_deployments_that_the_stack_has_not_are_not_replaced(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with alone_in(data_dir):
        write(data_dir)
        with monkeypatch.context() as own:
            own.setenv("TIDEMARK_KAFKA", "kafka-1:9092")
            assert "kafka-1:9092" == settings_here().kafka
        monkeypatch.setenv("TIDEMARK_DEPLOYMENTS", f'{{"mine": {{"chain_id": 1, "diamond": "0x{"ab" * 20}"}}}}')
        assert ["mine"] == list(settings_here().deployments)


def test_a_url_that_is_given_is_taken_and_one_that_cannot_be_known_is_asked_for(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with alone_in(data_dir):
        write(data_dir)
        assert "http://elsewhere:1" == api_url("http://elsewhere:1/")
    monkeypatch.setenv("TIDEMARK_API__PORT", "0")
    with pytest.raises(BadSettings, match="give --url"):
        api_url(None)


@pytest.mark.parametrize(
    ("host", "reached"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("", "127.0.0.1"), ("10.0.0.7", "10.0.0.7")]
)
def test_a_server_on_every_address_is_reached_on_the_loopback(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, host: str, reached: str
) -> None:
    del data_dir
    monkeypatch.setenv("TIDEMARK_API__HOST", host)
    assert f"http://{reached}:8080" == api_url(None)


def test_two_stacks_do_not_run_in_one_data_directory(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.0)
    with alone_in(data_dir), pytest.raises(AlreadyUp, match=f"works in {data_dir}"), alone_in(data_dir):
        pass


@pytest.mark.parametrize("command", [["audit"], ["topics", "create"]])
def test_commands_without_a_stack_say_where_they_looked_for_one(data_dir: Path, command: list[str]) -> None:
    result = CliRunner().invoke(cli, command)

    assert isinstance(result.exception, BadSettings)
    assert "tidemark up" in str(result.exception)
    assert str(data_dir) in str(result.exception)


def test_topics_are_listed_under_the_names_of_the_stack_that_runs_here(data_dir: Path) -> None:
    prefixed = STACK.model_copy(update={"topics": STACK.topics.model_copy(update={"prefix": "demo-"})})
    with alone_in(data_dir):
        write(data_dir, prefixed)
        said = CliRunner().invoke(cli, ["topics", "list"]).output

    assert said.startswith("demo-price-ticks ")
