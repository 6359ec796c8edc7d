"""Checks that need no cluster: schemas, policies, the Dockerfile, compose.yaml, alert rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml
from manifest_schemas import write_core_schemas, write_schemas
from tool_cache import CACHE, HERE, ROOT, NoTool, run

if TYPE_CHECKING:
    from pathlib import Path

    from tool_cache import Tools

# The oldest release that Strimzi 1.2 runs on, and the newest that schemas are at hand for.
VERSIONS = ("1.30.0", "1.37.0")
# Kinds that are not Kubernetes' own have schemas of their operators.
_OPERATORS = ("kafka.strimzi.io", "keda.sh", "gateway.networking.k8s.io", "monitoring.coreos.com")


def check_rendered(tools: Tools, rendered: Path) -> list[str]:
    """Hold a rendered overlay against schemas and policies, and return the faults that were found."""
    schemas = CACHE / "schemas"
    write_schemas(tools.crds, schemas)
    own = rendered.with_suffix(".core.yaml")
    documents = [one for one in yaml.safe_load_all(rendered.read_text()) if one]
    of_core = [one for one in documents if not one["apiVersion"].startswith(_OPERATORS)]
    own.write_text(yaml.safe_dump_all(of_core))
    kinds = {(one["apiVersion"], one["kind"]) for one in of_core}
    commands: dict[str, list[object]] = {}
    for version in VERSIONS:
        core = CACHE / f"core-{version}"
        write_core_schemas(tools.core_schemas / f"v{version}-local-strict", core, kinds)
        name = "{{.ResourceKind}}{{.KindSuffix}}.json"
        commands[f"kubeconform {version}"] = [
            tools.bin / "kubeconform",
            *("-strict", "-summary", "-kubernetes-version", version),
            *("-schema-location", f"{core}/{name}", "-schema-location", f"{schemas}/{name}", rendered),
        ]
        commands[f"kubernetes-validate {version}"] = [
            *(tools.python / "bin" / "kubernetes-validate", "--strict", "--quiet", "-k", version.rpartition(".")[0]),
            own,
        ]
    checkov: list[object] = [
        tools.python / "bin" / "checkov",
        "--config-file",
        HERE / "checkov.yaml",
        "--framework",
        "kubernetes",
    ]
    commands["checkov"] = [*checkov, "-f", rendered]
    return [fault for name, command in commands.items() if (fault := _fault(name, command)) is not None]


def check_docker(tools: Tools) -> list[str]:
    """Check images, compose.yaml and alert rules, and return the faults that were found."""
    docker, python = ROOT / "docker", tools.python / "bin"
    promtool = tools.bin / "promtool"
    prometheus = docker / "prometheus"
    commands: dict[str, list[object]] = {
        "hadolint": [python / "hadolint", "-c", docker / ".hadolint.yaml", docker / "Dockerfile"],
        "checkov": [
            *(python / "checkov", "--config-file", HERE / "checkov.yaml", "--framework", "dockerfile"),
            *("-f", docker / "Dockerfile"),
        ],
        "compose schema": [
            *(python / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", docker / "compose.yaml"),
        ],
        "promtool config": [promtool, "check", "config", prometheus / "prometheus.yaml"],
        "amtool config": [tools.bin / "amtool", "check-config", docker / "alertmanager" / "alertmanager.yaml"],
        "promtool rules": [promtool, "check", "rules", prometheus / "rules.yaml"],
        "promtool tests": [promtool, "test", "rules", *sorted(prometheus.glob("*.test.yaml"))],
    }
    return [fault for name, command in commands.items() if (fault := _fault(name, command)) is not None]


def _fault(name: str, command: list[object]) -> str | None:
    try:
        run(command)
    except NoTool as error:
        return f"{name}: {error}"
    return None
