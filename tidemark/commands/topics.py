"""``tidemark topics create|list|acls``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from tidemark.local_stack import settings_here

if TYPE_CHECKING:
    from streams.settings import Settings
    from tidemark.acl_text import Authentication


@click.group
def topics() -> None:
    """Create and list the topics of the configuration, or of the `tidemark up` that runs here, and who may use them."""


@topics.command
def create() -> None:
    """Create every topic that is missing, and check the partitions of those that exist."""
    from streams.kafka.topics import create_topics, registry
    from tidemark.kafka import naming_the_broker, require_broker

    settings = _settings()
    wanted = registry(settings)
    with naming_the_broker(require_broker(settings.bootstrap)):
        created = asyncio.run(create_topics(settings.bootstrap, wanted))
    for name in created:
        click.echo(f"created {name}")
    click.echo(f"{len(created)} created, {len(wanted) - len(created)} were there")


@topics.command(name="list")
@click.option(
    "--strimzi", metavar="CLUSTER", help="Print KafkaTopic resources for Strimzi's Kafka of this name instead."
)
def list_(strimzi: str | None) -> None:
    """Print every topic of the configuration: name, partitions, for how long records stay, whether archived, key."""
    from streams.kafka.topics import registry
    from tidemark.topic_manifests import topics_yaml

    wanted = registry(_settings())
    if strimzi is not None:
        click.echo(topics_yaml(wanted, strimzi), nl=False)
        return
    width = max(len(topic.name) for topic in wanted)
    for topic in wanted:
        archived = "archived" if topic.is_archived else ""
        said = f"{topic.partitions:3} partitions  {topic.kept:18}  {archived:8}  key {topic.key}"
        click.echo(f"{topic.name:{width}}  {said}")


@topics.command
@click.option(
    "--strimzi", metavar="CLUSTER", help="Print KafkaUser resources for Strimzi's Kafka of this name instead."
)
@click.option("--tls", is_flag=True, help="Users prove who they are by certificates (mTLS), not by SCRAM-SHA-512.")
def acls(strimzi: str | None, tls: bool) -> None:
    """Print which rights each process needs: lines of arguments for kafka-acls.

    Every process connects as a user of its own: tidemark-worker, tidemark-api, tidemark-history, tidemark-funder,
    tidemark-webhooks, tidemark-ingest-prices and one for each kind of venue, such as tidemark-ingest-symmio;
    tidemark-tools is for the command line, tidemark-archive for `tidemark archive write`, tidemark-analyst for people
    who only read.
    """
    import yaml

    from streams.kafka.access import grants
    from tidemark.acl_text import kafka_acls_lines, strimzi_users

    wanted = grants(_settings())
    authentication: Authentication = "tls" if tls else "scram-sha-512"
    if strimzi is not None:
        click.echo(yaml.safe_dump_all(strimzi_users(wanted, strimzi, authentication), sort_keys=False), nl=False)
        return
    for line in kafka_acls_lines(wanted, authentication):
        click.echo(line)


def _settings() -> Settings:
    """The settings here. Of deployments whose topics nobody here knows it is said that these are left out."""
    from streams.settings.venues import missing_venues

    settings = settings_here()
    for said in missing_venues(settings.deployments).values():
        click.echo(f"left out, topics and rights: {said}", err=True)
    return settings
