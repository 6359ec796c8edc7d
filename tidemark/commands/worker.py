"""``tidemark worker``."""

from __future__ import annotations

import os

import click

from streams.settings import load_settings


@click.command
def worker() -> None:
    """Fold records into tables: one of any number of workers, which share the partitions.

    Ends with 0 when told to stop by SIGTERM, with 70 on a fault; nothing is lost either way, start it again.
    """
    # Faust chooses its loop when it is imported. On asyncio's own loop a price takes half as long again to its row.
    os.environ.setdefault("FAUST_LOOP", "uvloop")
    from streams.worker.run import run
    from tidemark.kafka import naming_the_broker, require_broker
    from tidemark.running import log_to_stderr

    settings = load_settings()
    log_to_stderr(settings)
    with naming_the_broker(require_broker(settings.bootstrap)):
        run(settings)
