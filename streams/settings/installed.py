"""What installed packages bring by kind: found through entry points, the built-in ones through dotted names.

The name of an entry point is the kind, and its object is a package of the form that the group has. An object is loaded
when a configuration first names its kind, so a broken package that nobody configured does no harm.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from models.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Mapping


class BadPackage(TidemarkError):
    """What is installed for a kind cannot be used, or two packages bring one kind."""


class Package(Protocol):
    """What the object of an entry point says of itself."""

    @property
    def kind(self) -> str:
        """The kind that it brings."""


P = TypeVar("P", bound=Package)


class Kinds(NamedTuple):
    """The kinds of one group of entry points.

    Attributes:
        group: The group, such as ``tidemark.venues``.
        built_in: Where the object of each kind that is built in is found, such as ``module:NAME``.
    """

    group: str
    built_in: Mapping[str, str]

    def names(self) -> list[str]:
        """Every kind that a configuration may name, in the order of the alphabet."""
        return sorted({*self.built_in, *(one.name for one in entry_points(group=self.group))})

    def find(self, kind: str, form: type[P]) -> P | None:
        """Load the object of a kind; None where none is installed.

        Args:
            kind: The kind.
            form: The class that objects of this group have.

        Raises:
            BadPackage: Two packages bring this kind, its module cannot be imported, or its object is none of this kind.
        """
        sources = [one.value for one in entry_points(group=self.group) if one.name == kind]
        sources += [self.built_in[kind]] if kind in self.built_in else []
        if not sources:
            return None
        if len(sources) > 1:
            msg = (
                f"{self.group}: expected one package of kind {kind!r}, found {', '.join(sources)}: "
                "uninstall all but one"
            )
            raise BadPackage(msg)
        module, _, name = sources[0].partition(":")
        try:
            package = getattr(import_module(module), name, None)
        except ImportError as error:
            msg = f"{self.group}: expected to import {sources[0]} for kind {kind!r}, found: {error}"
            raise BadPackage(msg) from error
        if not isinstance(package, form) or package.kind != kind:
            msg = f"expected a {form.__name__} of kind {kind!r} at {sources[0]}, found {package!r:.200}"
            raise BadPackage(msg)
        return package

    def missing(self, kind: str) -> str:
        """Say what to do about a kind that is not installed."""
        return (
            f"expected a kind that is installed, found {kind!r}; install the package that brings it by an entry point "
            f"of the group {self.group}; there are {', '.join(self.names())}"
        )
