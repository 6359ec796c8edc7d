"""What compose.yaml says of processes, ports, settings and probes is so. Nothing is started here."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.settings import BinanceSource, Settings, settings_of_file, symmio_deployments
from tests.support.command_line import unknown_in
from tests.support.images import PORTS
from tidemark.broker.jars import POM
from tidemark.demo.server import DemoServer, load_state

DOCKER = Path(__file__).parents[3] / "docker"
CONFIGURED = DOCKER / "tidemark.demo.toml"
NAMES = ("topics", "ingest-chain", "ingest-prices", "worker-0", "worker-1", "history", "api", "funder", "webhooks")
ALIVE = [name for name in NAMES if name != "topics"]


@cache
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return loaded


def settings() -> Settings:
    return settings_of_file(CONFIGURED)


def admin_port_of(service: dict[str, Any]) -> int:
    ports = {"worker": settings().worker.admin_port, "api": settings().api.admin_port}
    port = ports.get(service["build"]["target"], settings().ingest.admin_port)
    return int(service.get("environment", {}).get("TIDEMARK_INGEST__ADMIN_PORT", port))


@pytest.mark.parametrize("name", NAMES)
def test_a_service_runs_a_target_of_ours_by_a_command_that_there_is(name: str) -> None:
    service = compose()["services"][name]
    target = service["build"]["target"]

    assert target in PORTS
    before = [] if target == "tools" else [target]
    assert unknown_in([*before, *service.get("command", [])]) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_service_may_write_nothing_of_its_image_and_become_nobody_else(name: str) -> None:
    service = compose()["services"][name]

    assert service["read_only"]
    assert ["ALL"] == service["cap_drop"]
    assert ["no-new-privileges:true"] == service["security_opt"]
    assert "user" not in service


@pytest.mark.parametrize("name", ALIVE)
def test_a_probe_asks_the_port_that_the_service_has(name: str) -> None:
    service = compose()["services"][name]
    asked = re.search(r"127\.0\.0\.1:(\d+)(/\w+)", " ".join(service["healthcheck"]["test"]))

    assert asked is not None
    assert (str(admin_port_of(service)), "/healthz") == asked.groups()


def test_processes_that_share_a_network_have_ports_of_their_own() -> None:
    shared = [compose()["services"][name] for name in ALIVE if "network_mode" in compose()["services"][name]]

    assert len(shared) == len({admin_port_of(one) for one in shared})


def test_variables_of_services_are_settings() -> None:
    names = {
        variable
        for service in compose()["services"].values()
        for variable in service.get("environment", {})
        if variable.startswith("TIDEMARK_")
    }

    assert names
    for name in names:
        section: Any = settings()
        for part in name.removeprefix("TIDEMARK_").lower().split("__"):
            section = section[part] if isinstance(section, dict) else getattr(section, part)


def test_every_process_of_the_configuration_has_a_service() -> None:
    commands = {tuple(one.get("command", ())) for one in compose()["services"].values()}

    assert {("chain", name) for name in settings().deployments} <= commands
    assert {("prices", name) for name in settings().sources} <= commands


def test_prometheus_asks_every_process_also_of_profiles_under_the_name_of_its_image() -> None:
    scraped = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yaml").read_text())["scrape_configs"]
    targets = {
        (target, static["labels"]["component"])
        for job in scraped
        for static in job["static_configs"]
        for target in static["targets"]
    }
    services = {name: compose()["services"][name] for name in ALIVE}
    hosts = {
        name: one.get("network_mode", f"service:{name}").removeprefix("service:") for name, one in services.items()
    }

    assert {
        (f"{hosts[name]}:{admin_port_of(one)}", one["build"]["target"]) for name, one in services.items()
    } == targets


def test_files_that_are_mounted_are_in_the_repository() -> None:
    mounted = [
        volume.partition(":")[0]
        for service in compose()["services"].values()
        for volume in service.get("volumes", ())
        if volume.startswith(".")
    ]

    assert mounted
    assert all((DOCKER / one).exists() for one in mounted)


def test_the_broker_is_of_the_version_that_tests_run() -> None:
    tag = compose()["services"]["kafka"]["image"].partition(":")[2]

    assert f"<version>{tag}</version>" in POM.read_text()


async def test_the_configuration_is_that_of_the_simulator(tmp_path: Path) -> None:
    arguments = compose()["services"]["demo"]["command"]
    ports = int(arguments[-2]), int(arguments[-1])
    said = DemoServer(load_state(tmp_path / "state.json", None, 1_700_000_000, ports)).description
    deployment = symmio_deployments(settings())["demo"]
    source = settings().sources["demo"]
    assert isinstance(source, BinanceSource)

    assert said["rpc"] == [url.get_secret_value() for url in deployment.rpc]
    assert (said["websocket"], said["rest"]) == (source.websocket, source.rest)
    expected = said["deployment"]
    own = deployment.model_dump(include=set(expected), mode="json")
    assert expected["solver"]["open_interest_cap"] == deployment.solver.open_interest_cap
    assert {name: value for name, value in expected.items() if name != "solver"} == {
        name: value for name, value in own.items() if name != "solver"
    }
