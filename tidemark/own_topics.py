"""What packages import to name topics of their dialect's own, and nothing else of Tidemark (docs/adding-a-venue.md).

A package offers an ``OwnTopics`` under the entry point group ``tidemark.topics``, by the name of its dialect's kind.
"""

from streams.kafka.topics import topic_name
from streams.settings.own_topics import OwnTopic, OwnTopics

__all__ = ["OwnTopic", "OwnTopics", "topic_name"]
