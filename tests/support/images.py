"""The targets of docker/Dockerfile, and the ports that their processes have where nothing else is set."""

from __future__ import annotations

from streams.settings import ApiSettings, IngestSettings, WorkerSettings

PORTS: dict[str, set[int]] = {
    "worker": {WorkerSettings().admin_port},
    "ingest": {IngestSettings().admin_port},
    "history": {IngestSettings().admin_port},
    "api": {ApiSettings().port, ApiSettings().admin_port},
    "funder": {IngestSettings().admin_port},
    "webhooks": {IngestSettings().admin_port},
    "tools": set(),
    "analysis": set(),
}
