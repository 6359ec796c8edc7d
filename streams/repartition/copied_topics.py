"""Which topics are copied where their partitions change: those that everything else follows from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from models.errors import TidemarkError
from streams.kafka.topics import DEAD_LETTERS, FIGURE_SETTINGS, PRICE_TICKS, SERVED, derived_names, registry

if TYPE_CHECKING:
    from collections.abc import Collection

    from streams.kafka.topics import Topic
    from streams.settings import Settings


class BadRepartition(TidemarkError):
    """The configuration is not that of a deployment that goes on from the one before. The message says what is not."""


class CopiedTopic(NamedTuple):
    """A topic, and the full name of the one that it goes on from."""

    former: str
    topic: Topic


def copied_topics(settings: Settings, former_prefix: str, existing: Collection[str]) -> list[CopiedTopic]:
    """The topics that are copied, in the order of the registry.

    What workers write is made anew, so they may work already while the rest is copied; what is said again within
    minutes is said again. A topic of which the deployment before had none, as of a new venue, is not among them.

    Args:
        settings: Of the deployment that goes on.
        former_prefix: The prefix of the topics before.
        existing: The full names of all topics of the cluster.

    Raises:
        BadRepartition: The prefix or the epoch is that of before, or there is nothing to go on from.
    """
    prefix = settings.topics.prefix
    if former_prefix == prefix:
        msg = f"expected topics.prefix to be another than that of the topics before, found {prefix!r} as both"
        raise BadRepartition(msg)
    if former_prefix + PRICE_TICKS not in existing:
        msg = f"expected the topics before under the prefix {former_prefix!r}, found no {former_prefix}{PRICE_TICKS}"
        raise BadRepartition(msg)
    _expect_later_epoch(settings, former_prefix, existing)
    # Workers say both again, and letters name offsets of the topics before.
    said_again = {prefix + DEAD_LETTERS, prefix + FIGURE_SETTINGS}
    made_again = derived_names(settings) | said_again
    wanted = [topic for topic in registry(settings) if topic.is_archived and topic.name not in made_again]
    pairs = [CopiedTopic(former_prefix + topic.name.removeprefix(prefix), topic) for topic in wanted]
    return [pair for pair in pairs if pair.former in existing]


def _expect_later_epoch(settings: Settings, former_prefix: str, existing: Collection[str]) -> None:
    """Refuse an epoch that there was: claims begin anew, so its rows would come before those that clients hold."""
    numbered = re.compile(re.escape(f"{former_prefix}{SERVED}-") + r"(\d+)")
    epochs = [int(found[1]) for found in map(numbered.fullmatch, existing) if found]
    last = max(epochs, default=0)
    if settings.epoch <= last:
        msg = (
            f"expected an epoch later than {last}, which the topics before have, found {settings.epoch}: set epoch to "
            f"{last + 1}, since clients would take rows of the same epoch for older than those that they hold"
        )
        raise BadRepartition(msg)
