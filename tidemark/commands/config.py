"""``tidemark config show``."""

from __future__ import annotations

import click

from streams.settings import load_settings


@click.group
def config() -> None:
    """Look at the configuration."""


@config.command
def show() -> None:
    """Print the configuration in effect as TOML: file, variables and defaults together, secrets hidden."""
    from tidemark.config_text import effective_toml

    click.echo(effective_toml(load_settings()), nl=False)
