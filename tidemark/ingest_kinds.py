"""How the ingest of a kind of venue is found: its command, which `tidemark up` starts for each deployment of the kind.

A package brings one by an entry point of the group ``tidemark.ingest``, whose name is the kind of the venue and whose
object is an ``IngestPackage``. A venue may have none: then it writes its records itself.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from streams.settings.installed import BadPackage, Kinds

if TYPE_CHECKING:
    import click

KINDS = Kinds(
    "tidemark.ingest",
    {"symmio": "tidemark.commands.chain:SYMMIO", "flash": "tidemark.commands.flash_ingest:FLASH"},
)
# SYMMIO's is called by what it follows; every other one is called as its kind.
_NAMES = {"symmio": "chain"}


class IngestPackage(NamedTuple):
    """The ingest of a kind of venue.

    Attributes:
        kind: The venue's kind.
        command: Follows what says a deployment, whose name is its argument, until it is stopped. It is called as the
            kind is: ``tidemark ingest KIND DEPLOYMENT``.
    """

    kind: str
    command: click.Command


def command_names() -> list[str]:
    """What every ingest of a venue is called, in the order of the alphabet."""
    return sorted(_NAMES.get(kind, kind) for kind in KINDS.names())


def command_called(name: str) -> click.Command | None:
    """Find the command of a name; None where no installed kind has it.

    Raises:
        BadPackage: What is installed for the kind cannot be used.
    """
    kind = next((kind for kind in KINDS.names() if _NAMES.get(kind, kind) == name), None)
    package = None if kind is None else ingest_of(kind)
    return None if package is None else package.command


@cache
def ingest_of(kind: str) -> IngestPackage | None:
    """Find the ingest of a kind of venue; None where it has none.

    Raises:
        BadPackage: Two packages bring one for this kind, or its object is no ``IngestPackage`` of this kind, or its
            command has another name.
    """
    package = KINDS.find(kind, IngestPackage)
    name = _NAMES.get(kind, kind)
    if package is not None and package.command.name != name:
        msg = f"expected the ingest of kind {kind!r} to have a command called {name}, found {package.command.name}"
        raise BadPackage(msg)
    return package
