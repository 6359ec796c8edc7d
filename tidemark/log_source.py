"""The options by which a command of replay is told which log to read, and where to begin."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Callable


class LogSource(NamedTuple):
    """Which log a command reads: Kafka, where neither is given.

    ``alone`` is a capture or an archive that is read in place of Kafka; ``archive`` is one that is read for what Kafka
    does not hold any more.
    """

    alone: str | None = None
    archive: str | None = None

    @property
    def needs_kafka(self) -> bool:
        """Whether Kafka is read."""
        return self.alone is None


KAFKA = LogSource()


def log_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--log`` and ``--from-archive`` to a command, which is handed both as ``source``."""

    @wraps(command)
    def with_source(*args: Any, alone: str | None, archive: str | None, **options: Any) -> Any:  # noqa: ANN401 - click's
        if alone is not None and archive is not None:
            msg = "expected one of --log, which is read in place of Kafka, and --from-archive, which is read beside it"
            raise click.UsageError(msg)
        return command(*args, source=LogSource(alone, archive), **options)

    for option in (
        click.option(
            "--from-archive",
            "archive",
            metavar="URL",
            help="Read from this archive what is in it, and the rest from Kafka.",
        ),
        click.option("--log", "alone", metavar="DIR|URL", help="Read this capture or archive instead of Kafka."),
    ):
        with_source = option(with_source)
    return with_source


checkpoints_option = click.option(
    "--checkpoints",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Begin at the newest checkpoint in DIR, instead of at the first raw record.",
)
