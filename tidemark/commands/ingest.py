"""``tidemark ingest prices|recorded``, and the ingest of each kind of venue."""

from __future__ import annotations

from pathlib import Path

import click

from tidemark.ingest_kinds import command_called, command_names
from tidemark.ingest_process import run_ingest


class _Ingests(click.Group):
    """Has beside its own commands those of the venues that are installed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *command_names()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or command_called(cmd_name)


@click.group(cls=_Ingests)
def ingest() -> None:
    """Write what the outside world says into Kafka, before anything is interpreted."""


@ingest.command
@click.argument("name")
def prices(name: str) -> None:
    """Follow the price source NAME of the configuration, one process a source."""
    from streams.ingest.prices.price_follow import run

    run_ingest(lambda settings, clock: run(settings, name, clock))


@ingest.command
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--deployment", required=True, help="The configured deployment that the recorded logs are of.")
def recorded(directory: Path, deployment: str) -> None:
    """Play recorded logs and price frames from DIRECTORY (symmio/logs.json.gz, prices/*.jsonl.gz).

    Prices are written as the source "recorded" and its books as "recorded-book": name these in the deployment's
    default_sources or markets. `tidemark up --recorded` does so by itself.
    """
    from streams.ingest.symmio.recording import run

    run_ingest(lambda settings, clock: run(settings, directory, deployment, clock))
