"""An overlay as kustomize renders it, and what a kubelet would make of it: files, variables and commands of pods."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
_CACHED = ROOT / ".cache" / "k8s-verify" / "bin" / "kustomize"


class NoKustomize(RuntimeError):
    """There is no kustomize on this machine; the message says where it is looked for."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What runs pods: a StatefulSet or a Deployment, with the pod that it makes."""

    kind: str
    name: str
    spec: dict[str, Any]

    @property
    def pod(self) -> dict[str, Any]:
        """The pod's spec."""
        pod: dict[str, Any] = self.spec["template"]["spec"]
        return pod

    @property
    def container(self) -> dict[str, Any]:
        """The one container."""
        (container,) = self.pod["containers"]
        return dict(container)

    @property
    def component(self) -> str:
        """Which part of Tidemark it is, by the label that scraping takes over."""
        return str(self.spec["template"]["metadata"]["labels"]["app.kubernetes.io/component"])

    @property
    def target(self) -> str:
        """Which target of docker/Dockerfile it runs."""
        return str(self.container["image"]).rpartition("/")[2].partition(":")[0]


class Overlay:
    """Everything that an overlay comes to."""

    def __init__(self, documents: list[dict[str, Any]]) -> None:
        self._documents = documents

    @property
    def workloads(self) -> dict[str, Workload]:
        """What runs pods for good, by name."""
        return {
            one["metadata"]["name"]: Workload(one["kind"], one["metadata"]["name"], one["spec"])
            for one in self._documents
            if one["kind"] in {"StatefulSet", "Deployment"}
        }

    @property
    def config(self) -> tuple[str, str]:
        """The name of the ConfigMap that holds tidemark.toml, which ends in a digest, and that file."""
        maps = [one for one in self._documents if one["kind"] == "ConfigMap"]
        (found,) = [one for one in maps if "tidemark.toml" in one["data"]]
        return str(found["metadata"]["name"]), str(found["data"]["tidemark.toml"])


def rendered(overlay: Path) -> Overlay:
    """Render an overlay.

    Raises:
        NoKustomize: There is neither kustomize nor kubectl.
    """
    for command in (["kustomize", "build"], [str(_CACHED), "build"], ["kubectl", "kustomize"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, str(overlay)], check=True, capture_output=True, text=True)
            return Overlay([one for one in yaml.safe_load_all(done.stdout) if one])
    msg = f"expected kustomize or kubectl on PATH, or {_CACHED} as `make k8s-verify` builds it; found none"
    raise NoKustomize(msg)


def image_environment() -> dict[str, str]:
    """The variables that every image sets, but PATH."""
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    base = text[text.index(" AS base") :]
    (line,) = re.findall(r"^ENV (.+)$", base, re.MULTILINE)
    return {name: value for name, _, value in (word.partition("=") for word in line.split()) if name != "PATH"}


def entrypoint(target: str) -> list[str]:
    """The exec-form entry point of an image."""
    text = DOCKERFILE.read_text()
    stage = text[text.index(f" AS {target}\n") :]
    found = re.search(r"^ENTRYPOINT (\[.+\])$", stage, re.MULTILINE)
    assert found is not None, f"no ENTRYPOINT of {target} in {DOCKERFILE}"
    words: list[str] = json.loads(found[1])
    return words


class Namespace(NamedTuple):
    """The files of ConfigMaps and the keys of secrets, by name."""

    config: Mapping[str, Mapping[str, str]]
    secrets: Mapping[str, Mapping[str, str]]


class Mounts:
    """The volumes of a pod as directories below one of its own, where no container gives it paths of its own."""

    def __init__(self, directory: Path, workload: Workload) -> None:
        self._workload = workload
        self._places: dict[str, Path] = {
            one["mountPath"]: directory / one["name"] for one in workload.container.get("volumeMounts", [])
        }
        self._volumes = {one["name"]: one for one in workload.pod.get("volumes", [])}
        self._names: dict[str, str] = {
            one["name"]: one["mountPath"] for one in workload.container.get("volumeMounts", [])
        }

    def place(self, name: str) -> Path:
        """Where a volume is."""
        return self._places[self._names[name]]

    def here(self, text: str) -> str:
        """The same text with every path below a mount as it is on this machine."""
        mounts = "|".join(map(re.escape, sorted(self._places, key=len, reverse=True)))
        return re.sub(rf"(?<![\w/])({mounts})(?![\w-])", lambda found: str(self._places[found[1]]), text)

    def fill(self, config: Mapping[str, Mapping[str, str]], secrets: Mapping[str, Mapping[str, str]]) -> None:
        """Make every volume, with the files that its ConfigMap and secrets have; claims keep what they hold."""
        for name in self._names:
            self.place(name).mkdir(parents=True, exist_ok=True)
            for file, text in _files(self._volumes.get(name, {}), config, secrets).items():
                (self.place(name) / file).write_text(self.here(text))


def _files(
    volume: dict[str, Any], config: Mapping[str, Mapping[str, str]], secrets: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    if "configMap" in volume:
        return dict(config[volume["configMap"]["name"]])
    if "secret" in volume:
        return dict(secrets[volume["secret"]["secretName"]])
    files: dict[str, str] = {}
    for source in volume.get("projected", {}).get("sources", ()):
        held = secrets[source["secret"]["name"]]
        files |= {item["path"]: held[item["key"]] for item in source["secret"]["items"]}
    return files


def variables(container: dict[str, Any], pod_name: str, secrets: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The environment of a container as its manifest says it.

    Args:
        container: The container.
        pod_name: The pod's name, by which a worker is a static member of its group.
        secrets: What secrets hold.
    """
    found = {}
    for one in container.get("env", []):
        source = one.get("valueFrom")
        if source is None:
            found[one["name"]] = one["value"]
        elif "secretKeyRef" in source:
            found[one["name"]] = secrets[source["secretKeyRef"]["name"]][source["secretKeyRef"]["key"]]
        else:
            assert source == {"fieldRef": {"fieldPath": "metadata.name"}}, source
            found[one["name"]] = pod_name
    return found
