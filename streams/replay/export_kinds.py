"""What can be exported, from which topics, and what of the configuration figures depend on."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import orjson

from streams.kafka.topics import PRICE_TICKS, SERVED, routed_names
from streams.replay.exported_rows import PRICES_SCHEMA, VALUATIONS_SCHEMA
from streams.replay.exported_topics import TOPIC_SCHEMAS
from streams.settings.venues import engine_deployments

if TYPE_CHECKING:
    from streams.settings import Settings

SCHEMAS = {one.name: one for one in (VALUATIONS_SCHEMA, PRICES_SCHEMA, *TOPIC_SCHEMAS)}
_TOPICS = {"valuations": SERVED, "fundings": SERVED, "calculations": SERVED, "prices": PRICE_TICKS}


def topics_of(settings: Settings, schema: str) -> tuple[str, ...]:
    """The topics that rows of a schema are made of, as ``find_topic`` takes them.

    Args:
        settings: Name the topics.
        schema: Its name.
    """
    if schema == "account-events":
        return tuple(sorted(routed_names(settings)))
    # The others are tables.
    return (_TOPICS.get(schema, schema),)


def configuration_hash(settings: Settings) -> str:
    """The SHA-256 of what figures depend on: the epoch, how topics are divided, and each deployment's settings."""
    deployments = {name: one.settings for name, one in engine_deployments(settings.deployments).items()}
    said = [settings.epoch, settings.topics.prefix, settings.topics.partitions, deployments]
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()
