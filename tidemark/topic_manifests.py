"""Writes the topic registry as resources of Strimzi's operator, which then creates and keeps the topics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from models.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.kafka.topics import Topic

_API = "kafka.strimzi.io/v1"
# What Kubernetes takes for a name.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


class NoName(TidemarkError):
    """A topic's name is none that Kubernetes takes. Choose another ``topics.prefix``."""


def topics_yaml(topics: Iterable[Topic], cluster: str) -> str:
    """Write a ``KafkaTopic`` for each topic, as a stream of YAML documents.

    Args:
        topics: The registry.
        cluster: The name of the ``Kafka`` resource that they are of.

    Raises:
        NoName: A topic cannot be named so.
    """
    return yaml.safe_dump_all((_topic(one, cluster) for one in topics), sort_keys=False)


def _topic(topic: Topic, cluster: str) -> dict[str, Any]:
    if not _NAME.fullmatch(topic.name):
        msg = f"expected a topic's name of a-z, 0-9, - and ., found {topic.name!r}; choose another topics.prefix"
        raise NoName(msg)
    return {
        "apiVersion": _API,
        "kind": "KafkaTopic",
        "metadata": {"name": topic.name, "labels": {"strimzi.io/cluster": cluster}},
        "spec": {
            "partitions": topic.partitions,
            "replicas": topic.replication_factor,
            "config": dict(sorted(topic.config.items())),
        },
    }
