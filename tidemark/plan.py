"""What the local stack runs for a configuration: effective settings and the command of each process."""

from __future__ import annotations

import gzip
import json
import sys
from typing import TYPE_CHECKING, Any

from models.errors import TidemarkError
from streams.settings import DeploymentSettings, Settings, SourceSettings
from tidemark.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DEFAULT_SOURCE = "binance-futures"
DEMO = "demo"
RECORDED = "recorded"
_TIDEMARK = (sys.executable, "-m", "tidemark.cli")


class BadRecording(TidemarkError):
    """A directory does not hold the recordings ``tidemark up --recorded`` plays."""


def with_demo(settings: Settings, said: str) -> Settings:
    """Point the settings at the simulator that ``said`` this line of JSON on its start."""
    urls: dict[str, Any] = json.loads(said)
    rpc = urls["rpc"] if isinstance(urls["rpc"], list) else [urls["rpc"]]
    deployment = DeploymentSettings.model_validate({**urls["deployment"], "rpc": rpc})
    source = SourceSettings(websocket=urls["websocket"], rest=urls["rest"])
    return settings.model_copy(update={"deployments": {DEMO: deployment}, "sources": {DEFAULT_SOURCE: source}})


def with_recording(settings: Settings, directory: Path) -> tuple[Settings, str]:
    """Return settings that have the deployment whose logs ``directory`` holds, and that deployment's name.

    Raises:
        BadRecording: There is no raw log file, or it does not say of what Diamond it is.
    """
    logs = directory / "symmio" / "logs.json.gz"
    try:
        with gzip.open(logs) as stream:
            recording: dict[str, Any] = json.load(stream)
        chain_id, diamond = int(recording["chainId"]), str(recording["diamond"]).lower()
    except (OSError, ValueError, KeyError) as error:
        msg = f"expected raw logs with a chainId and a diamond in {logs}, found none: {error}"
        raise BadRecording(msg) from error
    for name, deployment in settings.deployments.items():
        if (deployment.chain_id, deployment.diamond) == (chain_id, diamond):
            return settings, name
    new = DeploymentSettings.model_validate({"chain_id": chain_id, "diamond": diamond})
    return settings.model_copy(update={"deployments": {**settings.deployments, RECORDED: new}}), RECORDED


def with_local_defaults(settings: Settings, bootstrap: str) -> Settings:
    """Fill in what a local stack needs: the cluster, a price source, ports that nobody listens on, a full path."""
    worker, api = settings.worker, settings.api
    return settings.model_copy(
        update={
            "kafka": bootstrap,
            "data_dir": settings.data_dir.resolve(),
            "sources": settings.sources or {DEFAULT_SOURCE: SourceSettings()},
            "ingest": settings.ingest.model_copy(update={"admin_port": 0}),
            "worker": worker.model_copy(update={"admin_port": free_port(worker.admin_host, worker.admin_port)}),
            "api": api.model_copy(
                update={
                    "port": free_port(api.host, api.port),
                    "admin_port": free_port(api.admin_host, api.admin_port),
                }
            ),
        }
    )


def commands(settings: Settings, recording: Path | None, recorded_deployment: str | None) -> dict[str, list[str]]:
    """Name and command of each process, in the order of the data's way backwards: readers before writers."""
    wanted = {"api": ["api"], "worker": ["worker"]}
    if recording is not None and recorded_deployment is not None:
        wanted[RECORDED] = ["ingest", "recorded", str(recording.resolve()), "--deployment", recorded_deployment]
    else:
        wanted |= {f"chain-{name}": ["ingest", "chain", name] for name in settings.deployments}
        wanted |= {f"prices-{name}": ["ingest", "prices", name] for name in settings.sources}
    return {name: [*_TIDEMARK, *arguments] for name, arguments in wanted.items()}


def demo_command(data_dir: Path) -> list[str]:
    """Command of the simulator of a chain and a market."""
    directory = data_dir.resolve() / "demo"
    return [
        sys.executable,
        "-m",
        "tidemark.demo",
        "--data-dir",
        str(directory),
        "--state-file",
        str(directory / "state.json"),
    ]


def child_environment(environment: Mapping[str, str], config: Path) -> dict[str, str]:
    """The environment of a process that takes all its settings from ``config``."""
    kept = {name: value for name, value in environment.items() if not name.startswith("TIDEMARK_")}
    return {**kept, "TIDEMARK_CONFIG": str(config), "PYTHONUNBUFFERED": "1", "FAUST_LOOP": "uvloop"}
