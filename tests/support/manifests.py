"""The files of k8s/ as they are written, before kustomize puts them together."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from streams.settings import Settings, settings_of_file

K8S = Path(__file__).parents[2] / "k8s"
OVERLAYS = sorted(path.parent for path in K8S.glob("overlays/*/kustomization.yaml"))
# Those in which Strimzi manages Kafka.
STRIMZI = [overlay for overlay in OVERLAYS if "strimzi-cluster" in (overlay / "kustomization.yaml").read_text()]
_WITH_PODS = {"StatefulSet", "Deployment", "Job", "CronJob"}


@cache
def documents() -> dict[Path, list[Any]]:
    """Every file of base and components, with its documents."""
    files = [path for part in ("base", "components") for path in sorted((K8S / part).rglob("*.yaml"))]
    return {path: [one for one in yaml.safe_load_all(path.read_text()) if one] for path in files}


def resources() -> list[dict[str, Any]]:
    """Every resource; not the files of kustomize itself, nor patches, which are lists."""
    every = [one for many in documents().values() for one in many if isinstance(one, dict)]
    return [one for one in every if "kustomize" not in one["apiVersion"]]


def processes() -> dict[str, dict[str, Any]]:
    """What runs pods, by name."""
    return {one["metadata"]["name"]: one for one in resources() if one["kind"] in _WITH_PODS}


def pod_of(process: dict[str, Any]) -> dict[str, Any]:
    """The pod's spec of what runs pods."""
    pod: dict[str, Any] = process["spec"].get("jobTemplate", process)["spec"]["template"]["spec"]
    return pod


def container_of(process: dict[str, Any]) -> dict[str, Any]:
    """The one container."""
    (container,) = pod_of(process)["containers"]
    return dict(container)


def target_of(process: dict[str, Any]) -> str:
    """Which target of docker/Dockerfile it runs."""
    return str(container_of(process)["image"]).removeprefix("tidemark/")


def kustomization_of(overlay: Path) -> dict[str, Any]:
    """What kustomize is told of an overlay."""
    loaded: dict[str, Any] = yaml.safe_load((overlay / "kustomization.yaml").read_text())
    return loaded


def settings_of(overlay: Path) -> Settings:
    """The configuration of an overlay."""
    return settings_of_file(overlay / "tidemark.toml")
