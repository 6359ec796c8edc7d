"""What is made of the registry, of access lists and of alert rules is up to date."""

from __future__ import annotations

import runpy
from typing import TYPE_CHECKING

import pytest
import yaml
from click.testing import CliRunner

from streams.kafka.topics import registry
from streams.settings import Settings, TopicSettings
from tests.support.manifests import K8S, OVERLAYS, STRIMZI, container_of, kustomization_of, processes, settings_of
from tidemark.cli import cli
from tidemark.topic_manifests import NoName, topics_yaml

if TYPE_CHECKING:
    from pathlib import Path

MADE: dict[Path, str] = runpy.run_path(str(K8S / "generate.py"))["generated"]()


@pytest.mark.parametrize("path", MADE, ids=lambda path: path.relative_to(K8S).as_posix())
def test_a_file_is_what_is_made_of_its_source(path: Path) -> None:
    assert MADE[path] == path.read_text(), "run make manifests"


def test_every_overlay_whose_kafka_strimzi_manages_has_its_topics_and_users() -> None:
    assert {overlay / name for overlay in STRIMZI for name in ("topics.yaml", "users.yaml")} <= MADE.keys()


def test_every_overlay_has_one_that_creates_its_topics() -> None:
    assert ["topics", "create"] == container_of(processes()["topics-create"])["args"]
    for overlay in OVERLAYS:
        components = kustomization_of(overlay)["components"]
        assert ("../../components/topics-job" in components) == (overlay not in STRIMZI)


@pytest.mark.parametrize("overlay", STRIMZI, ids=lambda overlay: overlay.name)
def test_every_topic_of_the_registry_is_a_resource_with_its_partitions_and_terms(overlay: Path) -> None:
    made = {one["metadata"]["name"]: one["spec"] for one in yaml.safe_load_all((overlay / "topics.yaml").read_text())}
    wanted = {topic.name: topic for topic in registry(settings_of(overlay))}

    assert wanted.keys() == made.keys()
    for name, topic in wanted.items():
        assert {
            "partitions": topic.partitions,
            "replicas": topic.replication_factor,
            "config": topic.config,
        } == made[name]


def test_the_command_prints_what_is_in_the_overlay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_CONFIG", str(STRIMZI[0] / "tidemark.toml"))
    printed = CliRunner().invoke(cli, ["topics", "list", "--strimzi", "tidemark"])

    assert 0 == printed.exit_code, printed.output
    assert (STRIMZI[0] / "topics.yaml").read_text().endswith(printed.output)


def test_a_prefix_that_kubernetes_takes_for_no_name_is_refused() -> None:
    topics = registry(Settings(topics=TopicSettings(prefix="Main_")))

    with pytest.raises(NoName, match=r"topics\.prefix"):
        topics_yaml(topics, "tidemark")
