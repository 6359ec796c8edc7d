"""Topics of the dialect's own: every replica knows who was greeted, and what was said is kept for a day."""

from __future__ import annotations

from tidemark.own_topics import OwnTopic, OwnTopics

_DAY_MS = 86_400_000

TOPICS = OwnTopics(
    "plaintext",
    (OwnTopic("plaintext-guests", "account"), OwnTopic("plaintext-said", "account", _DAY_MS, is_read=False)),
)
