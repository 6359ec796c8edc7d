"""The ``tidemark`` command: its groups, and how its errors and exit codes look."""

from __future__ import annotations

import os.path
import sys

from tidemark.early_stop import end_on_signal

if __name__ == "__main__" or os.path.basename(sys.argv[0]) == "tidemark":  # noqa: PTH119 - pathlib takes its time
    # Before anything is imported that takes time. Who only imports this module keeps its own handlers.
    end_on_signal()

import importlib
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import click

from models.errors import Superseded, TidemarkError
from streams.process.faults import EXIT_FAULT, EXIT_SUPERSEDED, print_last_line, print_traceback
from streams.process.version import version_text
from streams.settings import CONFIG_VARIABLE

# A wrong configuration, a missing tool or a port in use end with this code: starting again would not help.
EXIT_REFUSED = 2

_COMMANDS = {
    "up": "tidemark.commands.up:up",
    "worker": "tidemark.commands.worker:worker",
    "ingest": "tidemark.commands.ingest:ingest",
    "api": "tidemark.commands.api:api",
    "topics": "tidemark.commands.topics:topics",
    "token": "tidemark.commands.token:token",
    "watch": "tidemark.commands.watch:watch",
    "records": "tidemark.commands.records:records",
    "tail": "tidemark.commands.tail:tail",
    "capture": "tidemark.commands.capture:capture",
    "archive": "tidemark.commands.archive:archive",
    "repartition": "tidemark.commands.repartition:repartition",
    "export": "tidemark.commands.export:export",
    "asof": "tidemark.commands.asof:asof",
    "explain": "tidemark.commands.explain:explain",
    "checkpoint": "tidemark.commands.checkpoint:checkpoint",
    "whatif": "tidemark.commands.whatif:whatif",
    "serve-replay": "tidemark.commands.serve_replay:serve_replay",
    "verify": "tidemark.commands.verify:verify",
    "fold": "tidemark.commands.fold:fold",
    "flash": "tidemark.commands.flash:flash",
    "top": "tidemark.commands.top:top",
    "audit": "tidemark.commands.audit:audit",
    "funder": "tidemark.commands.funder:funder",
    "history": "tidemark.commands.history:history",
    "webhooks": "tidemark.commands.webhooks:webhooks",
    "config": "tidemark.commands.config:config",
    "doctor": "tidemark.commands.doctor:doctor",
    "keys": "tidemark.commands.keys:keys",
}


class _Commands(click.Group):
    """Imports a command's module when the command is used, so that no command waits for what another one needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version_text(), prog_name="tidemark")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"Configuration in TOML; the same as {CONFIG_VARIABLE}. See tidemark.example.toml.",
)
def cli(config: Path | None) -> None:
    """Every account's uPnL and notional, exact, from chain logs and price ticks to websockets.

    Logs of SYMMIO deployments and prices of exchanges go into Kafka topics as they were said; every figure served is
    computed from those records, so it can be found again, recomputed and explained.

    \b
    See it move, with a simulated chain and market, nothing to configure:
        tidemark up
    Watch a deployment of your own:
        cp tidemark.example.toml tidemark.toml    # fill in addresses and endpoints
        tidemark --config tidemark.toml up
    In production each of these is a process of its own, against your Kafka:
        tidemark topics create
        tidemark worker                           # as many as you like
        tidemark history                          # how figures went, for charts
        tidemark ingest chain NAME                # one a deployment
        tidemark ingest prices NAME               # one a price source
        tidemark api                              # as many as you like

    Settings come from the file, and then from TIDEMARK_* variables such as TIDEMARK_KAFKA or TIDEMARK_API__PORT.
    """  # noqa: D301 - click wants its \b as it is
    if config is not None:
        os.environ[CONFIG_VARIABLE] = str(config.resolve())


def main() -> None:
    """Run the command line.

    An error of ours is shown as one message without a traceback, and the exit code is 2, or 76 where another process
    has taken this one's place. Whatever else ends a process
    is a fault: its traceback is shown, the last line names the cause, and the exit code is 70.
    """
    try:
        cli()
    except TidemarkError as error:
        _refuse([error])
    except Exception as error:  # noqa: BLE001 - this is the process's supervisor
        leaves = _leaves(error)
        if all(isinstance(leaf, TidemarkError) for leaf in leaves):
            _refuse(leaves)
        print_traceback(error)
        print_last_line(error)
        sys.exit(EXIT_FAULT)


def _refuse(errors: list[BaseException]) -> NoReturn:
    # On a full disk stderr may fail; the exit code still tells.
    with suppress(OSError):
        for error in errors:
            click.secho(f"tidemark: {error}", fg="red", err=True)
    sys.exit(EXIT_SUPERSEDED if any(isinstance(error, Superseded) for error in errors) else EXIT_REFUSED)


def _leaves(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for one in error.exceptions for leaf in _leaves(one)]


if __name__ == "__main__":
    main()
