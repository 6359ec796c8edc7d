"""``tidemark history``."""

from __future__ import annotations

import click

from streams.settings import load_settings


@click.command
def history() -> None:
    """Keep how accounts and totals went, in bars of seconds, minutes and hours, and answer the api from them.

    The bars stand in history.sqlite of the data directory. Several may run, each with a directory of its own: all make
    the same bars, and the api takes the first answer.
    """
    from streams.history.history_process import run
    from streams.process.clock import SystemClock
    from streams.process.logs import log_to_stderr
    from tidemark.admin_port import with_admin_port
    from tidemark.kafka import naming_the_broker, require_broker
    from tidemark.running import run_until_stopped

    settings = load_settings()
    log_to_stderr(settings, "history")
    with naming_the_broker(require_broker(settings.bootstrap)):
        run_until_stopped(with_admin_port(settings.ingest, run(settings, SystemClock())))
