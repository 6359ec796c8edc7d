"""Makes schemas that kubeconform can read, of the operators' definitions and of Kubernetes' own kinds, all strict."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path


def definitions(directory: Path) -> list[dict[str, Any]]:
    """Every CustomResourceDefinition in a directory."""
    documents = [one for path in sorted(directory.glob("*.yaml")) for one in yaml.safe_load_all(path.read_text())]
    return [one for one in documents if one and one["kind"] == "CustomResourceDefinition"]


def write_schemas(crds: Path, target: Path) -> None:
    """Write a schema for each version of each definition, in which a key that it does not name is an error."""
    target.mkdir(exist_ok=True)
    for crd in definitions(crds):
        kind, group = crd["spec"]["names"]["kind"].lower(), crd["spec"]["group"].partition(".")[0]
        for version in crd["spec"]["versions"]:
            schema = _strict(version["schema"]["openAPIV3Schema"])
            # What every kind has is checked by the schemas of Kubernetes' own kinds.
            schema["properties"]["metadata"] = {"type": "object"}
            (target / f"{kind}-{group}-{version['name']}.json").write_text(json.dumps(schema))


def _strict(schema: Any) -> Any:  # noqa: ANN401 - a piece of JSON
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _strict(value) for key, value in schema.items()}
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not is_open:
        made["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    if "format" in made and made["format"] not in {"date-time", "uri"}:
        del made["format"]
    return made


def write_core_schemas(source: Path, target: Path, kinds: set[tuple[str, str]]) -> None:
    """Write the schemas of Kubernetes' own kinds, each with the definitions that it refers to, which kubeconform wants.

    Args:
        source: The folder of one version of kubernetes-validate's strict schemas.
        target: Where they are written.
        kinds: Each kind's ``apiVersion`` and name.
    """
    target.mkdir(parents=True, exist_ok=True)
    shared = json.loads((source / "_definitions.json").read_text())["$defs"]
    for api_version, kind in kinds:
        group, _, version = api_version.rpartition("/")
        name = "-".join([kind.lower(), *([group.partition(".")[0]] if group else []), version])
        text = (source / f"{name}.json").read_text().replace("/api/_definitions.json#/", "#/")
        schema = {**json.loads(text), "$defs": shared}
        # They name a place that nothing can be fetched from, and a dialect of their own.
        for key in ("$id", "$schema"):
            schema.pop(key, None)
        (target / f"{name}.json").write_text(json.dumps(schema))
