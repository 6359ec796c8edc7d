"""``tidemark api``."""

from __future__ import annotations

import click

from streams.settings import load_settings


@click.command
def api() -> None:
    """Serve the tables: websockets (/upnl-ws), REST, health and metrics. Any number of replicas, each serves all."""
    from api.server import run
    from streams.process.clock import SystemClock
    from tidemark.kafka import naming_the_broker, require_broker
    from tidemark.running import log_to_stderr, run_until_stopped

    settings = load_settings()
    log_to_stderr(settings)
    with naming_the_broker(require_broker(settings.bootstrap)):
        run_until_stopped(run(settings, SystemClock()))
