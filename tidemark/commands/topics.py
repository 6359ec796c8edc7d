"""``tidemark topics create|list``."""

from __future__ import annotations

import asyncio

import click

from tidemark.local_stack import settings_here


@click.group
def topics() -> None:
    """Create and list the topics that the configuration asks for, or that of the `tidemark up` that runs here."""


@topics.command
def create() -> None:
    """Create every topic that is missing, and check the partitions of those that exist."""
    from streams.kafka.topics import create_topics, registry
    from tidemark.kafka import naming_the_broker, require_broker

    settings = settings_here()
    wanted = registry(settings)
    with naming_the_broker(require_broker(settings.bootstrap)):
        created = asyncio.run(create_topics(settings.bootstrap, wanted))
    for name in created:
        click.echo(f"created {name}")
    click.echo(f"{len(created)} created, {len(wanted) - len(created)} were there")


@topics.command(name="list")
def list_() -> None:
    """Print every topic of the configuration: name, partitions, how long records are kept, what the key is."""
    from streams.kafka.topics import registry

    wanted = registry(settings_here())
    width = max(len(topic.name) for topic in wanted)
    for topic in wanted:
        click.echo(f"{topic.name:{width}}  {topic.partitions:3} partitions  {topic.kept:18}  key {topic.key}")


@topics.command
@click.option("--cluster", default="tidemark", show_default=True, help="The name of the Kafka resource.")
def manifests(cluster: str) -> None:
    """Print every topic of the configuration as a KafkaTopic of Strimzi's operator, which creates and keeps it."""
    from streams.kafka.topics import registry
    from tidemark.kafka_manifests import topics_yaml

    click.echo(topics_yaml(registry(settings_here()), cluster), nl=False)
