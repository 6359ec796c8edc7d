"""The topics of a configuration as users name them, and what is known of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.engine.tables import TABLES
from streams.kafka.topics import SERVED, changelog_name, registry, served_name
from streams.replay.kafka_log import Kept

if TYPE_CHECKING:
    from streams.settings import Settings

_FOREVER = -1


def find_topic(settings: Settings, text: str) -> str:
    """The full name of a topic.

    Args:
        settings: Name the topics.
        text: Its name without the prefix, or the name of a table, for its changelog, or ``served``; any other is a full
            name, which may be that of a topic of an epoch before.
    """
    names = {topic.name.removeprefix(settings.topics.prefix): topic.name for topic in registry(settings)}
    rows = {table: changelog_name(settings, table) for table in TABLES}
    return {**names, **rows, SERVED: served_name(settings)}.get(text, text)


def changelogs(settings: Settings) -> frozenset[str]:
    """Full names of the topics that hold rows."""
    return frozenset({served_name(settings), *(changelog_name(settings, table) for table in TABLES)})


def compacted_topics(settings: Settings) -> frozenset[str]:
    """Full names of the topics that keep only the newest record of each key, so that a window of them has gaps."""
    return frozenset(topic.name for topic in registry(settings) if "compact" in topic.config["cleanup.policy"])


def kept_at_least(settings: Settings) -> dict[str, Kept]:
    """For how long the records of each topic stay at least, by its full name; without those kept for ever."""
    found = {}
    for topic in registry(settings):
        kept_ms = int(topic.config.get("retention.ms", _FOREVER))
        if kept_ms != _FOREVER:
            is_bounded = int(topic.config.get("retention.bytes", _FOREVER)) != _FOREVER
            found[topic.name] = Kept(kept_ms, is_bounded=is_bounded)
    return found
