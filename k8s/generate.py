"""Writes what is made of other files: each overlay's topics and users, and the alert rules as an operator's resource.

``python k8s/generate.py`` (``make manifests``) writes them; tests compare them with what is there.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from streams.kafka.access import grants
from streams.kafka.topics import registry
from streams.settings import settings_of_file
from tidemark.acl_text import strimzi_users
from tidemark.topic_manifests import topics_yaml

K8S = Path(__file__).parent
RULES = K8S.parent / "docker" / "prometheus" / "rules.yaml"
# The name of the Kafka resource in components/strimzi-cluster.
CLUSTER = "tidemark"


def generated() -> dict[Path, str]:
    """The text of every file that is made of others."""
    files = {}
    for kustomization in sorted(K8S.glob("overlays/*/kustomization.yaml")):
        # Where Strimzi manages no Kafka, a Job of ours creates the topics.
        if "strimzi-cluster" not in kustomization.read_text():
            continue
        overlay = kustomization.parent
        settings = settings_of_file(overlay / "tidemark.toml")
        files[overlay / "topics.yaml"] = _headed(
            f"tidemark.toml, as by `tidemark topics list --strimzi {CLUSTER}`", topics_yaml(registry(settings), CLUSTER)
        )
        users = strimzi_users(grants(settings), CLUSTER, "scram-sha-512")
        files[overlay / "users.yaml"] = _headed(
            f"tidemark.toml, as by `tidemark topics acls --strimzi {CLUSTER}`",
            yaml.safe_dump_all(users, sort_keys=False),
        )
    rules = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "tidemark"},
        "spec": yaml.safe_load(RULES.read_text()),
    }
    text = yaml.safe_dump(rules, sort_keys=False, width=1_000)
    return files | {K8S / "components" / "monitoring" / "rules.yaml": _headed("docker/prometheus/rules.yaml", text)}


def _headed(source: str, text: str) -> str:
    return f"# Made of {source}; `make manifests` writes it anew.\n{text}"


def main() -> None:
    """Write every file."""
    for path, text in generated().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
