"""``tidemark ingest chain``: the ingest of SYMMIO deployments, as it is built in."""

from __future__ import annotations

import click

from tidemark.ingest_kinds import IngestPackage
from tidemark.ingest_process import run_ingest


@click.command
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

    run_ingest(lambda settings, clock: run(settings, deployment, clock, from_state=from_state))


SYMMIO = IngestPackage("symmio", chain)
"""The ingest of SYMMIO's deployments."""
