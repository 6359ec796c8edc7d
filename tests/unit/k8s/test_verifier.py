"""What `make k8s-verify` calls a fault; the tools and servers that it asks are not run here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jsonschema
import pytest
import yaml
from manifest_schemas import write_schemas
from verify_manifests import _lost, _pod_of

from tests.support.manifests import processes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("sent", "kept", "faults"),
    [
        ({"a": 1}, {"a": 1, "b": "a default"}, []),
        ({"a": {"b": 1}}, {"a": {}}, [".a.b was dropped"]),
        ({"a": [], "b": {}, "c": None}, {}, []),
        ({"a": [1, 2]}, {"a": [1]}, [".a had 2 entries and has 1"]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, [".a[0].b was 1 and is 2"]),
        ({"a": {"b": 1}}, {"a": "b"}, [".a was {'b': 1} and is 'b'"]),
    ],
)
def test_what_a_server_does_not_keep_as_it_was_sent_is_a_fault(sent: object, kept: object, faults: list[str]) -> None:
    assert faults == list(_lost(sent, kept, ""))


def test_the_pod_of_a_set_has_the_volumes_of_its_claims() -> None:
    worker = {**processes()["worker"], "metadata": {"name": "worker", "namespace": "tidemark"}}
    pod = _pod_of(worker)

    assert ("Pod", "worker-0", "tidemark") == (pod["kind"], pod["metadata"]["name"], pod["metadata"]["namespace"])
    claims = [one["name"] for one in pod["spec"]["volumes"] if "persistentVolumeClaim" in one]
    assert ["data"] == claims
    assert "persistentVolumeClaim" not in str(worker["spec"]["template"])


def test_a_key_that_a_definition_does_not_name_is_against_its_schema(tmp_path: Path) -> None:
    crds, schemas = tmp_path / "crds", tmp_path / "schemas"
    crds.mkdir()
    open_table = {"type": "object", "additionalProperties": {"type": "string"}}
    spec = {"type": "object", "properties": {"size": {"type": "integer"}, "any": open_table}}
    definition = {
        "kind": "CustomResourceDefinition",
        "spec": {
            "group": "made.up",
            "names": {"kind": "Thing"},
            "versions": [
                {"name": "v1", "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}}
            ],
        },
    }
    (crds / "thing.yaml").write_text(yaml.safe_dump(definition))

    write_schemas(crds, schemas)
    schema = json.loads((schemas / "thing-made-v1.json").read_text())

    jsonschema.validate({"spec": {"size": 1, "any": {"of": "these"}}}, schema)
    with pytest.raises(jsonschema.ValidationError, match="sise"):
        jsonschema.validate({"spec": {"sise": 1}}, schema)
