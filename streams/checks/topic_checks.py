"""Whether the cluster has the topics of the registry, as they are declared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from models.findings import Finding, Verdict, fine
from streams.kafka.admin import opened_admin
from streams.kafka.topics import registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from streams.kafka.topics import Topic
    from streams.settings import Settings


_REPLICAS_OF_WHICH_ONE_MAY_GO = 3
_MORE_IN_SYNC = "set min.insync.replicas=2 on the brokers, or on these with kafka-configs"


async def check_registry(settings: Settings) -> list[Finding]:
    """Compare partitions, replicas and settings of every topic with the registry.

    Raises:
        KafkaError: The broker cannot be reached, or refuses to tell.
    """
    wanted = registry(settings)
    async with opened_admin(settings.bootstrap) as admin:
        there = {one["topic"]: one["partitions"] for one in await admin.describe_topics() if not one["error_code"]}
        known = [topic for topic in wanted if topic.name in there]
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in known]
        answers = await admin.describe_configs(resources) if resources else []
    configs = {
        resource[3]: {entry[0]: entry[1] for entry in resource[4]}
        for answer in answers
        for resource in answer.resources
        if resource[0] == 0
    }
    return [
        _there(wanted, known),
        *(_of_each("partitions", _partitions(known, there), Verdict.WRONG, "set topics.partitions back")),
        *(_of_each("replication", _replication(known, there), Verdict.WARNING, "see to the brokers, or reassign")),
        *(_of_each("acknowledged", acknowledged_by_few(known, configs), Verdict.WARNING, _MORE_IN_SYNC)),
        *(_of_each("topic settings", _settings(known, configs), Verdict.WARNING, "alter them with kafka-configs")),
    ]


def _there(wanted: Sequence[Topic], known: Sequence[Topic]) -> Finding:
    missing = [topic.name for topic in wanted if topic not in known]
    if not missing:
        return fine("topics", f"{len(wanted)} as in the registry")
    found = f"{len(missing)} of {len(wanted)} are missing, or may not be seen: {', '.join(missing)}"
    return Finding("topics", Verdict.WRONG, found, "run `tidemark topics create`, or see `tidemark topics acls`")


def _of_each(check: str, faults: Iterator[str], verdict: Verdict, to_do: str) -> Iterator[Finding]:
    found = list(faults)
    yield Finding(check, verdict, "; ".join(found), to_do) if found else fine(check, "as in the registry")


def _partitions(known: Sequence[Topic], there: Mapping[str, list[dict[str, Any]]]) -> Iterator[str]:
    for topic in known:
        if len(there[topic.name]) != topic.partitions:
            yield f"{topic.name} has {len(there[topic.name])} partitions and not {topic.partitions}"


def _replication(known: Sequence[Topic], there: Mapping[str, list[dict[str, Any]]]) -> Iterator[str]:
    for topic in known:
        fewest = min(len(partition["replicas"]) for partition in there[topic.name])
        behind = [one["partition"] for one in there[topic.name] if len(one["isr"]) < len(one["replicas"])]
        if fewest < topic.replication_factor:
            yield f"{topic.name} has {fewest} replicas and not {topic.replication_factor}"
        if behind:
            yield f"{topic.name} has replicas that are behind in partitions {behind}"


def acknowledged_by_few(known: Sequence[Topic], configs: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Topics of which a record counts as written though it stands on one broker alone, and is lost with that.

    With two replicas it has to count so, or nothing could be written while one is away.

    Args:
        known: Topics that there are.
        configs: Their settings on the cluster, defaults of the cluster among them.
    """
    for topic in known:
        fewest = configs.get(topic.name, {}).get("min.insync.replicas", "")
        if topic.replication_factor >= _REPLICAS_OF_WHICH_ONE_MAY_GO and fewest == "1":
            yield f"{topic.name} has min.insync.replicas=1 with {topic.replication_factor} replicas"


def _settings(known: Sequence[Topic], configs: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for topic in known:
        there = configs.get(topic.name)
        if there is None:
            yield f"{topic.name} may not be asked"
            continue
        for key, value in topic.config.items():
            # A list may be written in any order.
            if set(there.get(key, "").split(",")) != set(value.split(",")):
                yield f"{topic.name} has {key}={there.get(key)} and not {value}"
