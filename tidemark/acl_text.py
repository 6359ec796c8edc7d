"""Access control lists as operators take them: lines for ``kafka-acls``, and KafkaUser resources of Strimzi."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Literal, assert_never

from streams.kafka.access import Resource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from streams.kafka.access import Grant

Authentication = Literal["scram-sha-512", "tls"]


def user_name(process: str) -> str:
    """Name the user as whom a process connects."""
    return f"tidemark-{process}"


def kafka_acls_lines(grants: Mapping[str, Sequence[Grant]], authentication: Authentication) -> Iterator[str]:
    """Write the arguments of one call of ``kafka-acls`` for each grant.

    Args:
        grants: By process, what it may do.
        authentication: How users prove who they are, which decides how Kafka names them.
    """
    for process, allowed in grants.items():
        name = user_name(process)
        principal = f"User:CN={name}" if authentication == "tls" else f"User:{name}"
        for grant in allowed:
            of = ["--cluster"] if grant.resource is Resource.CLUSTER else [_option(grant.resource), grant.name]
            pattern = "prefixed" if grant.is_prefix else "literal"
            operations = [part for operation in grant.operations for part in ("--operation", operation)]
            words = ["--add", "--allow-principal", principal, *operations, *of, "--resource-pattern-type", pattern]
            yield shlex.join(words)


def strimzi_users(
    grants: Mapping[str, Sequence[Grant]], cluster: str, authentication: Authentication
) -> list[dict[str, Any]]:
    """Make a KafkaUser for each process.

    Args:
        grants: By process, what it may do.
        cluster: The name of Strimzi's Kafka resource.
        authentication: How users prove who they are.
    """
    return [
        {
            "apiVersion": "kafka.strimzi.io/v1",
            "kind": "KafkaUser",
            "metadata": {"name": user_name(process), "labels": {"strimzi.io/cluster": cluster}},
            "spec": {
                "authentication": {"type": authentication},
                "authorization": {"type": "simple", "acls": [_strimzi_rule(grant) for grant in allowed]},
            },
        }
        for process, allowed in grants.items()
    ]


def _strimzi_rule(grant: Grant) -> dict[str, Any]:
    resource: dict[str, str] = {"type": grant.resource}
    if grant.resource is not Resource.CLUSTER:
        resource |= {"name": grant.name, "patternType": "prefix" if grant.is_prefix else "literal"}
    resource = {key: str(value) for key, value in resource.items()}
    return {"resource": resource, "operations": [str(operation) for operation in grant.operations], "host": "*"}


def _option(resource: Resource) -> str:
    match resource:
        case Resource.TOPIC:
            return "--topic"
        case Resource.GROUP:
            return "--group"
        case Resource.TRANSACTIONAL_ID:
            return "--transactional-id"
        case Resource.CLUSTER:
            return "--cluster"
        case _:
            assert_never(resource)
