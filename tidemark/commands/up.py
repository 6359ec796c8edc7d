"""``tidemark up``."""

from __future__ import annotations

from pathlib import Path

import click

from streams.settings import load_settings


@click.command
@click.option("--bootstrap", metavar="HOST:PORT,…", help="Use this Kafka cluster; the same as TIDEMARK_KAFKA.")
@click.option(
    "--recorded",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Play the recorded logs and prices in DIR instead of following a chain.",
)
def up(bootstrap: str | None, recorded: Path | None) -> None:
    """Run everything on this machine: broker, topics, worker, ingest and api, until Ctrl-C.

    Without a deployment in the configuration a simulated chain, market and exchange are run too, and the same
    connectors as in production read them. Data and logs are kept in `data_dir` (.tidemark): the next run goes on where
    this one ended.

    \b
    Examples:
        tidemark up
        tidemark --config tidemark.toml up
        tidemark up --bootstrap kafka-1:9092
        tidemark up --recorded recordings/
    """  # noqa: D301 - click wants its \b as it is
    from tidemark.up import run

    settings = load_settings() if bootstrap is None else load_settings(kafka=bootstrap)
    run(settings, recorded)
