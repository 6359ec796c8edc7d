"""The option by which a command of replay reads a capture instead of Kafka."""

from __future__ import annotations

from pathlib import Path

import click

captured_option = click.option(
    "--log",
    "captured",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Read this capture instead of Kafka.",
)
