"""Tells whether a command line that some file names is one that ``tidemark`` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tidemark.cli import cli

if TYPE_CHECKING:
    from collections.abc import Sequence


def unknown_in(arguments: Sequence[str]) -> str | None:
    """Say what of the arguments of ``tidemark`` no command knows; None where they can be begun."""
    command: click.Command = cli
    context = click.Context(cli)
    rest = list(arguments)
    while isinstance(command, click.Group) and rest:
        name = rest.pop(0)
        found = command.get_command(context, name)
        if found is None:
            return f"no command {name}"
        command = found
    known = {flag for parameter in command.params for flag in parameter.opts} | {"--help", "-h"}
    unknown = [one for one in rest if one.startswith("-") and one.partition("=")[0] not in known]
    return f"no option {unknown[0]}" if unknown else None
