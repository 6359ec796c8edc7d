from __future__ import annotations

import gzip
import json
import socket
from typing import TYPE_CHECKING

import pytest

from streams.settings import ApiSettings, DeploymentSettings, Settings, SourceSettings
from tidemark.plan import (
    BadRecording,
    child_environment,
    commands,
    with_demo,
    with_local_defaults,
    with_recording,
)
from tidemark.ports import any_free_port, is_free

if TYPE_CHECKING:
    from pathlib import Path

DIAMOND = "0x" + "ab" * 20
DEPLOYMENT = DeploymentSettings(chain_id=31337, diamond=DIAMOND)
SAID = json.dumps(
    {
        "rpc": ["http://127.0.0.1:1", "ws://127.0.0.1:1"],
        "websocket": "ws://127.0.0.1:2",
        "rest": "http://127.0.0.1:2",
        "deployment": {
            "chain_id": 31337,
            "diamond": DIAMOND,
            "multi_accounts": [],
            "hedgers": [DIAMOND],
            "start_block": 1,
            "finality_depth": 5,
        },
    }
)


def test_the_demo_is_one_deployment_and_one_source_at_the_addresses_it_said() -> None:
    settings = with_demo(Settings(), SAID)
    deployment = settings.deployments["demo"]
    assert ["http://127.0.0.1:1", "ws://127.0.0.1:1"] == [url.get_secret_value() for url in deployment.rpc]
    assert (31337, DIAMOND, 5) == (deployment.chain_id, deployment.diamond, deployment.finality_depth)
    assert "ws://127.0.0.1:2" == settings.sources["binance-futures"].websocket


def test_each_deployment_and_each_source_is_a_process_beside_one_worker_and_one_api() -> None:
    settings = Settings(deployments={"a": DEPLOYMENT, "b": DEPLOYMENT}, sources={"venue": SourceSettings()})
    planned = {name: command[3:] for name, command in commands(settings, None, None).items()}
    assert {
        "api": ["api"],
        "worker": ["worker"],
        "chain-a": ["ingest", "chain", "a"],
        "chain-b": ["ingest", "chain", "b"],
        "prices-venue": ["ingest", "prices", "venue"],
    } == planned


def test_a_recording_takes_the_place_of_the_connectors(tmp_path: Path) -> None:
    _record(tmp_path, {"chainId": 31337, "diamond": DIAMOND.upper().replace("X", "x")})
    settings, name = with_recording(Settings(), tmp_path)
    assert DEPLOYMENT == settings.deployments[name]
    planned = commands(settings, tmp_path, name)
    assert ["api", "worker", "recorded"] == list(planned)
    assert ["ingest", "recorded", str(tmp_path), "--deployment", name] == planned["recorded"][3:]


def test_a_recording_of_a_configured_deployment_is_played_as_that_one(tmp_path: Path) -> None:
    _record(tmp_path, {"chainId": 31337, "diamond": DIAMOND})
    settings = Settings(deployments={"mine": DEPLOYMENT})
    assert (settings, "mine") == with_recording(settings, tmp_path)


@pytest.mark.parametrize("content", [None, {"chainId": 1}, {"diamond": DIAMOND, "chainId": "x"}])
def test_a_directory_without_a_recording_is_refused(tmp_path: Path, content: dict[str, object] | None) -> None:
    if content is not None:
        _record(tmp_path, content)
    with pytest.raises(BadRecording, match=r"logs\.json\.gz"):
        with_recording(Settings(), tmp_path)


def test_a_taken_port_is_exchanged_for_a_free_one_and_a_free_one_is_kept(tmp_path: Path) -> None:
    free = any_free_port("127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings(data_dir=tmp_path, api=ApiSettings(port=port, admin_port=free))
        local = with_local_defaults(settings, "127.0.0.1:9092")
    assert port != local.api.port
    assert is_free("127.0.0.1", local.api.port)
    assert free == local.api.admin_port
    assert "127.0.0.1:9092" == local.kafka


def test_a_child_takes_its_settings_from_the_file_alone(tmp_path: Path) -> None:
    environment = child_environment({"PATH": "/bin", "TIDEMARK_API__PORT": "1"}, tmp_path / "effective.toml")
    assert {
        "PATH": "/bin",
        "TIDEMARK_CONFIG": str(tmp_path / "effective.toml"),
        "PYTHONUNBUFFERED": "1",
        "FAUST_LOOP": "uvloop",
    } == environment


def _record(directory: Path, content: dict[str, object]) -> None:
    (directory / "symmio").mkdir()
    with gzip.open(directory / "symmio" / "logs.json.gz", "wt") as stream:
        json.dump(content, stream)
