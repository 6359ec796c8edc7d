"""The options by which a command of replay reads a capture instead of Kafka, and begins at a checkpoint."""

from __future__ import annotations

from pathlib import Path

import click

captured_option = click.option(
    "--log",
    "captured",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Read this capture instead of Kafka.",
)

checkpoints_option = click.option(
    "--checkpoints",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Begin at the newest checkpoint in DIR, instead of at the first raw record.",
)
