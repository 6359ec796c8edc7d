"""What is said of a cluster's access control lists."""

from __future__ import annotations

import pytest

from models.findings import Verdict
from streams.checks.access_checks import OPERATION_NUMBERS, RESOURCE_NUMBERS, judged_access
from streams.kafka.access import Operation, Resource, grants
from streams.kafka.topics import HEARTBEATS, topic_name
from streams.settings import Settings

SETTINGS = Settings()
WANTED = grants(SETTINGS)
LITERAL, PREFIXED, ALLOW, DENY, ALL = 3, 4, 3, 2, 2
TOPIC = RESOURCE_NUMBERS[Resource.TOPIC]
WRITE = OPERATION_NUMBERS[Operation.WRITE]

Lists = list[tuple[int, str, int, list[tuple[str, str, int, int]]]]


def as_in_the_table() -> Lists:
    return [
        (
            RESOURCE_NUMBERS[grant.resource],
            grant.name,
            PREFIXED if grant.is_prefix else LITERAL,
            [(f"User:tidemark-{process}", "*", OPERATION_NUMBERS[one], ALLOW) for one in grant.operations],
        )
        for process, allowed in WANTED.items()
        for grant in allowed
    ]


def test_lists_as_in_the_table_are_fine() -> None:
    assert Verdict.FINE is judged_access(WANTED, as_in_the_table()).verdict


@pytest.mark.parametrize(
    ("name", "pattern"), [("*", LITERAL), (topic_name(SETTINGS, HEARTBEATS), LITERAL), ("", PREFIXED)]
)
def test_what_everybody_may_do_is_told_of(name: str, pattern: int) -> None:
    found = judged_access(WANTED, [*as_in_the_table(), (TOPIC, name, pattern, [("User:*", "*", ALL, ALLOW)])])

    assert Verdict.WARNING is found.verdict
    assert found.found.startswith("User:*, who is everybody, has operation 2")


@pytest.mark.parametrize("principal", ["User:*", "User:tidemark-worker"])
def test_what_is_denied_is_told_of_though_it_is_given_too(principal: str) -> None:
    heartbeats = topic_name(SETTINGS, HEARTBEATS)
    denial = (TOPIC, heartbeats, LITERAL, [(principal, "*", WRITE, DENY)])
    found = judged_access(WANTED, [*as_in_the_table(), denial])

    assert Verdict.WARNING is found.verdict
    assert f"{principal} is denied operation {WRITE} on {heartbeats}" == found.found


def test_what_is_of_others_is_not_ours_to_judge() -> None:
    others = (TOPIC, "orders", LITERAL, [("User:*", "*", ALL, ALLOW), ("User:tidemark-worker", "*", WRITE, DENY)])

    assert Verdict.FINE is judged_access(WANTED, [*as_in_the_table(), others]).verdict
