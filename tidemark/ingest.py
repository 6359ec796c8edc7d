"""What packages import that bring the ingest of a venue, and nothing else of Tidemark (docs/adding-a-venue.md).

A package offers an ``IngestPackage`` under the entry point group ``tidemark.ingest``, by the name of its venue's kind.
"""

from models.errors import TidemarkError
from models.ids import account_key
from streams.ingest.outlet import NotAcknowledged, Outlet, opened_outlet
from streams.kafka.topics import require_topic, topic_name
from streams.process.backoff import Backoff
from streams.process.clock import Clock
from streams.settings import BadSettings, Settings
from tidemark.ingest_kinds import IngestPackage
from tidemark.ingest_process import run_ingest

__all__ = [
    "Backoff",
    "BadSettings",
    "Clock",
    "IngestPackage",
    "NotAcknowledged",
    "Outlet",
    "Settings",
    "TidemarkError",
    "account_key",
    "opened_outlet",
    "require_topic",
    "run_ingest",
    "topic_name",
]
