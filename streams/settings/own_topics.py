"""Topics of a dialect's own: what a package names beside a dialect that needs more than core's topics.

A package brings them by an entry point of the group ``tidemark.topics``, whose name is the dialect's kind and whose
object is an ``OwnTopics``. Every process knows them then, so that they are created, checked and listed, and replicas of
the api have the rights that they name. Its module is imported by all processes: it should import little.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from streams.settings.installed import Kinds

if TYPE_CHECKING:
    from streams.settings.effective import Settings

KINDS = Kinds("tidemark.topics", {})


class OwnTopic(NamedTuple):
    """A topic, and what replicas of the api do with it.

    Attributes:
        name: Its name, without the prefix of a configuration; lower-case letters, digits and hyphens.
        key: A record's key in words.
        kept_ms: How long records stay, in ms, -1 for ever; None where the newest record of each key stays.
        is_read: Whether replicas read it.
        is_written: Whether replicas write it.
    """

    name: str
    key: str
    kept_ms: int | None = None
    is_read: bool = True
    is_written: bool = True


class OwnTopics(NamedTuple):
    """The topics of a kind of dialect."""

    kind: str
    topics: tuple[OwnTopic, ...]


@cache
def topics_of(kind: str) -> OwnTopics | None:
    """Find the topics of a kind's own; None where no package names any.

    Raises:
        BadPackage: Two packages bring this kind, or its object is no ``OwnTopics`` of this kind.
    """
    return KINDS.find(kind, OwnTopics)


def own_topics(settings: Settings) -> tuple[OwnTopic, ...]:
    """List the topics of the dialects that a configuration mounts; one of a venue's kind needs no section.

    Raises:
        BadPackage: As ``topics_of`` says.
    """
    kinds = {section.kind for section in settings.dialects.values()}
    kinds |= {deployment.kind for deployment in settings.deployments.values()}
    found = [topics_of(kind) for kind in sorted(kinds)]
    return tuple(topic for one in found if one is not None for topic in one.topics)
