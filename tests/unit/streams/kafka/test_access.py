"""Which process may do what."""

from __future__ import annotations

from models.engine.tables import SERVED_TABLES
from streams.kafka.access import Operation, Resource, grants
from streams.kafka.topics import registry
from streams.settings import Settings, TopicSettings
from tests.support.feed import FakeTables
from tidemark.acl_text import kafka_acls_lines, strimzi_users

SETTINGS = Settings(topics=TopicSettings(prefix="p-"))


def test_the_tables_that_an_api_may_read_are_those_of_its_feeds_in_their_order() -> None:
    assert list(SERVED_TABLES) == list(FakeTables().feeds.by_table())


def test_every_topic_of_the_registry_has_a_reader_and_a_writer_and_no_grant_is_of_another() -> None:
    every = [grant for process in grants(SETTINGS).values() for grant in process if grant.resource is Resource.TOPIC]
    names = {topic.name for topic in registry(SETTINGS)}
    assert names == {grant.name for grant in every if Operation.READ in grant.operations} | {"p-dead-letters"}
    assert names == {grant.name for grant in every if Operation.WRITE in grant.operations}
    assert names == {grant.name for grant in every}


def test_nobody_but_the_worker_may_write_rows_and_an_analyst_may_write_nothing() -> None:
    writers = {
        process
        for process, allowed in grants(SETTINGS).items()
        for grant in allowed
        if Operation.WRITE in grant.operations and grant.name.endswith("-changelog")
    }
    assert {"worker"} == writers
    assert {(Operation.READ,)} == {grant.operations for grant in grants(SETTINGS)["analyst"]}


def test_what_is_not_of_this_prefix_is_nobodys() -> None:
    every = [grant for process in grants(SETTINGS).values() for grant in process]
    assert all(grant.name.startswith("p-") for grant in every if grant.resource is not Resource.CLUSTER)


def test_a_line_for_kafka_acls_names_user_operations_resource_and_pattern() -> None:
    lines = list(kafka_acls_lines(grants(SETTINGS), "scram-sha-512"))
    assert (
        "--add --allow-principal User:tidemark-funder --operation Write --operation Describe "
        "--transactional-id p-tidemark-funder- --resource-pattern-type prefixed" in lines
    )
    by_certificate = kafka_acls_lines(grants(SETTINGS), "tls")
    assert any("--allow-principal User:CN=tidemark-api " in line for line in by_certificate)


def test_a_strimzi_user_has_every_grant_of_its_process() -> None:
    users = {user["metadata"]["name"]: user for user in strimzi_users(grants(SETTINGS), "k", "scram-sha-512")}
    assert {f"tidemark-{process}" for process in grants(SETTINGS)} == set(users)
    rules = users["tidemark-analyst"]["spec"]["authorization"]["acls"]
    assert {
        "resource": {"type": "group", "name": "p-analyst-", "patternType": "prefix"},
        "operations": ["Read"],
        "host": "*",
    } in rules
    assert len(grants(SETTINGS)["analyst"]) == len(rules)
