"""``tidemark ingest flash``: the ingest of deployments of Flash Trade, as it is built in."""

from __future__ import annotations

import click

from tidemark.ingest_kinds import IngestPackage
from tidemark.ingest_process import run_ingest


@click.command
@click.argument("deployment")
def flash(deployment: str) -> None:
    """Follow both chains of DEPLOYMENT: baskets on the rollup, everything else on the base chain.

    What its topics hold already is not written again, so stopping and starting it loses and repeats nothing.
    """
    from streams.ingest.flash.flash_follow import run

    run_ingest(lambda settings, clock: run(settings, deployment, clock))


FLASH = IngestPackage("flash", flash)
"""The ingest of Flash's deployments."""
