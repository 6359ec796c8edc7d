"""``tidemark ingest prices|chain|recorded``."""

from __future__ import annotations

from pathlib import Path

import click

from streams.settings import load_settings


@click.group
def ingest() -> None:
    """Write what the outside world says into Kafka, before anything is interpreted."""


@ingest.command
@click.argument("name")
def prices(name: str) -> None:
    """Follow the price source NAME of the configuration, one process a source."""
    from streams.ingest.prices.price_follow import run
    from streams.process.clock import SystemClock
    from tidemark.admin_port import with_admin_port
    from tidemark.kafka import naming_the_broker, require_broker
    from tidemark.running import log_to_stderr, run_until_stopped

    settings = load_settings()
    log_to_stderr(settings)
    with naming_the_broker(require_broker(settings.bootstrap)):
        run_until_stopped(with_admin_port(settings.ingest, run(settings, name, SystemClock())))


@ingest.command
@click.argument("deployment")
@click.option(
    "--from-state",
    type=click.IntRange(min=0),
    metavar="BLOCK",
    help="Join a running deployment: read every account's state from the contract's views at BLOCK, then its logs.",
)
def chain(deployment: str, from_state: int | None) -> None:
    """Follow the chain of DEPLOYMENT: past logs first, then the head, one process a deployment.

    It goes on from what its topic holds, so stopping and starting it loses and repeats nothing.
    """
    from streams.ingest.symmio.chain_follow import run
    from streams.process.clock import SystemClock
    from tidemark.admin_port import with_admin_port
    from tidemark.kafka import naming_the_broker, require_broker
    from tidemark.running import log_to_stderr, run_until_stopped

    settings = load_settings()
    log_to_stderr(settings)
    with naming_the_broker(require_broker(settings.bootstrap)):
        run_until_stopped(
            with_admin_port(settings.ingest, run(settings, deployment, SystemClock(), from_state=from_state))
        )


@ingest.command
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--deployment", required=True, help="The configured deployment that the recorded logs are of.")
def recorded(directory: Path, deployment: str) -> None:
    """Play recorded logs and price frames from DIRECTORY (symmio/logs.json.gz, prices/*.jsonl.gz).

    Prices are written as the source "recorded" and its books as "recorded-book": name these in the deployment's
    default_sources or markets. `tidemark up --recorded` does so by itself.
    """
    from streams.ingest.symmio.recording import run
    from streams.process.clock import SystemClock
    from tidemark.admin_port import with_admin_port
    from tidemark.kafka import naming_the_broker, require_broker
    from tidemark.running import log_to_stderr, run_until_stopped

    settings = load_settings()
    log_to_stderr(settings)
    with naming_the_broker(require_broker(settings.bootstrap)):
        run_until_stopped(with_admin_port(settings.ingest, run(settings, directory, deployment, SystemClock())))
