"""``tidemark webhooks``: post transitions of accounts to a receiver."""

from __future__ import annotations

import click


@click.command
@click.argument("name")
def webhooks(name: str) -> None:
    """Post the alerts of accounts to the receiver NAME of the configuration, signed, each at least once.

    Of several that are started for a receiver one works and the others wait. It may be killed at any moment: what the
    receiver took is on record, and the next one goes on from there. The first one of all begins with what comes from
    then on.
    """
    from streams.process.clock import SystemClock
    from streams.process.logs import log_to_stderr
    from streams.settings import load_settings
    from streams.webhooks.webhook_process import run
    from tidemark.admin_port import with_admin_port
    from tidemark.kafka import naming_the_broker, require_broker
    from tidemark.running import run_until_stopped

    settings = load_settings()
    log_to_stderr(settings, "webhooks")
    with naming_the_broker(require_broker(settings.bootstrap)):
        run_until_stopped(with_admin_port(settings.ingest, run(settings, name, SystemClock())))
